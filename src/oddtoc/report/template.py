"""Pages of HTML that need nothing else: templates of this folder, filled."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

_FOLDER: Final = Path(__file__).parent
_PLACE: Final = re.compile(r"\{\{([A-Z]+)\}\}")


def filled(template: str, **parts: str) -> str:
    """A page.

    Args:
        template: the name of its file. `{{LOOK}}` stands there for what all pages begin with.
        parts: what comes to the places of these names; it is not looked through for more.
    """
    page = (_FOLDER / template).read_text(encoding="utf-8")
    page = page.replace("{{LOOK}}", (_FOLDER / "look.html").read_text(encoding="utf-8").rstrip())
    return _PLACE.sub(lambda place: parts[place[1]], page)


def script_data(value: Any) -> str:
    """JSON for the inside of a script element."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")
