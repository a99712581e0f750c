"""Which oddtoc this is: the results of another one could differ."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path


@cache
def identity(_: object = None) -> str:
    """The version of this oddtoc, and a digest of all its files."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*")):
        if path.is_file() and path.parent.name != "__pycache__":
            digest.update(path.read_bytes())
    return f"{version('oddtoc')} with sources {digest.hexdigest()[:12]}"
