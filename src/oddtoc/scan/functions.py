"""The table of functions: how each is entered, and whether it can be redirected."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from oddtoc.image.elf import Image
from oddtoc.image.functions import Functions
from oddtoc.image.relocated import relocated_distances
from oddtoc.isa import Addresses
from oddtoc.kernel.jumplabel import jump_label_sites
from oddtoc.scan.code import OUTSIDE, Branches, Code, Mask
from oddtoc.scan.entries import SETUPS, Entries, read_entries
from oddtoc.scan.jumps import CountJumps, SiblingCalls
from oddtoc.scan.jumptables import in_jump_tables
from oddtoc.scan.owners import Owners
from oddtoc.scan.schema import OBSTACLES
from oddtoc.scan.table import Column, Labels, Table, texts

_IFUNC = 10
_RECORD = 16
"""Bytes of a struct jump_entry (include/linux/jump_label.h)."""
_REASONS: Final = tuple(OBSTACLES)


def functions_in(code: Code, functions: Functions) -> Functions:
    """The functions that begin at an instruction; the other symbols of that type are data."""
    inside = code.places(functions.starts) != OUTSIDE
    return Functions(
        functions.indices[inside], functions.starts[inside], functions.local_entries[inside], functions.ends[inside]
    )


def function_table(
    image: Image,
    code: Code,
    functions: Functions,
    owners: Owners,
    branches: Branches,
    siblings: SiblingCalls,
    counted: CountJumps,
    *,
    is_traced: bool,
) -> Table:
    """All functions with what can be said of each, but for the column that names the image.

    Args:
        image: the image.
        code: its instructions.
        functions: those that begin in them.
        owners: who owns which instruction.
        branches: all direct branches.
        siblings: those that leave their function.
        counted: branches through the count register.
        is_traced: the branch goes behind the ftrace site (kernels, modules), else to the local entry.
    """
    entries = read_entries(image, code, functions)
    sizes = image.symbols.records["size"][functions.indices]
    if is_traced:
        branch = np.where(entries.sites > 0, entries.sites + np.uint64(4), np.uint64(0))
        reasons = _obstacles_behind_sites(image, code, functions, sizes, entries, branches, counted, branch)
    else:
        branch = functions.local_entries
        reasons = _obstacles_at_entries(image, code, functions, owners, branches, entries)
    numbers = owners.numbers(functions.starts)
    columns: dict[str, Column] = {
        "function": texts(image.symbols.names(functions.indices)),
        "section": Labels(code.section_of(entries.places).astype(np.int32), code.sections),
        "address": functions.starts,
        "local": (functions.local_entries - functions.starts).astype(np.int64),
        "size": sizes.astype(np.int64),
        "toc_setup": Labels(entries.setups, SETUPS),
        "mark": entries.marks,
        "site": entries.sites,
        "branch": branch,
        "obstacle": Labels(reasons, _REASONS),
        "siblings_out": owners.count(siblings.places)[numbers],
        "siblings_in": owners.count(siblings.targets[siblings.targets != OUTSIDE])[numbers],
        "indirect_calls": owners.count(counted.calls)[numbers],
        "without_reload": owners.count(counted.calls[~counted.reloads])[numbers],
    }
    return Table("functions", columns)


class _Reasons:
    """The first obstacle of each function, told one after the other."""

    def __init__(self, count: int) -> None:
        self.codes = np.zeros(count, np.uint8)

    def add(self, reason: str, rows: Mask) -> None:
        self.codes[(self.codes == 0) & rows] = _REASONS.index(reason)

    @property
    def open(self) -> Mask:
        """Those without an obstacle so far."""
        found: Mask = self.codes == 0
        return found


def _obstacles_behind_sites(
    image: Image,
    code: Code,
    functions: Functions,
    sizes: npt.NDArray[np.uint64],
    entries: Entries,
    branches: Branches,
    counted: CountJumps,
    branch: Addresses,
) -> npt.NDArray[np.uint8]:
    reasons = _Reasons(len(branch))
    reasons.add("init", _is_freed(code, entries))
    reasons.add("unknown entry", ~entries.fits)
    reasons.add("no site", entries.sites == 0)
    reasons.add("too short", (branch < functions.starts) | (branch >= functions.starts + sizes))
    reasons.add("loop", _is_target(code, branches.targets, branch))
    maybe = reasons.open & _has_table(code, functions, sizes, counted)
    if image.is_relocatable:
        reasons.add("jump table", maybe & np.isin(branch, relocated_distances(image, ".rodata")))
        labels = relocated_distances(image, "__jump_table", _RECORD)
    else:
        led_to = np.zeros(len(branch), np.bool_)
        starts = functions.starts[maybe]
        led_to[maybe] = in_jump_tables(image, code, starts, starts + sizes[maybe], branch[maybe])
        reasons.add("jump table", led_to)
        labels = np.fromiter(jump_label_sites(image), np.uint64)
    reasons.add("jump label", np.isin(branch, labels))
    return reasons.codes


def _obstacles_at_entries(
    image: Image, code: Code, functions: Functions, owners: Owners, branches: Branches, entries: Entries
) -> npt.NDArray[np.uint8]:
    reasons = _Reasons(len(functions.starts))
    reasons.add("ifunc", (image.symbols.records["info"][functions.indices] & 15) == _IFUNC)
    reasons.add("unknown entry", ~entries.fits)
    reasons.add("too short", functions.local_entries + np.uint64(4) > functions.ends)
    from_inside = owners.at(branches.places) == owners.at(branches.targets)
    reasons.add("loop", _is_target(code, branches.targets[from_inside], functions.local_entries))
    return reasons.codes


def _is_freed(code: Code, entries: Entries) -> Mask:
    """Functions in the sections that a kernel frees after boot and a module loader after loading, or never keeps."""
    freed = np.array([name.startswith((".init", ".exit")) for name in code.sections], np.bool_)
    found: Mask = freed[code.section_of(entries.places)] if len(freed) else np.zeros(len(entries.places), np.bool_)
    return found


def _is_target(code: Code, targets: npt.NDArray[np.intp], addresses: Addresses) -> Mask:
    is_target = np.zeros(len(code.words) + 1, np.bool_)
    is_target[targets] = True
    # both OUTSIDE places are the last one
    is_target[OUTSIDE] = False
    found: Mask = is_target[code.places(addresses)]
    return found


def _has_table(code: Code, functions: Functions, sizes: npt.NDArray[np.uint64], counted: CountJumps) -> Mask:
    """Functions with a jump through a table; or through any register, which the rule of kernel/place.py counts too."""
    jumps = code.addresses(counted.jumps)
    jumps.sort()
    found: Mask = np.searchsorted(jumps, functions.starts) < np.searchsorted(jumps, functions.starts + sizes)
    return found
