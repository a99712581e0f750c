"""A client that ends after so many packets of the protocol, in a process of its own with the image read already."""

import fcntl
import os
import re
import signal
import socket
import struct
import termios
import time
import traceback
from contextlib import contextmanager

from oddtoc.target.wire import Wire

_UNIT = re.compile(rb"\x03|\+|\$[^#]*#..", re.DOTALL)
_HOW = ("killed", "killed in the middle of the next packet", "killed before QEMU has read it", "cut off")


def packets(operation):
    """The packets that an operation sends when nothing ends it, in order; interrupts count as packets."""
    sent = []
    with _sending(lambda _wire, units: sent.extend(units) or units):
        operation()
    return sent


def packets_that_matter(sent, step, commit_only=False):
    """Numbers of packets, 0 for none at all: those of stops that write, and of reads every so many.

    A client that ends behind a read leaves a guest that stands still, whichever read it was. Of a stop that writes only
    the reads before the first write are left out. The last of these stops is the commit.
    """
    stops, start = [], 0
    for number, unit in enumerate(sent, 1):
        if unit == b"\x03" or number == len(sent):
            stops.append(range(start, number))
            start = number
    writing = [stop for stop in stops if any(sent[number].startswith(b"$M") for number in stop)]
    chosen = set(range(0, len(sent) + 1, step))
    for stop in writing[-1:] if commit_only else writing:
        first = next(number for number in stop if sent[number].startswith(b"$M"))
        chosen.update((stop.start, stop.start + 1), range(first, stop.stop + 1))
    return sorted(chosen)


def end_after(number, operation, how=None):
    """Run an operation in a process that ends after so many packets; in which way changes with the number.

    Returns:
        Whether the operation came to its end before; and how the process was to end.
    """
    how = how or _HOW[number % len(_HOW)]
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            with _sending(_Ending(number, how)):
                operation()
            status = 0
        except BaseException:
            if how != "cut off":
                traceback.print_exc()
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    done = status == 0
    assert done or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL) or how == "cut off", how
    return done, how


class _Ending:
    """Counts packets, sends them one by one, and ends the process."""

    def __init__(self, left, how):
        self.left = left
        self.how = how
        self.cut = False

    def __call__(self, wire, units):
        whole, rest = units[: self.left], units[self.left :]
        if self.cut:
            return []
        self.left -= len(whole)
        if not rest:
            return units
        wire._socket.sendall(b"".join(whole))
        if self.how == "cut off":
            wait_until_read(wire._socket)
            wire._socket.shutdown(socket.SHUT_RDWR)
            self.cut = True
            return []
        if self.how == "killed in the middle of the next packet":
            wire._socket.sendall(rest[0][: max(1, len(rest[0]) // 2)])
        if self.how != "killed before QEMU has read it":
            wait_until_read(wire._socket)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


def wait_until_read(connected):
    """Wait until the other end has read what was sent: what a Unix socket has not delivered counts as unsent."""
    limit = time.monotonic() + 5
    while time.monotonic() < limit:
        (unread,) = struct.unpack("i", fcntl.ioctl(connected, termios.TIOCOUTQ, b"\0" * 4))
        if not unread:
            return
        time.sleep(0.0005)


@contextmanager
def _sending(choose):
    """Every wire asks which units of what it sends are to be sent."""
    send = Wire.send

    def counted(wire, data, deadline):
        send(wire, b"".join(choose(wire, _UNIT.findall(data))), deadline)

    Wire.send = counted
    try:
        yield
    finally:
        Wire.send = send
