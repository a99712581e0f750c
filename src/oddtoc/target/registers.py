"""The registers of a debug server: its target description, and the general ones of a vCPU.

Format: "Target Descriptions" in the gdb manual. QEMU's reply to `g` holds the general registers, then those from `pc`
on (target/ppc/gdbstub.c of QEMU).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree

from oddtoc.errors import TargetError

_LONGEST_DOCUMENT = 1 << 20
_MOST_DOCUMENTS = 32
_INCLUDE = "{http://www.w3.org/2001/XInclude}include"
_DOCUMENT_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}\Z")
CORE = (*(f"r{number}" for number in range(32)), "pc", "msr", "cr", "lr", "ctr", "xer")
"""What the reply to `g` begins with, in order."""
_NARROW = ("cr", "xer")
_LITTLE_ENDIAN = 1


@dataclass(frozen=True)
class Layout:
    """Width (bytes) of every register of `CORE`, by name."""

    widths: Mapping[str, int]


def read_layout(read: Callable[[str], str]) -> Layout:
    """Read a target description, and as many of the documents that it includes as hold the registers of `CORE`.

    Args:
        read: gives a document by name; the first asked for is `target.xml`.

    Raises:
        TargetError: it is malformed, too long, or not that of a 64-bit Power processor.
    """
    widths: dict[str, int] = {}
    for document in descriptions(read):
        for register in document.iter("reg"):
            widths.setdefault(register.get("name", ""), _width(register))
        if all(name in widths for name in CORE):
            break
    for name in CORE:
        if widths.get(name) not in ((4, 8) if name in _NARROW else (8,)):
            raise TargetError(
                f"the target has no 64-bit register {name}", advice="oddtoc needs a ppc64le guest: qemu-system-ppc64"
            )
    return Layout({name: widths[name] for name in CORE})


def _width(register: ElementTree.Element) -> int:
    try:
        return int(register.get("bitsize", "0")) // 8
    except ValueError:
        return 0


def descriptions(read: Callable[[str], str]) -> Iterator[ElementTree.Element]:
    """A target's description, then each document that it includes.

    Args:
        read: gives a document by name.

    Raises:
        TargetError: one is malformed or too long, or there are too many.
    """
    root = _parse(read("target.xml"))
    yield root
    for number, element in enumerate(root.iter(_INCLUDE)):
        name = element.get("href", "")
        if number >= _MOST_DOCUMENTS or not _DOCUMENT_NAME.match(name):
            raise TargetError("the target's description of its registers is not acceptable")
        yield _parse(read(name))


def _parse(text: str) -> ElementTree.Element:
    if len(text) > _LONGEST_DOCUMENT or "<!ENTITY" in text:
        raise TargetError("the target's description of its registers is not acceptable")
    # QEMU declares no namespace for xi:include
    text = text.replace("<target>", '<target xmlns:xi="http://www.w3.org/2001/XInclude">', 1)
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise TargetError(f"the target's description of its registers is malformed: {error}") from error


def decode_core(layout: Layout, reply: bytes) -> dict[str, int]:
    """The core registers from the reply to `g`.

    QEMU gives registers in the byte order that the vCPU runs in at that moment. MSR tells which: read little endian,
    its lowest bit is MSR[LE]; of a big-endian MSR that bit is the lowest of its first byte, which is reserved and 0.

    Raises:
        TargetError: the reply is too short, not hexadecimal, or lacks a register.
    """
    try:
        raw = bytes.fromhex(reply.decode("ascii"))
    except ValueError as error:
        raise TargetError("the target's registers are malformed") from error
    needed = sum(layout.widths[name] for name in CORE)
    if len(raw) < needed:
        raise TargetError(f"the target sends {len(raw)} bytes of registers, {needed} are needed")
    fields: dict[str, bytes] = {}
    offset = 0
    for name in CORE:
        fields[name] = raw[offset : offset + layout.widths[name]]
        offset += layout.widths[name]
    order = _byte_order(fields["msr"])
    return {name: int.from_bytes(field, order) for name, field in fields.items()}


def _byte_order(msr: bytes) -> Literal["little", "big"]:
    return "little" if int.from_bytes(msr, "little") & _LITTLE_ENDIAN else "big"
