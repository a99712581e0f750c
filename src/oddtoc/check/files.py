"""A patch held against files: a kernel's image, and those of its modules, none of which has to run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from oddtoc.check.finding import Finding, Severity
from oddtoc.check.patch import FileChecked, check_patch
from oddtoc.errors import SymbolError
from oddtoc.image.elf import Image
from oddtoc.link.object import KERNEL, MODULE_SUFFIX, PatchObject
from oddtoc.link.selflinked import link_by_itself, where
from oddtoc.target.modules import read_module_file

_INIT = (".init.", ".exit.")


def check_files(patch: PatchObject, paths: Sequence[Path]) -> list[Finding]:
    """All findings about a patch, part by part.

    Args:
        patch: the patch object.
        paths: a kernel's ELF image, files of modules (`.ko`, packed or not), or both. Without the kernel's, names that
            a module does not define itself are not judged.

    Raises:
        ImageError: one is damaged, or something else. GuestError: a module can't be read.
    """
    images = dict(map(_opened, paths))
    found = []
    for part in patch.parts:
        first = next(iter((*part.replacements, *part.hooks)))
        image = images.get(first.image)
        if image is None:
            reason = f"is in {first.image}, which is not among the images"
            found.append(Finding("unknown-function", Severity.ERROR, first.function, reason))
            continue
        found += check_patch(part, FileChecked(image, _resolver(image, images)), name=first.image)
        if first.image != KERNEL:
            found += _about_init(part, image)
    return sorted(dict.fromkeys(found), key=lambda finding: list(Severity).index(finding.severity))


def _opened(path: Path) -> tuple[str, Image]:
    """An image, and what a patch object calls it."""
    stem, suffix, _ = path.name.partition(MODULE_SUFFIX)
    if not suffix:
        return KERNEL, Image.open(path)
    # the kernel writes names of modules so (modname_flags in scripts/Makefile.lib)
    name = stem.replace("-", "_") + MODULE_SUFFIX
    return name, link_by_itself(name, read_module_file(path))


def _resolver(image: Image, images: Mapping[str, Image]) -> Callable[[str], object]:
    def resolve(name: str) -> object:
        for one in (image, *images.values()):
            if one.symbols.find(name):
                return one.symbols.one(name)
        if KERNEL in images:
            raise SymbolError(f"there is no {name} in {', '.join(images)}")
        return None

    return resolve


def _about_init(part: PatchObject, image: Image) -> Iterator[Finding]:
    """Functions of a module whose memory is given back when it is loaded, or that only run when it is removed."""
    for replacement in part.replacements:
        for symbol in image.symbols.find(replacement.function):
            section = where(image, symbol.address)[0]
            if symbol.is_function and section.startswith(_INIT):
                reason = f"is in {section}: it runs when the module comes or goes"
                yield Finding("init-code", Severity.ERROR, replacement.function, reason)
