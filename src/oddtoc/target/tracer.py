"""A process of its own that traces a process of this machine, for an oddtoc that may be killed.

The kernel lets all threads go when their tracer dies: a thread that has just met a trap word, or meets it then, would
end its process with SIGTRAP. So who traces is nobody's terminal's, and when the pipe to who asks is closed it takes the
trap words out and lets all threads go with their signals.

Run as `python -m oddtoc.target.tracer PID NUMBER`, with the number of its end of the pipe.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

from oddtoc.errors import OddtocError, TargetError, TargetGoneError
from oddtoc.target.awaiting import Awaiting
from oddtoc.target.local_stepper import LocalStepper

_END = "end"
_MOMENT = 0.0005
"""Seconds that others' stops may wait while nothing is asked."""


class Tracer(Awaiting):
    """That process, as who follows a thread asks it. What it raises is what `LocalStepper` does.

    Args:
        pid: of the process that it traces.

    Attributes:
        words: every word that had a trap word in its place: address -> what stands there.

    Raises:
        TargetError: it does not start, or can't trace the process.
    """

    def __init__(self, pid: int) -> None:
        self.words: Mapping[int, bytes] = {}
        self._asked = 0
        self._pipe, theirs = Pipe()
        command = [sys.executable, "-P", "-m", __spec__.name, str(pid), str(theirs.fileno())]
        try:
            # signals for the user's terminal are none for it
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], start_new_session=True
            )
        except OSError as error:
            self._pipe.close()
            raise TargetError(f"nobody can be started to trace process {pid}: {error.strerror}") from error
        finally:
            theirs.close()
        try:
            self._answer()
        except BaseException:
            self._dismiss()
            raise

    def stop_at(self, *addresses: int) -> None:
        """As `Stepping.stop_at`."""
        self._ask("stop_at", *addresses)

    def clear(self) -> None:
        """As `Stepping.clear`."""
        self._ask("clear")

    def release(self) -> None:
        """As `Awaiting.release`."""
        self._ask("release")

    def arrived(self, seconds: float) -> list[str]:
        """As `Awaiting.arrived`."""
        return list(self._ask("arrived", seconds))

    def keep(self, thread: str) -> None:
        """As `Awaiting.keep`."""
        self._ask("keep", thread)

    def await_at(self, address: int, stack: int) -> None:
        """As `Awaiting.await_at`."""
        self._ask("await_at", address, stack)

    def has_arrived(self, thread: str, stack: int, seconds: float) -> bool:
        """As `Awaiting.has_arrived`."""
        return bool(self._ask("has_arrived", thread, stack, seconds))

    def step(self, thread: str) -> None:
        """As `Stepping.step`."""
        self._ask("step", thread)

    def registers(self, thread: str) -> Mapping[str, int]:
        """As `Stepping.registers`."""
        return dict(self._ask("registers", thread))

    def read(self, thread: str, address: int, size: int) -> bytes:
        """As `Stepping.read`."""
        return bytes(self._ask("read", thread, address, size))

    def end(self) -> None:
        """Have it take all trap words out, let all threads go on, and end."""
        try:
            self._ask(_END)
        finally:
            self._dismiss()

    def _ask(self, what: str, *arguments: Any) -> Any:
        self._asked += 1
        with suppress(OSError):
            self._pipe.send((self._asked, what, arguments))
        return self._answer()

    def _answer(self) -> Any:
        number = -1
        while number != self._asked:
            try:
                # what was asked before may not have been waited for
                number, answer, self.words = self._pipe.recv()
            except (EOFError, OSError):
                raise TargetError("the process that traces for oddtoc has ended") from None
        if isinstance(answer, OddtocError):
            raise answer
        return answer

    def _dismiss(self) -> None:
        self._pipe.close()
        self._process.wait()


def _serve(stepper: LocalStepper, pipe: Connection) -> None:
    """Do what is asked until that is the end, or nobody asks any more."""
    what = ""
    try:
        with suppress(EOFError, OSError):
            pipe.send((0, None, {}))
            while what != _END:
                while not pipe.poll(_MOMENT):
                    # who is gone is missed when something is asked
                    with suppress(OddtocError):
                        stepper.attend()
                number, what, arguments = pipe.recv()
                pipe.send((number, _done(stepper, what, arguments), stepper.words))
    finally:
        if what != _END:
            with suppress(OddtocError):
                stepper.end()


def _done(stepper: LocalStepper, what: str, arguments: tuple[Any, ...]) -> Any:
    try:
        return getattr(stepper, what)(*arguments)
    except OddtocError as error:
        return error
    except ProcessLookupError:
        return TargetGoneError("a thread of the process has ended meanwhile")


def _main(pid: int, number: int) -> None:
    with Connection(number) as pipe:
        try:
            stepper = LocalStepper(pid)
        except OddtocError as error:
            with suppress(OSError):
                pipe.send((0, error, {}))
            return
        _serve(stepper, pipe)


if __name__ == "__main__":
    _main(int(sys.argv[1]), int(sys.argv[2]))
