"""Walking a thread's stack: which of its words are return addresses.

ELFv2 ABI, 2.2.2: a frame begins with the back chain at 0(r1), and a function saves LR at 16(r1) of its caller's frame.
What the ABI does not promise is added here, always so that more counts rather than less:

- All general registers, LR and CTR of the thread count, and the header of its innermost frame, where a function that
  has no frame of its own yet has saved LR.
- A frame to which a signal handler returns (its return address is in the vdso) is followed by the registers of what was
  interrupted (setup_rt_frame in arch/powerpc/kernel/signal_64.c): all words there count, and what was interrupted is
  looked at like an innermost frame. It may be on another stack.
- Where the chain breaks, everything above counts.
- In every header what our own return helpers would find there counts: `slot` keeps the return address in 24(r1), `cr4`
  r2 there and r2 minus it in 12(r1).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from oddtoc.places import Span

WINDOW = 4 << 10
"""Bytes of stack that are read at a time, but for the first time."""
_FIRST_WINDOW = 2 << 10
"""Bytes: as many are read of every thread, while all stand still, and most wait within a few frames."""
_SIGNAL_FRAME = 8 << 10
"""Bytes: more than the kernel's frame for a signal, with all vector registers."""
_SMALLEST_FRAME = 32
_MOST_FRAMES = 100_000
_REST = 1 << 20
_64 = (1 << 64) - 1


@dataclass
class Walk:
    """One thread's walk, which goes on as its stack is read.

    Args:
        registers: of the thread.
        stack: the mapping that its stack pointer is in.
        vdso: where signal handlers return to.

    Attributes:
        returns: return addresses, the innermost first.
        words: all that counts.
        wanted: what has to be read next, (address, size in bytes); None when the walk has ended.
    """

    registers: Mapping[str, int]
    stack: Span
    vdso: Span
    returns: list[int] = field(default_factory=list)
    words: set[int] = field(default_factory=set)
    wanted: tuple[int, int] | None = None
    _frame: int = 0
    _frames: int = 0
    _ending: bool = False

    def __post_init__(self) -> None:
        self.words.update(self.registers[f"r{number}"] for number in range(32) if number != 1)
        self.words.update(self.registers[name] for name in ("pc", "lr", "ctr"))
        self._frame = self.registers["r1"]
        self.wanted = self._window(self._frame, _FIRST_WINDOW)

    def feed(self, start: int, memory: bytes) -> int | None:
        """Take what was read, and go on.

        Args:
            start: the address that was wanted.
            memory: what stands there.

        Returns:
            An address whose mapping has to be told with `move`, before anything else; None if nothing is in question.
        """
        if self._ending:
            self.words.update(struct.unpack(f"<{len(memory) // 8}Q", memory[: len(memory) // 8 * 8]))
            self.wanted = None
            return None
        end = start + len(memory)
        self.wanted = None
        while self._frame + _SMALLEST_FRAME <= end:
            header = struct.unpack_from("<4Q", memory, self._frame - start)
            self._count(header)
            following, returns_to = int(header[0]), header[2]
            if returns_to in self.vdso and self._frames:
                if self._frame + _SIGNAL_FRAME > min(end, self.stack.end) and end < self.stack.end:
                    self.wanted = self._frame, min(_SIGNAL_FRAME + WINDOW, self.stack.end - self._frame)
                    return None
                stored = memory[self._frame - start : self._frame - start + _SIGNAL_FRAME]
                self.words.update(struct.unpack(f"<{len(stored) // 8}Q", stored[: len(stored) // 8 * 8]))
                self._frame, self._frames = following, 0
                return following
            if not following or self._frames > _MOST_FRAMES:
                return None
            if not self._frame + _SMALLEST_FRAME <= following < self.stack.end or following % 16:
                self._ending = True
                self.wanted = self._frame, min(self.stack.end - self._frame, _REST)
                return None
            self._frame = following
            self._frames += 1
        self.wanted = self._window(self._frame)
        return None

    def move(self, stack: Span) -> None:
        """Go on in another mapping."""
        self.stack = stack
        self.wanted = self._window(self._frame)

    def _count(self, header: Sequence[int]) -> None:
        if self._frames:
            self.returns.append(header[2])
        distance = header[1] >> 32
        distance -= (distance & 0x80000000) << 1
        self.words.update((header[2], header[3], (header[3] - distance) & _64))

    def _window(self, frame: int, most: int = WINDOW) -> tuple[int, int] | None:
        size = min(most, self.stack.end - frame)
        return (frame, size) if size >= _SMALLEST_FRAME else None
