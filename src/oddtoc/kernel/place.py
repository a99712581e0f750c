"""Which word of a function can hold the branch.

The word behind the ftrace words: the kernel's tracer owns those before it and goes on working. It must be a word that
is only reached by entering the function, and that nobody else rewrites.
"""

from __future__ import annotations

from oddtoc.errors import NoSiteError
from oddtoc.image.elf import Image
from oddtoc.image.entry import Entry
from oddtoc.image.flow import flow_of
from oddtoc.image.symbols import Symbol
from oddtoc.kernel.jumplabel import jump_label_sites


def branch_place(image: Image, symbol: Symbol, entry: Entry) -> int:
    """The address of the word that takes the branch.

    Raises:
        NoSiteError: the function has no site, or the word behind it can't be taken.
    """
    if entry.site is None or entry.behind is None:
        raise NoSiteError(
            f"{entry.function} has no ftrace site: the compiler was told not to trace it",
            address=entry.global_entry,
            function=entry.function,
            advice="replace its callers instead",
        )
    reason = _obstacle(image, symbol, entry.behind)
    if reason:
        raise NoSiteError(
            f"{entry.function} can't be redirected: the word behind its site {reason}",
            address=entry.behind,
            function=entry.function,
            advice="replace its callers instead",
        )
    return entry.behind


def _obstacle(image: Image, symbol: Symbol, behind: int) -> str | None:
    if not symbol.address <= behind < symbol.address + symbol.size:
        return "is outside of the function"
    flow = flow_of(image)
    if flow.is_branch_target(behind):
        return "is jumped to from inside (a loop)"
    if flow.has_jump_table(symbol):
        return "may be in the function's jump table"
    if behind in jump_label_sites(image):
        return "is a jump label, which the kernel rewrites"
    return None
