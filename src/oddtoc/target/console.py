"""Commands run in a guest through its agent (guest_agent.sh says who writes what on which console).

Between two runs nobody is connected; QEMU then drops what the guest prints. The order of connecting matters: the
channels that answer come first, the one that asks last, so no answer can be lost.
"""

from __future__ import annotations

import fcntl
import re
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from oddtoc.errors import GuestError, UsageError

AGENT_SOCKET = "agent.sock"
STDOUT_SOCKET = "stdout.sock"
STDERR_SOCKET = "stderr.sock"

Sink = Callable[[bytes], None]
"""Takes output as it comes."""

_RUN_LOCK = "run.lock"
_RUNNING = "running"
_SHORT = 2000
"""Bytes: the agent reads a line one byte at a time, which is quicker than starting a program up to about here."""
_STUCK = "is it stopped by a debugger, or has it ended? `oddtoc guest list` and its console log tell"
_KILL_AGAIN = 0.3
_KILL_WAIT = 10.0
_UNSAFE = re.compile(rb"^ |[^A-Za-z0-9 _./=:,;|&<>(){}@+#~^?!'\"$*\[\]-]")
"""What a line of the agent's can't carry as it is; it takes a first blank for the end of the field before."""


@dataclass(frozen=True)
class Completed:
    """A command that has ended in a guest.

    Args:
        status: its exit status; 128 + n when signal n ended it.
        stdout: what it wrote to standard output, byte by byte.
        stderr: what it wrote to standard error.
    """

    status: int
    stdout: bytes
    stderr: bytes


def run(
    folder: Path, command: str, *, timeout: float, stdout: Sink | None = None, stderr: Sink | None = None
) -> Completed:
    """Run a command in the guest that lives in `folder`; runs from several processes queue.

    Args:
        folder: the guest's folder, with the sockets of its channels.
        command: a script for the guest's `sh`, of any length.
        timeout: seconds that the command may take, waiting in the queue not counted.
        stdout: also gets standard output as it comes.
        stderr: also gets standard error as it comes.

    Raises:
        UsageError: the command has a NUL byte.
        GuestError: the guest can't be reached or does not answer, or the command took too long and was killed.
    """
    script = command.encode()
    if b"\0" in script:
        raise UsageError("a command can't have a NUL byte")
    with _turn(folder), _Run(folder, stdout, stderr) as current:
        return current.complete(script, timeout)


def wait_until_ready(folder: Path, alive: Callable[[], bool], deadline: float) -> list[str]:
    """Wait for the agent's first word.

    Args:
        folder: the guest's folder.
        alive: asked several times a second; the wait ends when it says no.
        deadline: when to give up, on the clock of `time.monotonic`, in seconds.

    Returns:
        The modules that the guest could not load.

    Raises:
        GuestError: the guest died or was not ready in time. The message says which.
    """
    received = b""
    with _connected(folder / AGENT_SOCKET) as agent:
        agent.settimeout(0.2)
        while b"\n" not in received:
            if not alive():
                raise GuestError("the guest died while it booted")
            if time.monotonic() > deadline:
                raise GuestError("the guest did not come up in time")
            try:
                piece = agent.recv(4096)
            except TimeoutError:
                continue
            if not piece:
                raise GuestError("the guest died while it booted")
            received += piece
    return received.split(b"\n")[0].decode(errors="replace").split()[1:]


@contextmanager
def _turn(folder: Path) -> Iterator[None]:
    try:
        lock = (folder / _RUN_LOCK).open("w")
    except OSError as error:
        raise GuestError(f"the guest's folder {folder} has gone: {error.strerror}") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _connected(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(path))
    except OSError as error:
        connection.close()
        raise GuestError(f"the guest does not answer at {path}: {error.strerror}", advice=_STUCK) from error
    return connection


class _Output:
    """What stands between the first and the second token of a stream."""

    def __init__(self, token: bytes, sink: Sink | None) -> None:
        self._token = token
        self._sink = sink
        self._pending = b""
        self._started = False
        self.pieces: list[bytes] = []
        self.ended = False

    def feed(self, data: bytes) -> None:
        self._pending += data
        if not self._started:
            _, found, behind = self._pending.partition(self._token)
            if not found:
                return
            self._started, self._pending = True, behind
        if self.ended:
            return
        content, found, _ = self._pending.partition(self._token)
        self.ended = bool(found)
        keep = 0 if found else self._token_begun(content)
        self._emit(content[: len(content) - keep])
        self._pending = content[len(content) - keep :]

    def _token_begun(self, content: bytes) -> int:
        longest = min(len(self._token) - 1, len(content))
        return next((size for size in range(longest, 0, -1) if content.endswith(self._token[:size])), 0)

    def _emit(self, content: bytes) -> None:
        if content:
            self.pieces.append(content)
            if self._sink:
                self._sink(content)


