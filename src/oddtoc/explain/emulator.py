"""Run a stage under qemu-ppc64le, one instruction at a time, through its debug server."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from oddtoc.errors import BuildError, TargetError
from oddtoc.explain.stage import Stage
from oddtoc.explain.trace import HEADER_SIZE, Call, Moment, State, Trace, read_header
from oddtoc.target.handshake import describe, greet
from oddtoc.target.registers import Layout, decode_core
from oddtoc.target.rsp import Connection
from oddtoc.target.user import UserConnection

WHERE = "the laboratory (qemu-ppc64le)"
_MOST_STEPS = 500
_PATIENCE = 10.0
"""Seconds until the emulator's debug server is there, and for each of its answers."""
_NUMBERS = {**{f"r{number}": number for number in range(32)}, "pc": 64}
"""How the debug server numbers registers (target/ppc/gdbstub.c of QEMU)."""


def run_stage(stage: Stage, mechanism: str, call: Call) -> Trace:
    """Run the call, and record every instruction.

    Args:
        stage: from `build_stage`.
        mechanism, call: what it was built for.

    Raises:
        BuildError: there is no qemu-ppc64le.
        TargetError: it does not do what is asked.
    """
    with tempfile.TemporaryDirectory(prefix="oddtoc-explain-") as folder, _emulated(stage, Path(folder)) as connection:
        layout = describe(connection, greet(connection).packet_size)
        _set_registers(connection, stage.registers)
        state = _look(connection, layout, stage)
        moments: list[Moment] = []
        stopped = None
        while state.pc != stage.end and stopped is None:
            if len(moments) == _MOST_STEPS:
                stopped = f"it does not come back within {_MOST_STEPS} instructions"
                break
            moments.append(Moment(state, stage.memory.word(state.pc)))
            stopped = _step(connection)
            state = _look(connection, layout, stage)
    return Trace(stage.map, mechanism, call, WHERE, tuple(moments), state, stage.back, stopped)


def _step(connection: Connection) -> str | None:
    """Run one instruction; what went wrong, in words, if something did."""
    (reply,) = connection.exchange([b"s"])
    if reply[:1] in (b"W", b"X"):
        raise TargetError("the emulator ended in the middle of the call")
    signal = reply[1:3]
    return None if signal == b"05" else f"the instruction was not carried out: signal {int(signal, 16)}"


def _look(connection: Connection, layout: Layout, stage: Stage) -> State:
    core, header = connection.exchange([b"g", b"m%x,%x" % (stage.frame, HEADER_SIZE)])
    return State(decode_core(layout, core), read_header(bytes.fromhex(header.decode("ascii"))))


def _set_registers(connection: Connection, registers: dict[str, int]) -> None:
    requests = [
        b"P%x=%b" % (_NUMBERS[name], value.to_bytes(8, "little").hex().encode()) for name, value in registers.items()
    ]
    if any(reply != b"OK" for reply in connection.exchange(requests)):
        raise TargetError("the emulator does not let registers be set")


@contextmanager
def _emulated(stage: Stage, folder: Path) -> Iterator[Connection]:
    program, endpoint = folder / "stage", folder / "debug"
    program.write_bytes(stage.memory.elf(stage.registers["pc"]))
    program.chmod(0o700)
    emulator = subprocess.Popen([_emulator(), "-g", str(endpoint), str(program)], stdin=subprocess.DEVNULL)
    try:
        connection = _connected(emulator, endpoint)
        try:
            yield connection
        finally:
            # before the connection is closed, which lets it run on
            emulator.kill()
            connection.close()
    finally:
        emulator.kill()
        emulator.wait()


def _connected(emulator: subprocess.Popen[bytes], endpoint: Path) -> Connection:
    limit = time.monotonic() + _PATIENCE
    while emulator.poll() is None and time.monotonic() < limit:
        if endpoint.exists():
            try:
                return UserConnection(endpoint, _PATIENCE)
            except TargetError:
                pass  # between bind and listen
        time.sleep(0.005)
    raise TargetError(f"{emulator.args} does not wait for a debugger")  # type: ignore[str-bytes-safe]


def _emulator() -> str:
    for name in ("qemu-ppc64le", "qemu-ppc64le-static"):
        if path := shutil.which(name):
            return path
    raise BuildError("no qemu-ppc64le is installed", advice="on Debian: apt-get install qemu-user")
