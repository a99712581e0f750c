"""A QEMU guest while it stands still: its vCPUs, and its memory by physical address."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from oddtoc.errors import TargetError
from oddtoc.target.handshake import Server
from oddtoc.target.memory import MemoryMapping, bytes_read, check_written, is_linear, pieces, pieces_of_data
from oddtoc.target.registers import decode_core
from oddtoc.target.rsp import Connection
from oddtoc.target.stepper import Stepper

_MSR_RI = 1 << 1
_SAVED_PC = ("srr0", "hsrr0")
_VALUE = re.compile(r"\A(?:0x)?([0-9a-f]{1,16})\s*\Z")


@dataclass(frozen=True)
class Cpu:
    """A stopped vCPU: its thread id in the protocol, and registers by name.

    `srr0` and `hsrr0` are there only `in_entry_code`: nobody needs them elsewhere.
    """

    id: str
    registers: Mapping[str, int]

    @property
    def label(self) -> str:
        """What it is called in messages."""
        return f"vCPU {self.id}"

    @property
    def positions(self) -> tuple[int, ...]:
        """Where it stands: its pc, and in entry or exit code of the kernel (MSR[RI] clear) the interrupted pc too."""
        saved = (self.registers[name] & ~3 for name in _SAVED_PC if name in self.registers)
        return (self.registers["pc"], *saved) if self.in_entry_code else (self.registers["pc"],)

    @property
    def in_entry_code(self) -> bool:
        """Whether it stands in entry or exit code (MSR[RI] clear): the interrupted pc is in SRR0 or HSRR0 alone."""
        return not self.registers["msr"] & _MSR_RI

    @property
    def is_known(self) -> bool:
        """Whether `positions` is all there is: False when the server doesn't tell SRR0 of a vCPU in entry code."""
        return not self.in_entry_code or _SAVED_PC[0] in self.registers


