"""What a finding is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

RULES = {
    "other-kernel": "The patch was made for one kernel, and this is another.",
    "unknown-function": "What is to be replaced is not there, or there more than once.",
    "unknown-symbol": "A name that the patch uses is not there, or there more than once.",
    "no-site": "The function has no word that a branch can be put on.",
    "init-code": "The function only ran at boot, and its memory was given back.",
    "tables-not-found": "The kernel would not find the patch's entries for WARN, BUG or user-space faults.",
    "never-leaves": "The function never returns, or some thread is always in it: the patch would wait for ever.",
    "thread-start": "Threads begin in the function, called by assembly that does not reload r2.",
    "sibling-call": "Code of the patch ends in a call to outside: that returns to the caller itself.",
    "own-toc": "A call to outside that only a payload on the TOC of what it changes can make.",
    "new-data": "The patch has writable data of its own: it begins with the values of the file.",
    "pinned": "Addresses of the patch's own parts may be kept by others: its memory is never given back.",
}
"""Id of a rule -> what it is about."""


class Severity(StrEnum):
    """How bad a finding is: an error stops an apply, a warning wants to be read, a note tells a fact."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """One finding.

    Attributes:
        id: its rule, a key of `RULES`.
        severity: how bad it is.
        place: the function, or section and offset, in the patch or the kernel.
        reason: in words.
    """

    id: str
    severity: Severity
    place: str
    reason: str

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)
