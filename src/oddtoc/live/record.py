"""The record of one patch: what is applied, in the words that stand in the target itself.

A body of JSON in an entry of the journal (`store.py`). `old` words are those of the kernel without any patch, and
`serial` gives the order, so that no record has to be rewritten when a patch above or below it goes.

A target is not trusted: everything read from it is bounded and checked before it is used.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from oddtoc.errors import RecordError
from oddtoc.places import Span

_64 = 1 << 64
STUBS, SLOTS = "stubs", "slots"
"""The areas of a record in which a trace has its return stubs, and keeps return addresses."""
DATA = "data"
"""The role of words of a variable."""
FINDER = "finder"
"""The area of a record in which is what tells unwinders where its code is."""
ISLANDS, FINDER_ISLANDS = "islands", "finder-islands"
"""Areas of a record in which are islands, inside of the objects that their functions belong to."""


@dataclass(frozen=True)
class Change:
    """A word: its address, what stands there without any patch and with this one on top, and what it is."""

    address: int
    old: int
    new: int
    role: str


@dataclass(frozen=True)
class FunctionRecord:
    """One redirected function; or words of a variable that change in place, whose address stands for all three.

    Attributes:
        name: of the function or variable in the kernel.
        mechanism: by name.
        entry, behind: address of its global entry and of the word that holds the branch.
        target: where the branch goes.
        changes: the words that change, mark first.
        finder: it is no function that the patch is about, but the one that tells unwinders where its code is.
        island: address of the island by which the branch goes there; 0 where the branch itself does.
    """

    name: str
    mechanism: str
    entry: int
    behind: int
    target: int
    changes: tuple[Change, ...]
    finder: bool = False
    island: int = 0

    @property
    def is_data(self) -> bool:
        """Whether these are words of a variable: nobody stands in them, and nothing branches there."""
        return any(change.role == DATA for change in self.changes)


@dataclass(frozen=True)
class Record:
    """One applied patch.

    Attributes:
        name: the patch's name, unique among those that are applied.
        sha256: of the patch object, in hex.
        time: when it was planned, seconds since 1970.
        functions: what it redirects.
        spans: the memory that its payload holds, by area.
        serial: larger than that of every record that was there before.
        replaces: whether it took the place of all patches that were applied before.
        pinned: why its payload can't be given back even when nobody is in it; empty if it can.
        states: of the target that it knows how to handle, by id, each with its version.
        callbacks: when each runs, and the address of its global entry.
        hooks: functions that are redirected while callbacks run.
        module: the module of the kernel that it changes; empty for the kernel proper, and in a process.
        module_at: the address of its `struct module`, or where the object of a process was loaded, which tells one
            loading from the next.
        temporary: it is there for as long as one command runs. Whoever finds it later, with that command dead, takes it
            back.
        fresh: what is new in it and other parts of the patch may use: name, address and st_other of each.
        needs: serials of the records that it uses something of (oddtoc.live.needs).
    """

    name: str
    sha256: str
    time: int
    functions: tuple[FunctionRecord, ...]
    spans: dict[str, Span]
    serial: int = 0
    replaces: bool = False
    pinned: str = ""
    states: tuple[tuple[int, int], ...] = ()
    callbacks: tuple[tuple[str, int], ...] = ()
    hooks: tuple[FunctionRecord, ...] = ()
    module: str = ""
    module_at: int = 0
    temporary: bool = False
    fresh: tuple[tuple[str, int, int], ...] = ()
    needs: tuple[int, ...] = ()

    @property
    def replaced(self) -> tuple[FunctionRecord, ...]:
        """The functions that the patch is about."""
        return tuple(function for function in self.functions if not function.finder)

    def encode(self) -> bytes:
        """The body of its entry."""
        plain = asdict(self)
        plain["spans"] = {area: [span.start, span.end] for area, span in self.spans.items()}
        for function in (*plain["functions"], *plain["hooks"]):
            if not function["island"]:
                del function["island"]
        return json.dumps(plain, separators=(",", ":")).encode()


def decode(body: bytes, place: int) -> Record:
    """The record in an entry's body.

    Args:
        body: from the target.
        place: the entry's address, for the error.

    Raises:
        RecordError: it is damaged.
    """
    try:
        plain = json.loads(body)
        functions = tuple(_function(one) for one in _list(plain["functions"]))
        spans = {_text(area): Span(*map(_address, _list(span))) for area, span in plain["spans"].items()}
        hooks = tuple(_function(one) for one in _list(plain["hooks"]))
        if not functions and not hooks:
            raise ValueError("it redirects nothing")
        states = tuple((_address(number), _word(version)) for number, version in _list(plain["states"]))
        return Record(
            _text(plain["name"]),
            _text(plain["sha256"]),
            _address(plain["time"]),
            functions,
            spans,
            serial=_address(plain["serial"]),
            replaces=_flag(plain["replaces"]),
            pinned=_text(plain["pinned"]),
            states=states,
            callbacks=tuple((_text(when), _address(address)) for when, address in _list(plain["callbacks"])),
            hooks=hooks,
            module=_text(plain.get("module", "")),
            module_at=_address(plain.get("module_at", 0)),
            temporary=_flag(plain.get("temporary", False)),
            fresh=tuple((_text(name), _address(at), _word(other)) for name, at, other in _list(plain.get("fresh", []))),
            needs=tuple(map(_address, _list(plain.get("needs", [])))),
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise RecordError(f"the journal entry at {place:#x} is damaged: {error}", address=place) from error


def _function(plain: dict[str, Any]) -> FunctionRecord:
    changes = tuple(
        Change(_address(one["address"]), _word(one["old"]), _word(one["new"]), _text(one["role"]))
        for one in _list(plain["changes"])
    )
    entry, behind, target = (_address(plain[key]) for key in ("entry", "behind", "target"))
    finder, island = _flag(plain.get("finder", False)), _address(plain.get("island", 0))
    return FunctionRecord(
        _text(plain["name"]), _text(plain["mechanism"]), entry, behind, target, changes, finder, island
    )


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("a list is missing")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.isprintable() or len(value) > 256:
        raise TypeError("a name is malformed")
    return value


def _address(value: Any) -> int:
    if not isinstance(value, int) or not 0 <= value < _64:
        raise TypeError("an address is malformed")
    return value


def _word(value: Any) -> int:
    if not isinstance(value, int) or not 0 <= value < 1 << 32:
        raise TypeError("a word is malformed")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("a flag is malformed")
    return value