class _Run:
    """One command: its three connections and what has come in so far."""

    def __init__(self, folder: Path, stdout: Sink | None, stderr: Sink | None) -> None:
        self._folder = folder
        self._id = token_hex(4)
        self._token = token_hex(8).encode()
        self._stdout = _Output(self._token, stdout)
        self._stderr = _Output(self._token, stderr)
        self._status: int | None = None
        self._answers = b""
        self._stack = ExitStack()

    def __enter__(self) -> _Run:
        with ExitStack() as stack:
            self._stdout_channel = stack.enter_context(_connected(self._folder / STDOUT_SOCKET))
            self._stderr_channel = stack.enter_context(_connected(self._folder / STDERR_SOCKET))
            self._agent = stack.enter_context(_connected(self._folder / AGENT_SOCKET))
            self._selector = stack.enter_context(selectors.DefaultSelector())
            self._stack = stack.pop_all()
        self._selector.register(self._stdout_channel, selectors.EVENT_READ, self._stdout.feed)
        self._selector.register(self._stderr_channel, selectors.EVENT_READ, self._stderr.feed)
        self._selector.register(self._agent, selectors.EVENT_READ, self._answer)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def complete(self, script: bytes, timeout: float) -> Completed:
        self._end_interrupted_run()
        running = self._folder / _RUNNING
        running.write_text(self._id)
        self._agent.settimeout(timeout)
        try:
            self._send(self._agent, self._request(script))
            if not self._receive(time.monotonic() + timeout):
                self._kill()
                raise GuestError(f"the command was killed: it did not end within {timeout:g} seconds")
        except BaseException:
            with suppress(GuestError):
                self._send_kill(self._id)
            raise
        running.unlink(missing_ok=True)
        assert self._status is not None
        return Completed(self._status, b"".join(self._stdout.pieces), b"".join(self._stderr.pieces))

    def _end_interrupted_run(self) -> None:
        # somebody was killed while a command of his ran: the agent would never come to ours
        running = self._folder / _RUNNING
        if running.exists():
            self._send_kill(running.read_text())

    def _request(self, script: bytes) -> bytes:
        head = f"{self._id} {self._token.decode()}"
        if len(script) > _SHORT:
            return f"\nlong {head} {len(script)}\n".encode() + script
        return f"\nshort {head} ".encode() + _UNSAFE.sub(_octal, script + b"\n") + b"\n"

    def _answer(self, data: bytes) -> None:
        *lines, self._answers = (self._answers + data).split(b"\n")
        for line in lines:
            words = line.decode(errors="replace").split()
            if len(words) == 2 and words[0] == self._id:
                self._status = int(words[1])

    def _receive(self, deadline: float) -> bool:
        """Take what comes until the command has ended with all its output; False when the time is over."""
        while not (self._stdout.ended and self._stderr.ended and self._status is not None):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            for key, _ in self._selector.select(left):
                data = key.fileobj.recv(1 << 16)  # type: ignore[union-attr]
                if not data:
                    raise GuestError("the guest died while the command ran")
                key.data(data)
        return True

    def _kill(self) -> None:
        give_up = time.monotonic() + _KILL_WAIT
        while time.monotonic() < give_up:
            self._send_kill(self._id)
            if self._receive(time.monotonic() + _KILL_AGAIN):
                (self._folder / _RUNNING).unlink(missing_ok=True)
                return
        raise GuestError("the guest does not answer", advice=_STUCK)

    def _send_kill(self, identifier: str) -> None:
        self._send(self._stdout_channel, f"\nkill {identifier}\n".encode())

    def _send(self, channel: socket.socket, data: bytes) -> None:
        try:
            channel.sendall(data)
        except OSError as error:
            raise GuestError(f"the guest does not answer: {error.strerror or error}", advice=_STUCK) from error


def _octal(match: re.Match[bytes]) -> bytes:
    return b"\\0%03o" % match[0][0]