class Stopped:
    """The target while it stands still; valid only inside its `stopped` block.

    Args:
        connection: to its debug server.
        server: what is known of that.
        mapping: where memory is that the kernel maps elsewhere than in its linear map; None where nobody knows.

    Attributes:
        round_trips: how many were made so far.
        began: nothing; the stop is asked for at once.
    """

    began: float | None = None

    def __init__(self, connection: Connection, server: Server, mapping: MemoryMapping | None = None) -> None:
        self._connection = connection
        self._server = server
        self._mapping = mapping
        self.round_trips = 0

    def read_many(self, requests: Sequence[tuple[int, int]]) -> list[bytes]:
        """Several (address, size in bytes), in one round trip (64 KiB or 64 requests; more of them take more).

        Raises:
            FaultError: an address is outside of the linear map, or has no memory; nothing was read.
        """
        requests_sent, joined = self._reading(requests)
        return joined(self._exchange(requests_sent))

    def look(self, requests: Sequence[tuple[int, int]]) -> tuple[list[Cpu], list[bytes]]:
        """`cpus` and `read_many` in one round trip, or two when a vCPU is in entry code.

        Raises:
            FaultError: as `read_many`.
        """
        threads = self._server.threads
        selecting = [request for thread in threads for request in (b"Hg" + thread.encode(), b"g")]
        reading, joined = self._reading(requests)
        replies = self._exchange([*selecting, *reading])
        found = []
        for thread, selected, core in zip(threads, replies[::2], replies[1::2], strict=False):
            if selected != b"OK":
                raise TargetError(f"vCPU {thread} can't be selected: {selected[:20]!r}")
            found.append(Cpu(thread, decode_core(self._server.layout, core)))
        return self._with_saved_pc(found), joined(replies[len(selecting) :])

    def cpus(self) -> list[Cpu]:
        """All vCPUs with their general registers, in one round trip, or two when one is in entry code."""
        return self.look([])[0]

    def unshare(self, words: Sequence[tuple[int, bytes]]) -> None:
        """Nothing: a guest stands still already."""

    def write_many(self, writes: Sequence[tuple[int, bytes]], *, verify: bool = True) -> None:
        """Write several (address, bytes) in order, and read them back, in one round trip like `read_many`.

        They must not overlap, or what is read back differs.

        Raises:
            WriteFaultError: an address is outside of the linear map or has no memory (nothing was written), or what
                is read back differs (all that could be written was).
        """
        most = self._server.most_bytes
        parts = [part for write in self.in_linear_map(writes) for part in pieces_of_data(*write, most)]
        requests = [self._write_request(*part) for part in parts]
        if verify:
            requests += [self._read_request(address, len(data)) for address, data in parts]
        check_written(parts, self._exchange(requests))

    def in_linear_map(self, writes: Sequence[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        """The same writes by addresses of the linear map, which mean the same to whoever writes them later.

        Raises:
            FaultError: nothing is mapped at an address.
            ChangedError: what was mapped there has gone.
        """
        spans = [(address, len(data)) for address, data in writes]
        if self._mapping and not all(is_linear(*span) for span in spans):
            self._mapping.admit(spans, self.read_many)
        found = []
        for (_, data), parts in zip(writes, self._in_linear_map(spans), strict=True):
            for address, size in parts:
                found.append((address, data[:size]))
                data = data[size:]
        return found

    def _in_linear_map(self, spans: Sequence[tuple[int, int]]) -> list[list[tuple[int, int]]]:
        """The pieces of the linear map where each (address, size) is."""
        found = [[span] for span in spans]
        elsewhere = [index for index, span in enumerate(spans) if not is_linear(*span)] if self._mapping else []
        if self._mapping and elsewhere:
            mapped = self._mapping.pieces([spans[index] for index in elsewhere], self.read_many)
            for index, parts in zip(elsewhere, mapped, strict=True):
                found[index] = parts
        return found

    def _reading(
        self, requests: Sequence[tuple[int, int]]
    ) -> tuple[list[bytes], Callable[[Sequence[bytes]], list[bytes]]]:
        """The packets that read memory, and what makes memory of their replies."""
        most = self._server.most_bytes
        cut = [[piece for part in parts for piece in pieces(*part, most)] for parts in self._in_linear_map(requests)]

        def joined(replies: Sequence[bytes]) -> list[bytes]:
            remaining = iter(replies)
            return [b"".join(bytes_read(next(remaining), *piece) for piece in parts) for parts in cut]

        return [self._read_request(*piece) for parts in cut for piece in parts], joined

    def stepper(self) -> Stepper:
        """Something that runs this target a little."""
        return Stepper(self._connection, self._server.layout)

    def _with_saved_pc(self, cpus: Sequence[Cpu]) -> list[Cpu]:
        """Add SRR0 and HSRR0 where they matter. The gdb server of QEMU 7.2 shows those of its first vCPU only."""
        asked = [cpu for cpu in cpus if cpu.in_entry_code] if self._server.has_monitor else []
        if not asked:
            return list(cpus)
        self.round_trips += 1
        # vCPU n is thread n + 1 (gdbstub.c of QEMU, cpu_gdb_index)
        selecting = [[f"cpu {int(cpu.id, 16) - 1}", *(f"print/x ${name}" for name in _SAVED_PC)] for cpu in asked]
        printed = self._connection.monitor([command for commands in selecting for command in commands])
        step = 1 + len(_SAVED_PC)
        saved = {}
        for index, cpu in enumerate(asked):
            refused, *values = printed[index * step : (index + 1) * step]
            shown = [(name, _VALUE.match(value)) for name, value in zip(_SAVED_PC, values, strict=True)]
            saved[cpu.id] = {name: int(match[1], 16) for name, match in shown if match and not refused}
        return [Cpu(cpu.id, {**cpu.registers, **saved.get(cpu.id, {})}) for cpu in cpus]

    def _read_request(self, address: int, size: int) -> bytes:
        return b"m%x,%x" % (self._server.memory.to_read(address, size), size)

    def _write_request(self, address: int, data: bytes) -> bytes:
        return b"M%x,%x:%b" % (self._server.memory.to_write(address, len(data)), len(data), data.hex().encode())

    def _exchange(self, requests: Sequence[bytes]) -> list[bytes]:
        self.round_trips += 1
        return self._connection.exchange(requests)
