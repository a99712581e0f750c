"""The machine code of the laboratory: three kinds of objects with TOC pointers of their own, three patches.

Everything but the mechanism is the same in all programs and is built once. The objects are linked by ld, each at its
own address; the patches stay relocatable, because `program.py` links them with each mechanism.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from oddtoc.build.compile import compile_patch, tool
from oddtoc.errors import BuildError, ImageError
from oddtoc.image.elf import Image
from oddtoc.link.object import PatchObject

MACHINE = Path(__file__).parent / "machine"

PATCHED_AT = 0x1000_0000_0000
"""The patched object K. Below 2 GiB ld would turn `addis r2,r12` into `lis r2`, and the entries change shape."""
NEAR_AT = PATCHED_AT + (8 << 20)
"""N, a library next door: within reach of a bl."""
OTHER_AT = PATCHED_AT + (256 << 20)
"""M, another library."""
FAR_AT = 0x2000_0000_0000
"""F, code beyond 2 GiB that runs on K's TOC pointer: BPF's JIT."""

PATCHES = ("patch_a", "patch_b", "patch_c")

_ASSEMBLE = ("-m64", "-mlittle-endian", "-mcpu=power8", f"-I{MACHINE}", f"-Wa,-I{MACHINE}", "-c")
# -mcmodel=large: the laboratory knows functions of objects that are far away
_COMPILE = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-ffreestanding", "-fno-pic", "-fno-pie", "-fno-stack-protector",
            "-fno-asynchronous-unwind-tables", "-mcmodel=large")  # fmt: skip
_LINK = ("-z", "max-page-size=65536", "-z", "noexecstack", "-e", "0")
# the kernel's flags leave these registers alone; in a process they hold arguments
_PATCH = ("-mhard-float", "-maltivec", "-mvsx", "-mblock-move-inline-limit=128", f"-I{MACHINE}", f"-Wa,-I{MACHINE}")


@dataclass(frozen=True)
class Objects:
    """What was built.

    Attributes:
        laboratory: path of the program that maps an image and runs scenarios in it.
        patched, other, near, far, edge: the linked objects K, M, N, F, and callers 2 GiB below K's TOC pointer.
        patches: the patch objects, in the order in which they are applied.
    """

    laboratory: Path
    patched: Image
    other: Image
    near: Image
    far: Image
    edge: Image
    patches: tuple[PatchObject, ...]

    @property
    def linked(self) -> tuple[Image, ...]:
        """All linked objects."""
        return self.patched, self.other, self.near, self.far, self.edge


def emulator() -> str:
    """The path of qemu-ppc64le.

    Raises:
        BuildError: it is not installed.
    """
    for name in ("qemu-ppc64le", "qemu-ppc64le-static"):
        if path := shutil.which(name):
            return path
    raise BuildError("no qemu-ppc64le is installed", advice="on Debian: apt-get install qemu-user")


def build_objects(folder: Path, *, jobs: int = 2) -> Objects:
    """Compile, assemble and link everything in a folder; takes about three seconds of computing.

    Args:
        folder: where everything goes.
        jobs: compilers at a time.

    Raises:
        BuildError: a tool is missing, or refuses a source.
    """
    with ThreadPoolExecutor(jobs) as pool:
        patches = [pool.submit(_build_patch, folder, name) for name in PATCHES]
        sources = [MACHINE / "start.s", *sorted(MACHINE.glob("*.c"))]
        parts = [pool.submit(_translate, source, folder) for source in sources if source.stem not in PATCHES]
        linked = _link_objects(folder)
        known = [f"--just-symbols={image.path}" for image in linked]
        laboratory = folder / "laboratory"
        command = [tool("ld"), "-static", "-z", "noexecstack", "-Ttext-segment=0x10000000", *known]
        _run([*command, *(part.result() for part in parts), "-o", laboratory])
        return Objects(laboratory, *linked, tuple(patch.result() for patch in patches))


def _link_objects(folder: Path) -> tuple[Image, Image, Image, Image, Image]:
    patched = _link(folder, "patched", "patched.s", f"-Ttext-segment={PATCHED_AT:#x}")
    if patched.toc is None:
        raise ImageError("ld gave the laboratory's patched object no TOC pointer")
    places = {"m": OTHER_AT, "n": NEAR_AT, "f": FAR_AT}
    other, near, far = (
        _link(folder, name, "caller.S", f"-Ttext-segment={place:#x}", f"-DPREFIX={name}")
        for name, place in places.items()
    )
    # the branch stands in front of the address that is 2 GiB below
    edge = _link(folder, "edge", "edge.s", f"-Ttext={patched.toc - (1 << 31) - 4:#x}")
    return patched, other, near, far, edge


def _build_patch(folder: Path, name: str) -> PatchObject:
    return compile_patch(MACHINE / f"{name}.c", folder / f"{name}.o", flags=_PATCH)


def _translate(source: Path, folder: Path, *flags: str, name: str | None = None) -> Path:
    output = folder / f"{name or source.stem}.o"
    language = _COMPILE if source.suffix == ".c" else ()
    _run([tool("gcc"), *_ASSEMBLE, *language, *flags, source, "-o", output])
    return output


def _link(folder: Path, name: str, source: str, place: str, *flags: str) -> Image:
    part = _translate(MACHINE / source, folder, *flags, name=name)
    output = folder / f"{name}.elf"
    _run([tool("ld"), *_LINK, place, "-o", output, part])
    return Image.open(output)


def _run(command: Iterable[str | Path]) -> None:
    words = [str(part) for part in command]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    if result.returncode:
        advice = f"{Path(words[0]).name} refused {Path(words[-1]).name}"
        raise BuildError("the laboratory does not build", output=result.stderr, advice=advice)
