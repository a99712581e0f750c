"""Names in a patch that oddtoc itself stands for: what its headers declare (build/include), and the TOC pointer."""

from __future__ import annotations

from oddtoc.link.original import original_of

_TOC = ".TOC."
"""The patch's own TOC pointer."""
_SHARED = ("oddtoc_tables", "oddtoc_shadow_table", "oddtoc_mailbox")
"""What all patches of a target share (oddtoc.kernel.running)."""


def is_provided(name: str) -> bool:
    """Whether an undefined symbol is resolved without the target's having one of that name."""
    return name in (_TOC, *_SHARED) or original_of(name) is not None
