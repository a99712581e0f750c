"""The counting plugin against a program whose instructions can be counted by hand, and against single-stepping."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path
from socket import AF_UNIX

import pytest
from bench.cost.calls import Call, calls_of, usual
from bench.cost.plugin import Event, compile_plugin, plugin_argument, read_events

from oddtoc.build.compile import tool
from oddtoc.errors import TargetError
from oddtoc.image.elf import Image
from oddtoc.places import Span

PC = 64
"""Its number in QEMU's description of a Power CPU."""
TURNS = 7
PROGRAM = f"""
        .abiversion 2
        .globl _start, loop, call, behind, done, callee
        .type callee, @function
_start: li 5, {TURNS}
        mtctr 5
loop:   addi 6, 6, 1
call:   bl callee
behind: bdnz loop
done:   li 0, 1
        li 3, 0
        sc
callee: cmpdi 6, 3
        beqlr
        nop
        blr
        .size callee, . - callee
"""
IN_A_TURN = 7
"""addi, bl, four of the callee, bdnz."""
IN_THE_SHORT_TURN = 5
"""The third: the callee returns at its second instruction."""


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    folder = tmp_path_factory.mktemp("program")
    source = folder / "loop.s"
    source.write_text(PROGRAM)
    subprocess.run([tool("gcc"), "-nostdlib", "-static", "-o", str(folder / "loop"), str(source)], check=True)
    return folder / "loop"


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    return compile_plugin(tmp_path_factory.mktemp("plugin"))


@pytest.fixture(scope="module")
def addresses(program):
    image = Image.open(program)
    return {name: image.symbols.one(name).address for name in ("_start", "loop", "call", "behind", "done", "callee")}


def run(program, plugin, log, watches, **options):
    argument = plugin_argument(plugin, log, watches, **options)
    return subprocess.run(["qemu-ppc64le", "-plugin", argument, str(program)], capture_output=True, text=True)


def test_counts_a_known_loop_exactly(program, plugin, addresses, tmp_path):
    log = tmp_path / "log"
    watches = [Span(addresses[name], addresses[name] + 4) for name in ("loop", "done")]
    assert run(program, plugin, log, watches).returncode == 0
    counts = [2 + IN_A_TURN * turn - (2 if turn > 2 else 0) for turn in range(TURNS + 1)]
    assert IN_A_TURN - IN_THE_SHORT_TURN == 2
    expected = [Event(0, addresses["loop"], count) for count in counts[:-1]]
    assert read_events(log) == [*expected, Event(0, addresses["done"], counts[-1])]


def test_every_instruction_is_the_one_that_single_stepping_finds(program, plugin, addresses, tmp_path):
    log = tmp_path / "log"
    everything = Span(addresses["_start"], addresses["callee"] + 16)
    assert run(program, plugin, log, [everything]).returncode == 0
    events = read_events(log)
    assert [event.count for event in events] == list(range(len(events)))
    assert [event.address for event in events] == stepped(program, tmp_path / "gdb")


def stepped(program: Path, endpoint: Path) -> list[int]:
    """The addresses of all instructions of a program, by stepping through it with QEMU's gdb server."""
    with subprocess.Popen(["qemu-ppc64le", "-g", str(endpoint), str(program)]) as qemu, socket.socket(AF_UNIX) as gdb:
        while not endpoint.is_socket():
            assert qemu.poll() is None
        gdb.connect(str(endpoint))
        # before it is asked for its registers by name, QEMU does not tell them
        ask(gdb, b"qXfer:features:read:target.xml:0,fff")
        found = []
        while True:
            found.append(int.from_bytes(bytes.fromhex(ask(gdb, b"p%x" % PC).decode()), "little"))
            if ask(gdb, b"s")[:1] == b"W":
                return found


def ask(gdb: socket.socket, request: bytes) -> bytes:
    """One request of the gdb remote protocol and the payload of its reply."""
    gdb.sendall(b"+$%b#%02x" % (request, sum(request) & 0xFF))
    reply = b""
    while b"#" not in reply[:-2]:
        reply += gdb.recv(4096)
    return reply.partition(b"$")[2].partition(b"#")[0]


def test_calls_are_told_from_the_events(program, plugin, addresses, tmp_path):
    log = tmp_path / "log"
    callee = Span(addresses["callee"], addresses["callee"] + 16)
    call = addresses["call"]
    assert run(program, plugin, log, [Span(call, call + 8), callee]).returncode == 0
    calls = list(calls_of(read_events(log), {call}, callee))
    assert calls == [Call(1, 1, callee.start)] * TURNS
    # the body without its first two instructions: the third turn never gets there
    later = list(calls_of(read_events(log), {call}, Span(callee.start + 8, callee.end)))
    assert later == [Call(3, 1, callee.start + 8)] * (TURNS - 1)
    assert usual(later, "callee") == later[0]


def test_the_shortest_call_counts_when_most_are_alike():
    assert usual([Call(3, 1, 64), Call(900, 1, 64), Call(3, 1, 64)], "f") == Call(3, 1, 64)
    with pytest.raises(TargetError, match="calls of f differ: 1 x 3"):
        usual([Call(3, 1, 64), Call(4, 1, 64), Call(5, 1, 64)], "f")
    with pytest.raises(TargetError, match="f was not called"):
        usual([], "f")


def test_calls_of_two_vcpus_are_kept_apart():
    events = [Event(0, 0x10, 5), Event(1, 0x10, 90), Event(1, 0x40, 92), Event(0, 0x40, 8)]
    events += [Event(0, 0x14, 9), Event(1, 0x14, 95)]
    assert list(calls_of(events, {0x10}, Span(0x40, 0x44))) == [Call(3, 1, 0x40), Call(2, 3, 0x40)]


def test_the_limit_ends_the_log_and_not_the_program(program, plugin, addresses, tmp_path):
    log = tmp_path / "log"
    everything = Span(addresses["_start"], addresses["callee"] + 16)
    assert run(program, plugin, log, [everything], limit=5).returncode == 0
    assert [event.count for event in read_events(log)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("argument", ["watch=zz", "watch=20-10", "nonsense=1"])
def test_a_malformed_argument_is_refused(program, plugin, tmp_path, argument):
    command = ["qemu-ppc64le", "-plugin", f"{plugin},out={tmp_path / 'log'},{argument}", str(program)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode != 0
    assert f"can't understand {argument}" in result.stderr


def test_a_log_needs_a_place(program, plugin):
    result = subprocess.run(["qemu-ppc64le", "-plugin", str(plugin), str(program)], capture_output=True, text=True)
    assert result.returncode != 0
    assert "out=FILE is missing" in result.stderr


def test_another_file_is_no_log(tmp_path):
    (tmp_path / "log").write_text("hello\n")
    with pytest.raises(TargetError, match="no log"):
        read_events(tmp_path / "log")
