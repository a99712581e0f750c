"""The peer: upstream's livepatch in a 6.1 kernel built from Debian's source, counted like ours.

The kernel is built once per source version and configuration and kept in the cache folder; a second run only loads it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.cost.cases import CASES, COMMAND, PATCHES, Case, Probe
from bench.cost.cost import Cost
from bench.cost.machine import Machine

from oddtoc.debian.apt import PrivateApt
from oddtoc.debian.kernels import SERIES, cache_folder
from oddtoc.errors import BuildError, FetchError, GuestError
from oddtoc.image.elf import Image
from oddtoc.places import Span

CONFIG = Path(__file__).parent.parent / "upstream.config"
MECHANISM = "upstream livepatch"
KERNEL = "peer"
SAMPLE = "livepatch-sample"
_SOURCE = "linux-source-6.1"
_NEEDED = ("gcc", "flex", "bison", "bc", "make", "xz", "powerpc64le-linux-gnu-gcc")
_MODULES = Span(0xC008000000000000, 0xC00A000000000000)
"""Where modules are with the radix MMU (arch/powerpc/include/asm/book3s/64/radix.h, RADIX_VMALLOC_START)."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Peer:
    """A built kernel.

    Attributes:
        tree: the kernel's source and build folder.
        version: of the Debian package it was built from.
        modules: a livepatch module for each case.
    """

    tree: Path
    version: str
    modules: dict[Case, Path]

    @property
    def vmlinux(self) -> Path:
        """The kernel's ELF image."""
        return self.tree / "vmlinux"


def build_peer(tell: Tell) -> Peer:
    """Build the kernel and its livepatch modules, unless that was done before.

    Args:
        tell: is told what is going on.

    Raises:
        BuildError: a tool is missing, or the build failed.
        FetchError: the source could not be had.
    """
    missing = [name for name in _NEEDED if not shutil.which(name)]
    if missing:
        raise BuildError(
            f"missing to build a kernel: {', '.join(missing)}",
            advice="on Debian: apt-get install gcc libc6-dev flex bison bc make xz-utils gcc-powerpc64le-linux-gnu",
        )
    folder = cache_folder() / "peer"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        # a second run waits for the first one's build
        fcntl.flock(lock, fcntl.LOCK_EX)
        tree, version = _tree(folder, tell)
        modules = _modules(tree, Image.open(tree / "vmlinux"))
    return Peer(tree, version, modules)


def costs(peer: Peer, busybox: Path) -> Iterator[Cost]:
    """Every case, in one boot of the peer's kernel."""
    image = Image.open(peer.vmlinux)
    probes = [Probe(case, image) for case in CASES]
    watches = [_MODULES, *dict.fromkeys(watch for probe in probes for watch in probe.watches)]
    files = {f"/{module.stem}.ko": module for module in peer.modules.values()}
    with Machine(peer.vmlinux, busybox, watches, files) as machine:
        plain = machine.events_of(COMMAND)
        for probe in probes:
            name = peer.modules[probe.case].stem
            state = f"/sys/kernel/livepatch/{name.replace('-', '_')}"
            machine.run(f"insmod /{name}.ko")
            _wait(machine, f"cat {state}/transition", "0")
            patched = probe.call(machine.events_of(COMMAND), _MODULES)
            machine.run(f"echo 0 > {state}/enabled")
            _wait(machine, f"ls {state} 2> /dev/null || echo gone", "gone")
            machine.run(f"rmmod {name}")
            yield Cost.between(KERNEL, MECHANISM, probe.case.name, probe.case.functions, probe.call(plain), patched)


def _wait(machine: Machine, command: str, wanted: str, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while (answer := machine.run(command).strip()) != wanted:
        if time.monotonic() > deadline:
            raise GuestError(f"{command} still says {answer!r} in the guest after {seconds:.0f} s")
        time.sleep(0.5)


def _tree(folder: Path, tell: Tell) -> tuple[Path, str]:
    """The built kernel's folder, and the version of its source."""
    configuration = hashlib.sha256(CONFIG.read_bytes()).hexdigest()[:12]
    built = sorted(folder.glob(f"*-{configuration}/built"))
    if built:
        return built[-1].parent, built[-1].read_text().strip()
    archive, version = _source(tell)
    tree = folder / f"{version}-{configuration}"
    tell(f"unpacking the kernel source {version}")
    _unpack(archive, tree)
    tell("building the kernel, about 3 minutes on 2 cores")
    _make(tree, [f"KCONFIG_ALLCONFIG={CONFIG.resolve()}", "allnoconfig"])
    _make(tree, [f"-j{os.cpu_count() or 1}", "vmlinux", "modules"])
    # last: a build that was interrupted is begun anew
    (tree / "built").write_text(version + "\n")
    archive.unlink()
    return tree, version


def _source(tell: Tell) -> tuple[Path, str]:
    apt = PrivateApt(cache_folder() / "apt" / "6.1", SERIES["6.1"])
    found = apt.newest(_SOURCE.replace(".", r"\."))
    if found is None:
        apt.update()
        found = apt.newest(_SOURCE.replace(".", r"\."))
    if found is None:
        raise FetchError(f"there is no package {_SOURCE}", advice="is the network there? run it again")
    tell(f"downloading {found.name} {found.version}")
    return apt.download([found], lambda _what, _percent: None)[0], found.version


def _unpack(archive: Path, tree: Path) -> None:
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(archive)], stdout=subprocess.PIPE) as package:
        command = ["tar", "-xO", f"./usr/src/{_SOURCE}.tar.xz"]
        with subprocess.Popen(command, stdin=package.stdout, stdout=subprocess.PIPE) as inner:
            subprocess.run(["tar", "-xJ", "--strip-components=1", "-C", str(tree)], stdin=inner.stdout, check=True)


def _modules(tree: Path, image: Image) -> dict[Case, Path]:
    """The livepatch module for each case: the kernel's own sample where it does the same, otherwise one of ours."""
    folder = tree / "oddtoc"
    folder.mkdir(exist_ok=True)
    sources = {"replacements.h": (PATCHES / "replacements.h").read_text()}
    kbuild = []
    modules = {}
    for case in CASES:
        if case.define == "SHOW_1":
            modules[case] = tree / "samples" / "livepatch" / f"{SAMPLE}.ko"
            continue
        name = f"livepatch-{case.define.lower().replace('_', '-')}"
        sources[f"{name}.c"] = (PATCHES / "livepatch.c").read_text()
        kbuild += [f"obj-m += {name}.o", f"CFLAGS_{name}.o := {case.flag(image)}"]
        modules[case] = folder / f"{name}.ko"
    sources["Kbuild"] = "\n".join(kbuild) + "\n"
    changed = [name for name, text in sources.items() if not _is(folder / name, text)]
    for name in changed:
        (folder / name).write_text(sources[name])
    if changed or not all(module.exists() for module in modules.values()):
        _make(tree, [f"M={folder}", "modules"])
    return modules


def _is(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text


def _make(tree: Path, arguments: Sequence[str]) -> None:
    command = ["make", "-C", str(tree), "ARCH=powerpc", "CROSS_COMPILE=powerpc64le-linux-gnu-", *arguments]
    result = subprocess.run(["nice", "-n", "10", *command], capture_output=True, text=True, check=False)
    if result.returncode:
        errors = [line for line in result.stderr.splitlines() if "rror" in line] or result.stderr.splitlines()
        raise BuildError(
            f"make {arguments[-1]} failed in {tree}", output=result.stderr, advice=errors[0] if errors else None
        )
