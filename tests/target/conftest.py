"""QEMUs without a guest: they run their firmware, start at once, and show how a debug server behaves."""

import json
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

MACHINE = "pseries,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off"


class Qmp:
    """A QMP client of a few lines: the tests' own view of a QEMU."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(str(path))
        self.lines = self.socket.makefile()
        self.lines.readline()
        self.ask("qmp_capabilities")

    def ask(self, command, **arguments):
        self.socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        while "return" not in (answer := json.loads(self.lines.readline())):
            assert "event" in answer, answer
        return answer["return"]

    def monitor(self, line):
        return self.ask("human-monitor-command", **{"command-line": line})

    @property
    def status(self):
        return self.ask("query-status")["status"]

    def becomes(self, status):
        """Whether it gets there within a time that only matters when it never does."""
        deadline = time.monotonic() + 20
        while self.status != status and time.monotonic() < deadline:
            time.sleep(0.002)
        return self.status == status

    def close(self):
        self.lines.close()
        self.socket.close()


class BareQemu:
    """A QEMU that runs nothing but its firmware.

    Args:
        arguments: more for QEMU; they may mention {folder}.
        debug: whether there is a debug socket, at `gdb`.
    """

    def __init__(self, *arguments, program="qemu-system-ppc64", machine=MACHINE, memory="256M", smp="2", debug=True):
        self.folder = Path(tempfile.mkdtemp(prefix="oddtoc-bare-", dir="/tmp"))
        self.gdb, self.qmp_socket = self.folder / "gdb", self.folder / "qmp"
        command = [program, "-M", machine, "-m", memory, "-smp", smp, "-nodefaults", "-display", "none"]
        command += ["-qmp", f"unix:{self.qmp_socket},server=on,wait=off"]
        command += ["-gdb", f"unix:{self.gdb},server=on,wait=off"] if debug else []
        command += [word.format(folder=self.folder) for word in arguments]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE)
        try:
            self.qmp = self._connected()
        except BaseException:
            self.kill()
            raise

    def _connected(self):
        while True:
            assert self.process.poll() is None, self.process.stderr.read().decode()
            try:
                return Qmp(self.qmp_socket)
            except (FileNotFoundError, ConnectionRefusedError):  # not there, or bound but not listening yet
                time.sleep(0.01)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        self.qmp.close()
        self.kill()
        self.process.stderr.close()
        shutil.rmtree(self.folder)


@pytest.fixture
def qmp_of():
    """QMP clients of other QEMUs: call it with the path of the socket."""
    clients = []

    def connect(path):
        clients.append(Qmp(path))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


@pytest.fixture
def bare_qemu():
    """Starts QEMUs: call it with more arguments for them."""
    started = []

    def start(*arguments, **options):
        started.append(BareQemu(*arguments, **options))
        return started[-1]

    yield start
    for one in started:
        one.end()


@pytest.fixture
def firmware(bare_qemu):
    """A QEMU of the test's own with a debug socket."""
    return bare_qemu()


@pytest.fixture
def own_runtime_folder(monkeypatch):
    """Locks and sockets of one test don't meet those of another, or the user's."""
    with tempfile.TemporaryDirectory(prefix="oddtoc-run-", dir="/tmp") as name:
        monkeypatch.setenv("XDG_RUNTIME_DIR", name)
        yield Path(name)
