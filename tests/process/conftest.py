"""A guest with Debian's gdbserver and redis-server, and programs of the tests' own."""

import socket
import subprocess
from pathlib import Path

import pytest

from oddtoc.build.compile import compile_patch, tool
from oddtoc.debian.programs import program_files
from oddtoc.target.modules import load_order

_PACKAGES = ("gdbserver", "redis-server", "redis-tools", "zlib1g", "python3.11-minimal")
_PROGRAMS = ("usr/bin/gdbserver", "usr/bin/redis-server", "usr/bin/redis-benchmark", "usr/bin/redis-cli")
_MORE = ("usr/bin/python3.11", "lib/powerpc64le-linux-gnu/liblzma.so.5")
_HERE = Path(__file__).parent
_SERIAL_LINE = 0x30004000
"""Behind those of the guest's own terminals (target/guest_qemu.py): /dev/hvc4."""


class ProcessGuest:
    """A guest with a gdbserver on a port of this machine, and one on a serial line."""

    def __init__(self, guest, port, line):
        self.guest = guest
        self.server = f"gdb://127.0.0.1:{port}"
        self.endpoint = ("127.0.0.1", port)
        self.serial = line
        self.run("ifconfig lo 127.0.0.1 up; ifconfig eth0 10.0.2.15 up")
        for line in ("0.0.0.0:3333", "/dev/hvc4"):
            self.start(f"while :; do gdbserver --multi {line}; done", f"/tmp/gdbserver-{line.replace('/', '-')}")
        self.run("until grep -qs . /tmp/gdbserver-0.0.0.0:3333; do sleep 0.1; done")

    def run(self, command, **options):
        """What a command prints."""
        return self.guest.run(command, **options).stdout.decode()

    def start(self, command, log="/tmp/log"):
        """Start something in the background; its process."""
        return int(self.run(f"cd /; sh -c {_quoted(command)} > {log} 2>&1 < /dev/null & echo $!"))

    def status(self, pid, field):
        """A field of /proc/PID/status."""
        return self.run(f"grep ^{field}: /proc/{pid}/status").partition(":")[2].strip()


def _quoted(command):
    return "'" + command.replace("'", "'\\''") + "'"


def compiled(source, folder, *flags):
    """Compile a program or library for the guest."""
    output = folder / Path(source).stem
    subprocess.run([tool("gcc"), "-O2", "-Wall", "-Werror", "-o", output, _HERE / source, *flags], check=True)
    return output


@pytest.fixture(scope="session")
def busy(tmp_path_factory):
    """The program busy.c, position independent."""
    return compiled("programs/busy.c", tmp_path_factory.mktemp("busy"), "-pthread", "-pie", "-fPIE")


@pytest.fixture(scope="session")
def user(tmp_path_factory, debian_files):
    """The program user.c and the library libthing.so.1 that it uses, and zlib: path in the guest -> file."""
    folder = tmp_path_factory.mktemp("user")
    library = compiled("programs/library.c", folder, "-shared", "-fPIC", "-Wl,-soname,libthing.so.1")
    library = library.rename(folder / "libthing.so.1")
    libraries = [library, debian_files["lib/powerpc64le-linux-gnu/libz.so.1"]]
    program = compiled("programs/user.c", folder, "-pie", "-fPIE", *libraries, "-pthread", "-Wl,-rpath,/lib")
    return {"bin/user": program, "lib/libthing.so.1": library}


@pytest.fixture(scope="session")
def debian_files():
    """Debian's programs: path in the guest -> file."""
    return program_files(_PACKAGES, (*_PROGRAMS, *_MORE))


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """Builds a patch object from a source in the folder `patches`, once."""
    folder = tmp_path_factory.mktemp("objects")
    made = {}

    def get(name, **options):
        key = name, tuple(sorted(options.items()))
        if key not in made:
            made[key] = compile_patch(_HERE / f"patches/{name}.c", folder / f"{name}.o", **options)
        return made[key]

    return get


@pytest.fixture(scope="session")
def process_guest(shared_guest_factory, kernels, busy, user, debian_files, tmp_path_factory):
    """A guest with programs of Debian's, and a gdbserver that attaches to any of them."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    files = debian_files | user | {"bin/busy": busy}
    network = ["-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{port}-:3333", "-device", "spapr-vlan,netdev=net"]
    path = tmp_path_factory.mktemp("line") / "socket"
    line = ["-chardev", f"socket,id=line,path={path},server=on,wait=off"]
    line += ["-device", f"spapr-vty,chardev=line,reg={_SERIAL_LINE:#x}"]
    guest = shared_guest_factory(
        "6.1", modules=load_order(kernels["6.1"].modules, ["ibmveth"]), files=files, arguments=[*network, *line]
    )
    return ProcessGuest(guest, port, path)
