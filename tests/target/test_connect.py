"""Target addresses, and QEMUs that are asked for a debug server through QMP."""

import asyncio
import os
import socket
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oddtoc.errors import GuestError, OddtocError, TargetError, TargetInUseError, UsageError
from oddtoc.target.connect import connect, parse_target
from oddtoc.target.qemu import QemuTarget
from oddtoc.target.qmp import open_debug_server

pytestmark = pytest.mark.usefixtures("own_runtime_folder")


@pytest.mark.parametrize(
    "text, endpoint",
    [
        ("gdb://localhost:1234", ("localhost", 1234)),
        ("gdb://127.0.0.1:65535", ("127.0.0.1", 65535)),
        ("gdb://[::1]:1234", ("::1", 1234)),
    ],
)
def test_host_and_port(text, endpoint):
    address = parse_target(text)
    assert (address.text, address.endpoint, address.qmp, address.vmlinux) == (text, endpoint, None, None)


def test_a_socket_is_known_by_its_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("here:there")
        assert parse_target("here:there").endpoint == Path("here:there")


def test_a_qmp_socket():
    assert parse_target("qmp:/run/vm.qmp").qmp == Path("/run/vm.qmp")


def test_a_process_of_this_machine():
    assert parse_target("pid:412").pid == 412


WRONG = [
    "",
    "pid:",
    "pid:0",
    "pid:-1",
    "pid:12x",
    "pid:12345678",
    ":",
    "guest:",
    "qmp:",
    "gdb://",
    "gdb://host",
    "gdb://host:",
    "gdb://host:x",
    "gdb://host:65536",
    "gdb://:1",
]
WRONG += [
    "gdb://a:b:1",
    "gdb://::1:1",
    "gdb://host:1/x",
    "gdb:host:1",
    "/no/such/socket",
    "/tmp",
    "x" * 5000,
    "a\0b",
]


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_address_is_refused_with_those_that_are(text):
    with pytest.raises(UsageError) as caught:
        parse_target(text)
    assert caught.value.advice


def test_a_guest_that_is_not_there():
    with pytest.raises(GuestError, match="no guest nobody"):
        parse_target("guest:nobody")


@given(st.text() | st.text().map("gdb://{}".format))
def test_any_text_is_an_address_or_a_typed_error(text):
    with suppress(OddtocError):
        assert parse_target(text).text == text


def test_a_new_server_is_opened_where_only_the_user_can_enter(bare_qemu, own_runtime_folder):
    qemu = bare_qemu(debug=False)
    qemu.qmp.close()
    with connect(parse_target(f"qmp:{qemu.qmp_socket}")) as target:
        with target.stopped() as stopped:
            assert len(stopped.cpus()) == 2
        (path,) = (own_runtime_folder / "oddtoc" / "debug").iterdir()
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    # asked again it is the same, and it works again
    assert open_debug_server(qemu.qmp_socket) == path
    with QemuTarget.connect(path) as target, target.stopped() as stopped:
        assert len(stopped.cpus()) == 2


def test_the_path_of_a_new_server_is_the_same_in_every_process():
    command = "import pathlib; from oddtoc.target.qmp import new_socket; print(new_socket(pathlib.Path('/run/vm.qmp')))"
    paths = set()
    for seed in "123":
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        paths.add(subprocess.check_output([sys.executable, "-c", command], env=environment))
    assert len(paths) == 1


def test_it_works_inside_of_an_event_loop(bare_qemu):
    qemu = bare_qemu()
    qemu.qmp.close()

    async def notebook():
        return open_debug_server(qemu.qmp_socket)

    assert asyncio.run(notebook()) == qemu.gdb


@pytest.mark.parametrize(
    "arguments",
    [
        ["-gdb", "unix:{folder}/gdb,server=on,wait=off"],
        ["-chardev", "socket,id=gdb,path={folder}/gdb,server=on,wait=off", "-gdb", "chardev:gdb"],
    ],
    ids=["unix", "chardev"],
)
def test_a_server_that_is_there_is_used(bare_qemu, arguments):
    qemu = bare_qemu(*arguments, debug=False)
    qemu.qmp.close()
    assert open_debug_server(qemu.qmp_socket) == qemu.gdb
    with QemuTarget.connect(qemu.gdb):
        assert open_debug_server(qemu.qmp_socket) == qemu.gdb
        with pytest.raises(TargetInUseError):
            connect(parse_target(f"qmp:{qemu.qmp_socket}"))


