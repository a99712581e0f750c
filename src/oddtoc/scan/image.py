"""One image, scanned: its tables and its figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from oddtoc.image.elf import Image
from oddtoc.image.entry import SiteKind
from oddtoc.image.layout import FileType
from oddtoc.isa import Addresses
from oddtoc.scan.code import OUTSIDE, Code, read_branches
from oddtoc.scan.digest import code_digests
from oddtoc.scan.functions import function_table, functions_in
from oddtoc.scan.jumps import TO, CountJumps, SiblingCalls, count_jumps, sibling_calls
from oddtoc.scan.owners import Owners
from oddtoc.scan.room import room_table
from oddtoc.scan.schema import IMAGES, OBSTACLES
from oddtoc.scan.schema import Kind as FieldKind
from oddtoc.scan.table import Column, Labels, Table, labels, texts

SITE_KINDS: Final = {
    SiteKind.MPROFILE: "mprofile",
    SiteKind.PATCHABLE: "patchable",
    SiteKind.OUT_OF_LINE: "out of line",
    None: "none",
}
_DYNAMIC: Final = np.dtype([("tag", "<i8"), ("value", "<u8")])
_DT_FLAGS_1, _DF_1_PIE = 0x6FFFFFFB, 0x08000000
_JUMP_KINDS: Final = ("b", "bc", "bctr", "bctrl")


@dataclass(frozen=True, slots=True)
class ImageScan:
    """What a scan found in one image.

    Args:
        image: what the image is called.
        figures: one row of the table `images`, by column.
        functions: all functions.
        jumps: jumps out of functions, jumps through the count register, calls without TOC reload.
        room: room for payloads.
        digests: what the code of each function is, where it was asked for: `digest.code_digests`.
    """

    image: str
    figures: dict[str, Any]
    functions: Table
    jumps: Table
    room: Table
    digests: Addresses | None = None


def scan_image(image: Image, name: str | None = None, *, digests: bool = False) -> ImageScan:
    """Scan an image.

    Args:
        image: what to scan.
        name: what to call it; its path if not given.
        digests: work out `ImageScan.digests` too.

    Raises:
        ImageError: its tables are damaged.
    """
    called = name or str(image.path)
    kind = kind_of(image)
    code = Code(image)
    functions = functions_in(code, image.symbols.functions())
    owners = Owners(code, image.symbols)
    branches = read_branches(image, code)
    siblings = sibling_calls(code, branches, owners, functions)
    counted = count_jumps(code)
    is_traced = kind in ("kernel", "module") or image.site_kind is not None
    table = function_table(image, code, functions, owners, branches, siblings, counted, is_traced=is_traced)
    jumps = _jump_table(code, owners, siblings, counted)
    room = room_table(image, code, is_kernel=kind == "kernel")
    figures = {
        "image": called,
        "kind": kind,
        "build_id": image.build_id.hex() if image.build_id else "",
        "site_kind": SITE_KINDS[image.site_kind],
        "bytes": image.file_size,
        "instructions": len(code.words),
        "sites": len(image.sites),
        **_function_figures(table),
        **_jump_figures(siblings, counted),
        **_room_figures(room),
    }
    found = code_digests(code, functions, owners, branches) if digests else None
    table, jumps, room = (_named(called, one) for one in (table, jumps, room))
    return ImageScan(called, figures, table, jumps, room, found)


def kind_of(image: Image) -> str:
    """What an image is: kernel, module, program, library or object."""
    if image.is_relocatable:
        return "module" if image.section(".gnu.linkonce.this_module") else "object"
    if image.symbols.find("__start___ex_table") and image.symbols.find("linux_banner"):
        return "kernel"
    return "program" if image.type is FileType.EXEC or _is_pie(image) else "library"


def _is_pie(image: Image) -> bool:
    """DF_1_PIE in DT_FLAGS_1: some libraries have an interpreter too, so that they can be run."""
    section = image.section(".dynamic")
    entries = image.records(section, _DYNAMIC) if section else np.empty(0, _DYNAMIC)
    return bool(np.any((entries["tag"] == _DT_FLAGS_1) & (entries["value"] & np.uint64(_DF_1_PIE) != 0)))


def images_table(scans: list[ImageScan]) -> Table:
    """The table `images`, a row for each scan."""
    columns: dict[str, Column] = {}
    for column, field in IMAGES.items():
        values = [scan.figures[column] for scan in scans]
        if field.kind is FieldKind.NUMBER:
            columns[column] = np.array(values, np.int64)
        else:
            columns[column] = texts(values) if field.kind is FieldKind.TEXT else labels(values)
    return Table("images", columns)


def totals(images: Table) -> dict[str, int]:
    """The sum of every figure."""
    return {
        name: int(images.numbers(name).sum()) for name, field in images.fields.items() if field.kind is FieldKind.NUMBER
    }


def _named(image: str, table: Table) -> Table:
    return Table(table.name, {"image": Labels(np.zeros(len(table), np.int32), (image,)), **table.columns})


def _jump_table(code: Code, owners: Owners, siblings: SiblingCalls, counted: CountJumps) -> Table:
    without = counted.calls[~counted.reloads]
    nowhere = np.full(len(counted.jumps) + len(without), OUTSIDE, np.intp)
    places = np.concatenate((siblings.places, counted.jumps, without))
    targets = np.concatenate((siblings.targets, nowhere))
    kinds = np.repeat(np.arange(3, dtype=np.uint8), (len(siblings.places), len(counted.jumps), len(without))) + 1
    kinds[: len(siblings.places)] = siblings.conditional
    to = np.concatenate((siblings.to, counted.to, np.full(len(without), TO.index("pointer"), np.uint8)))
    order = np.argsort(places, kind="stable")
    places, targets = places[order], targets[order]
    return Table(
        "jumps",
        {
            "function": texts(owners.names(owners.at(places))),
            "section": Labels(code.section_of(places).astype(np.int32), code.sections),
            "address": code.addresses(places),
            "kind": Labels(kinds[order], _JUMP_KINDS),
            "to": Labels(to[order], TO),
            "target": np.where(targets == OUTSIDE, np.uint64(0), code.addresses(np.maximum(targets, 0))),
            "callee": texts(owners.names(owners.at(targets))),
        },
    )


def _function_figures(table: Table) -> dict[str, int]:
    obstacles = table.labels("obstacle")
    counts = np.bincount(obstacles.codes, minlength=len(OBSTACLES)).tolist()
    by_reason = dict(zip(OBSTACLES, counts, strict=True))
    return {
        "functions": len(table),
        "two_entries": int(np.count_nonzero(table.numbers("local"))),
        "marks": int(np.count_nonzero(table.numbers("mark"))),
        "patchable": by_reason.pop("none"),
        **{f"not_{reason.replace(' ', '_')}": count for reason, count in by_reason.items()},
    }


def _jump_figures(siblings: SiblingCalls, counted: CountJumps) -> dict[str, int]:
    def lead(name: str) -> int:
        return int(np.count_nonzero(siblings.to == TO.index(name)))

    def by_bctr(name: str) -> int:
        return int(np.count_nonzero(counted.to == TO.index(name)))

    conditional = int(np.count_nonzero(siblings.conditional))
    return {
        "sibling_b": len(siblings.places) - conditional,
        "sibling_bc": conditional,
        "sibling_bctr": by_bctr("pointer"),
        **{f"to_{name}": lead(name) for name in ("local", "global", "middle", "outside")},
        "jump_tables": by_bctr("table"),
        "stubs": by_bctr("stub"),
        "indirect_calls": len(counted.calls),
        "without_reload": int(np.count_nonzero(~counted.reloads)),
    }


def _room_figures(room: Table) -> dict[str, int]:
    uses, sizes = room.labels("use"), room.numbers("size")
    of = {use: int(sizes[uses.is_word(use)].sum()) for use in ("hole", "text", "data")}
    return {
        "holes": int(np.count_nonzero(uses.is_word("hole"))),
        "hole_bytes": of["hole"],
        "text_room": of["text"],
        "data_room": of["data"],
    }
