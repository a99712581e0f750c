"""A gdbserver on a serial line, where signals cut off what it sends.

A signal at the right moment can't be made to come, so what stands between the line and oddtoc cuts the packets, as the
line does it: after 16 bytes.
"""

import selectors
import socket
import threading
from contextlib import contextmanager, suppress

import pytest

from oddtoc.errors import OddtocError
from oddtoc.live.session import Session
from oddtoc.target.gdbserver import GdbserverProcess

CHUNK = 16


class Line:
    """Stands between a client and a serial line, and loses what is behind the 16th byte of one packet.

    Args:
        lost: which of those that are longer, counted from 0.
    """

    def __init__(self, serial, lost=None):
        self.serial = serial
        self.lost = lost
        self.packets = []
        self._rest = b""

    def passed_on(self, data):
        """What comes through of what the server says."""
        data, self._rest = self._rest + data, b""
        passed = b""
        while data:
            starts = [index for index in (data.find(b"$"), data.find(b"%")) if index >= 0]
            if not starts:
                return passed + data
            start = min(starts)
            end = data.find(b"#", start)
            if end < 0 or len(data) < end + 3:
                self._rest = data[start:]
                return passed + data[:start]
            whole = data[start : end + 3]
            passed += data[:start] + self._cut(whole)
            data = data[end + 3 :]
        return passed

    def _cut(self, whole):
        if len(whole) <= CHUNK:
            return whole
        self.packets.append(whole)
        return whole[:CHUNK] if len(self.packets) - 1 == self.lost else whole


@contextmanager
def through(line, folder):
    """A socket that leads to the serial line for one client."""
    path = folder / f"line{line.lost}"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def relay():
        with listener, socket.socket(socket.AF_UNIX) as server, suppress(OSError):
            client, _ = listener.accept()
            server.connect(str(line.serial))
            with client, selectors.DefaultSelector() as ready:
                ready.register(client, selectors.EVENT_READ, (server, bytes))
                ready.register(server, selectors.EVENT_READ, (client, line.passed_on))
                while True:
                    for key, _ in ready.select():
                        data = key.fileobj.recv(1 << 16)
                        if not data:
                            return
                        other, changed = key.data
                        other.sendall(changed(data))

    thread = threading.Thread(target=relay)
    thread.start()
    try:
        yield path
    finally:
        thread.join(20)
        assert not thread.is_alive()
        path.unlink()


def look(line, folder, pid):
    """All that is read of a process in a stop: how many threads, and the first bytes of its stacks."""
    with through(line, folder) as path, GdbserverProcess.connect(path, pid, lock=False) as target:
        with target.stopped() as stopped:
            threads = stopped.cpus()
            stopped.read_many([(thread.registers["r1"], 64) for thread in threads])
        return len(threads), target.read_file(f"/proc/{pid}/maps")


@pytest.fixture
def busy_pid(process_guest):
    pid = process_guest.program("busy", "/tmp/busy", 9)
    yield pid
    process_guest.run(f"kill -9 {pid}")


def test_what_is_asked_for_is_had_whichever_packet_is_cut(process_guest, busy_pid, tmp_path):
    pid = busy_pid
    whole = Line(process_guest.serial)
    expected = look(whole, tmp_path, pid)
    assert expected[0] == 9
    assert len(whole.packets) > 20
    cut = 0
    # the first one says what the server is, while it holds nobody who could send it a signal
    for lost in range(1, len(whole.packets)):
        line = Line(process_guest.serial, lost)
        assert look(line, tmp_path, pid) == expected, line.packets[lost][:40]
        cut += len(line.packets) > lost
    assert cut > 20


def test_a_patch_is_whole_or_not_there_whichever_packet_is_cut(user_process, built, tmp_path):
    def change(session):
        session.apply(session.plan(built("thing")))
        session.revert("thing")
        session.gc()

    serial, pid = user_process.guest.serial, user_process.pid
    whole = Line(serial)
    with through(whole, tmp_path) as path, Session.open(f"{path}#{pid}") as session:
        change(session)
    assert len(whole.packets) > 50
    failed = 0
    for lost in range(1, len(whole.packets), max(1, len(whole.packets) // 16)):
        try:
            with through(Line(serial, lost), tmp_path) as path, Session.open(f"{path}#{pid}") as session:
                change(session)
        except OddtocError:
            failed += 1
        with Session.open(f"{serial}#{pid}") as session:
            for status in session.status():
                session.revert(status.record.name)
            session.gc()
            assert session.status() == []
    assert failed <= 2
