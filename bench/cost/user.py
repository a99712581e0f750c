"""The mechanisms in user mode: a program linked with a trampoline, under qemu-ppc64le."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.cost.calls import Call, calls_of, usual
from bench.cost.cases import PATCHES, USER_CASES, UserCase
from bench.cost.cost import Cost
from bench.cost.plugin import compile_plugin, plugin_argument, read_events

from oddtoc.build.compile import TRAMPOLINES, tool
from oddtoc.errors import BuildError, MechanismError, TargetError
from oddtoc.image.elf import Image
from oddtoc.image.entry import Entry, TocSetup
from oddtoc.link.object import TRAMPOLINE_PREFIX
from oddtoc.mechanism.catalog import MECHANISMS, Mechanism
from oddtoc.places import Span

KERNEL = "user mode"
_TEXT = 0x100000000000
"""So high that ld leaves `addis r2,r12` alone; a low one becomes `lis r2`."""
_TRAMPOLINE = _TEXT + 0x40000
_GOT = _TEXT + 0x80000
_TOC = _GOT + 0x8000
"""ELFv2 ABI, 3.3: .TOC. stands 32 KiB into the GOT."""
_SYMBOLS = {
    "trampoline": f"{_TRAMPOLINE:#x}",
    "oddtoc_new": "replacement",
    "oddtoc_toc": f"{_TOC:#x}",
    "oddtoc_toc_delta": "0x10000",
    "oddtoc_toc_above_entry": f"{_TOC:#x}-callee",
    # 64 MiB from the TOC pointer: the caller must not stand in the block of return helpers
    "oddtoc_helpers": "0-0x4000000",
    # user.S keeps the pointer there
    "oddtoc_thread_stack": "8",
}


@dataclass(frozen=True)
class Program:
    """A linked program: where its call, the function's body and the replacement are."""

    path: Path
    image: Image

    def place(self, name: str) -> int:
        """The address of a symbol of user.S."""
        return self.image.symbols.one(name).address


def costs() -> Iterator[Cost]:
    """Every mechanism with every kind of call.

    Raises:
        BuildError: a tool is missing.
        TargetError: a call came back wrong.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plugin = compile_plugin(folder)
        _run([tool("gcc"), "-c", str(TRAMPOLINES / "process.S")], folder)
        for case in USER_CASES:
            unpatched = _link(folder, case, ["-DGIVES=1", "-DMARK=0"])
            plain = _count(unpatched, plugin, Span(unpatched.place("body"), unpatched.place("replacement")))
            for mechanism in MECHANISMS.values():
                entry = unpatched.image.entry("callee")
                try:
                    mechanism.check(entry, thread_stack=True)
                except MechanismError as error:
                    yield Cost(KERNEL, mechanism.name, case.name, 1, refused=error.message)
                    continue
                program = _patched(folder, case, mechanism, entry)
                call = _count(program, plugin, Span(program.place("replacement"), program.place("end")))
                yield Cost.between(KERNEL, mechanism.name, case.name, 1, plain, call)


def _patched(folder: Path, case: UserCase, mechanism: Mechanism, entry: Entry) -> Program:
    template = mechanism.template(entry, replacement_uses_toc=case.replacement_uses_toc)
    mark = int(mechanism.marks and entry.toc_setup is not TocSetup.NONE)
    flags = ["-DGIVES=2", f"-DMARK={mark}", f"-DTARGET={'trampoline' if template else 'replacement'}"]
    if template is None:
        return _link(folder, case, flags)
    section = f"{TRAMPOLINE_PREFIX}process.{template}"
    # the other templates want symbols that this program does not have
    _run([tool("objcopy"), f"-R{TRAMPOLINE_PREFIX}*", f"-R!{section}", "process.o", "trampoline.o"], folder)
    return _link(folder, case, [*flags, f"-Wl,--section-start={section}={_TRAMPOLINE:#x}", "trampoline.o"])


def _link(folder: Path, case: UserCase, arguments: Sequence[str]) -> Program:
    symbols = [f"-Wl,--defsym,{name}={value}" for name, value in _SYMBOLS.items()]
    layout = ["-nostdlib", "-static", f"-Wl,-Ttext-segment={_TEXT:#x}", f"-Wl,--section-start=.got={_GOT:#x}"]
    source = str(PATCHES / "user.S")
    _run([tool("gcc"), *case.flags, *layout, *symbols, source, *arguments, "-o", "program"], folder)
    return Program(folder / "program", Image.open(folder / "program"))


def _count(program: Program, plugin: Path, body: Span) -> Call:
    call = program.place("call")
    log = plugin.with_name("events")
    argument = plugin_argument(plugin, log, [Span(call, call + 8), body])
    result = subprocess.run(["qemu-ppc64le", "-plugin", argument, str(program.path)], check=False)
    if result.returncode:
        raise TargetError(f"a call came back wrong in user mode: status {result.returncode}", address=call)
    return usual(calls_of(read_events(log), {call}, body), "callee")


def _run(command: Sequence[str], folder: Path) -> None:
    result = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    if result.returncode:
        first = next(iter(result.stderr.splitlines()), "")
        raise BuildError("the user mode program does not build", output=result.stderr, advice=first)