@pytest.fixture
def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.mark.parametrize("host", ["127.0.0.1", ""])
def test_a_server_on_tcp_is_used(bare_qemu, free_port, host):
    qemu = bare_qemu("-gdb", f"tcp:{host}:{free_port}", debug=False)
    qemu.qmp.close()
    with connect(parse_target(f"qmp:{qemu.qmp_socket}")) as target:
        assert open_debug_server(qemu.qmp_socket) == ("127.0.0.1", free_port)
        with target.stopped() as stopped:
            assert len(stopped.cpus()) == 2


def test_a_server_that_can_not_be_recognised_is_left_alone(bare_qemu):
    qemu = bare_qemu(
        "-chardev", "socket,id=debug,path={folder}/gdb,server=on,wait=off", "-gdb", "chardev:debug", debug=False
    )
    qemu.qmp.close()
    with QemuTarget.connect(qemu.gdb) as target:
        with pytest.raises(TargetError, match="a debug server of its own"):
            open_debug_server(qemu.qmp_socket)
        with target.stopped() as stopped:
            assert len(stopped.cpus()) == 2


def test_a_path_with_everything_in_it(bare_qemu, own_runtime_folder, monkeypatch):
    folder = own_runtime_folder / 'a, "b\\ c'
    folder.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    qemu = bare_qemu(debug=False)
    qemu.qmp.close()
    with QemuTarget.connect(open_debug_server(qemu.qmp_socket)) as target, target.stopped() as stopped:
        assert len(stopped.cpus()) == 2


def test_a_path_too_long_for_a_socket(bare_qemu, own_runtime_folder, monkeypatch):
    folder = own_runtime_folder / ("long" * 30)
    folder.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    qemu = bare_qemu(debug=False)
    qemu.qmp.close()
    with pytest.raises(TargetError, match="opens no debug server"):
        open_debug_server(qemu.qmp_socket)


def test_a_qmp_socket_with_another_client(bare_qemu):
    qemu = bare_qemu(debug=False)
    with pytest.raises(TargetInUseError, match="another client"):
        open_debug_server(qemu.qmp_socket)
    assert qemu.qmp.status == "running"


def test_what_is_no_qmp_socket(tmp_path, free_port):
    (tmp_path / "file").touch()
    for path in (tmp_path / "none", tmp_path / "file", tmp_path / ("x" * 300)):
        with pytest.raises(TargetError, match="QMP"):
            open_debug_server(path)
    with pytest.raises(TargetError, match="nobody answers"):
        connect(parse_target(f"gdb://127.0.0.1:{free_port}"))


def test_a_qmp_socket_taken_for_a_debug_socket(bare_qemu):
    qemu = bare_qemu(debug=False)
    qemu.qmp.close()
    with pytest.raises(TargetError, match="does not speak the gdb remote protocol"):
        connect(parse_target(str(qemu.qmp_socket)))


REMOTE = ["192.0.2.1", "example.invalid", "0.0.0.0", "::", "localhost.example.invalid", "127.1", "fe80::1"]


@pytest.mark.parametrize("host", REMOTE)
def test_another_machine_is_refused_before_anything_is_sent(monkeypatch, host):
    def asked(*_arguments, **_options):
        raise AssertionError(host)

    monkeypatch.setattr(socket, "getaddrinfo", asked)
    monkeypatch.setattr("oddtoc.target.connect.open_server", asked)
    with pytest.raises(TargetError, match="not on this machine"):
        connect(parse_target(f"gdb://[{host}]:1234" if ":" in host else f"gdb://{host}:1234"))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "localhost", "LocalHost", "::1"])
def test_this_machine_is_not(monkeypatch, host):
    monkeypatch.setattr("oddtoc.target.connect.open_server", lambda endpoint, _pid: endpoint)
    assert connect(parse_target(f"gdb://[{host}]:1" if ":" in host else f"gdb://{host}:1")) == (host, 1)


def test_another_machine_is_taken_when_told(monkeypatch):
    monkeypatch.setattr("oddtoc.target.connect.open_server", lambda endpoint, _pid: endpoint)
    assert connect(parse_target("gdb://192.0.2.1:1"), remote=True) == ("192.0.2.1", 1)
