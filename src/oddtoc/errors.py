"""Everything that oddtoc raises on purpose.

One base, `OddtocError`, and narrow kinds that carry what a caller needs to go on: the address, the function, the
candidates. The text of an error is one line that says what is wrong; `advice`, when there is one, is a second line
that says the way out. The command line prints both and never a traceback for these.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import ClassVar


class Status(IntEnum):
    """What the command `oddtoc` exits with; `STATUSES` says when."""

    DONE = 0
    FAILED = 1
    MISUSE = 2
    BUSY = 3
    REFUSED = 4
    INTERRUPTED = 130


STATUSES = {
    Status.DONE: "done",
    Status.FAILED: "failed: a file, a tool, a guest, a target or the mirror is not as it has to be",
    Status.MISUSE: "misuse: the command line makes no sense",
    Status.BUSY: "busy: a thread, another debugger or another oddtoc was in the way; the same command may work later",
    Status.REFUSED: "refused: the patch, a function in it, what is applied already, or who signed it does not allow it",
    Status.INTERRUPTED: "interrupted with Ctrl-C",
}
"""Exit status -> what it means. `oddtoc guest run` exits with the status of the command that it ran."""


class OddtocError(Exception):
    """What is wrong, in one line, with the way out.

    Args:
        message: one line, without a final stop.
        address: the virtual address concerned, if there is one.
        function: the name of the function concerned, if there is one.
        advice: what the reader can do about it, in one line.
    """

    status: ClassVar[Status] = Status.FAILED
    """What the command exits with when this kind ends it."""

    def __init__(
        self, message: str, *, address: int | None = None, function: str | None = None, advice: str | None = None
    ) -> None:
        super().__init__(message)
        # names in them may come from files and guests that nobody trusts
        self.message = printable(message)
        self.address = address
        self.function = function
        self.advice = "\n".join(map(printable, advice.splitlines())) if advice else None

    def __str__(self) -> str:
        return f"{self.message}\n{self.advice}" if self.advice else self.message

    def __reduce__(self) -> tuple[object, ...]:
        # they come back from other processes; what a narrow kind demands is in its attributes
        return _restored, (type(self), self.args, vars(self))


def _restored(kind: type[OddtocError], args: tuple[object, ...], attributes: dict[str, object]) -> OddtocError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error


def printable(text: str) -> str:
    """A text for people, in one line, in which nothing acts on a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


class UsageError(OddtocError):
    """The call itself makes no sense: an unknown name, a malformed target."""

    status = Status.MISUSE


class ImageError(OddtocError):
    """A file is not an ELF image that oddtoc can read: not ELF, another machine, ABI v1, no symbols, truncated."""


class SymbolError(OddtocError):
    """A name is not in the image."""

    status = Status.REFUSED


class AmbiguousSymbolError(SymbolError):
    """A name stands more than once in the image. `candidates` holds one line of text for each of them."""

    def __init__(self, message: str, *, candidates: Sequence[str], advice: str | None = None) -> None:
        super().__init__(message, advice=advice)
        self.candidates = tuple(candidates)


class NoSiteError(OddtocError):
    """A function has no ftrace site, or the words at its entry are not those of a known entry shape."""

    status = Status.REFUSED


class MechanismError(OddtocError):
    """A mechanism is unknown, or can't carry this function on this target."""

    status = Status.REFUSED


class PatchError(OddtocError):
    """A patch object is malformed, or asks for something that can't be linked."""

    status = Status.REFUSED


class NotLoadedError(PatchError):
    """What a patch changes is not loaded in the target."""


class RelocationError(PatchError):
    """A relocation can't be applied: unknown type, out of range, misaligned."""


class BuildError(OddtocError):
    """The compiler or the assembler refused the source. `output` is what it printed."""

    def __init__(self, message: str, *, output: str = "", advice: str | None = None) -> None:
        super().__init__(message, advice=advice)
        self.output = output


class FetchError(OddtocError):
    """A package could not be found, downloaded or unpacked."""


class GuestError(OddtocError):
    """A guest did not boot, is not known, or its console does not answer."""


class TargetError(OddtocError):
    """A target can't be reached, or answered what the debug protocol does not allow."""


class TargetInUseError(TargetError):
    """Another debugger or another oddtoc is connected to the target."""

    status = Status.BUSY


class TargetGoneError(TargetError):
    """The connection to the target broke half-way."""


class FaultError(TargetError):
    """Memory of a target could not be read. `address` and `size` (bytes) say which."""

    def __init__(self, message: str, *, address: int, size: int, advice: str | None = None) -> None:
        super().__init__(message, address=address, advice=advice)
        self.size = size


class WriteFaultError(FaultError):
    """Memory of a target could not be written."""


class MismatchError(OddtocError):
    """The running kernel is not the image it was said to be."""

    status = Status.REFUSED


class ChangedError(OddtocError):
    """A word in the target is not the one that the plan was made for."""


class BusyError(OddtocError):
    """A thread stands where words are to change, and did not leave in time.

    `stack` holds its return addresses as text, the innermost first; empty where that is not known.
    """

    status = Status.BUSY

    def __init__(
        self,
        message: str,
        *,
        address: int | None = None,
        function: str | None = None,
        stack: Sequence[str] = (),
        advice: str | None = None,
    ) -> None:
        super().__init__(message, address=address, function=function, advice=advice)
        self.stack = tuple(stack)

    def __str__(self) -> str:
        lines = [self.message, *(f"  {line}" for line in self.stack)]
        return "\n".join([*lines, self.advice] if self.advice else lines)


class RoomError(OddtocError):
    """There is no room left in the target for a payload or a record."""


class RecordError(OddtocError):
    """The record in the target is damaged or of an unknown version."""


class StateError(OddtocError):
    """A patch is applied already, is not applied, or is covered by a later one."""

    status = Status.REFUSED


class SignatureError(OddtocError):
    """A patch object is not signed by someone who may, or not in the state in which it was signed."""

    status = Status.REFUSED


class PolicyError(OddtocError):
    """A policy file is malformed, or somebody else could have written it."""


class LogError(OddtocError):
    """The log of what was done can't be written, so nothing is done."""


class LibraryError(OddtocError):
    """A library that is only needed for some commands is not installed."""


class ClusterError(OddtocError):
    """A Dask cluster can't be reached, or its workers can't do what is asked of them."""
