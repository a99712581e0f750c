"""The registers of a debug server's target description: where each is, and which number it has.

Format: "Target Descriptions" in the gdb manual. Registers are numbered in document order unless `regnum` says
otherwise. QEMU's reply to `g` holds the general registers, then those from `pc` on; floating point ones in between have
numbers but no bytes there (target/ppc/gdbstub.c), so all others are read one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree

from oddtoc.errors import TargetError

_LONGEST_DOCUMENT = 1 << 20
_MOST_DOCUMENTS = 32
_INCLUDE = "{http://www.w3.org/2001/XInclude}include"
CORE = (*(f"r{number}" for number in range(32)), "pc", "msr", "cr", "lr", "ctr", "xer")
"""What the reply to `g` begins with, in order."""
_LITTLE_ENDIAN = 1


@dataclass(frozen=True)
class Layout:
    """Number and width (bytes) of every register by name; the first of a name counts."""

    numbers: Mapping[str, int]
    widths: Mapping[str, int]


def read_layout(read: Callable[[str], str]) -> Layout:
    """Read a target description with all that it includes.

    Args:
        read: gives a document by name; the first asked for is `target.xml`.

    Raises:
        TargetError: it is malformed, too long, or not that of a 64-bit Power processor.
    """
    numbers: dict[str, int] = {}
    widths: dict[str, int] = {}
    following = 0
    for document in _documents(read):
        for register in document.iter("reg"):
            try:
                number = int(register.get("regnum", following))
                width = int(register.get("bitsize", "0")) // 8
            except ValueError as error:
                raise TargetError("the target's description of its registers is malformed") from error
            name = register.get("name", "")
            numbers.setdefault(name, number)
            widths.setdefault(name, width)
            following = number + 1
    if missing := [name for name in CORE if name not in numbers]:
        raise TargetError(
            f"the target has no register {missing[0]}", advice="oddtoc needs a 64-bit Power target: qemu-system-ppc64"
        )
    return Layout(numbers, widths)


def _documents(read: Callable[[str], str]) -> list[ElementTree.Element]:
    root = _parse(read("target.xml"))
    included = [element.get("href", "") for element in root.iter(_INCLUDE)][:_MOST_DOCUMENTS]
    return [root, *(_parse(read(name)) for name in included)]


def _parse(text: str) -> ElementTree.Element:
    if len(text) > _LONGEST_DOCUMENT or "<!ENTITY" in text:
        raise TargetError("the target's description of its registers is not acceptable")
    # QEMU declares no namespace for xi:include
    text = text.replace("<target>", '<target xmlns:xi="http://www.w3.org/2001/XInclude">', 1)
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise TargetError(f"the target's description of its registers is malformed: {error}") from error


def decode_core(layout: Layout, reply: bytes) -> dict[str, int]:
    """The core registers from the reply to `g`.

    QEMU gives registers in the byte order that the vCPU runs in at that moment. MSR tells which: read little endian,
    its lowest bit is MSR[LE]; of a big-endian MSR that bit is the lowest of its first byte, which is reserved and 0.

    Raises:
        TargetError: the reply is too short or not hexadecimal.
    """
    widths = [layout.widths[name] for name in CORE]
    try:
        raw = bytes.fromhex(reply.replace(b"x", b"0").decode("ascii"))
    except ValueError as error:
        raise TargetError("the target's registers are malformed") from error
    if len(raw) < sum(widths):
        raise TargetError(f"the target sends {len(raw)} bytes of registers, {sum(widths)} are needed")
    fields: dict[str, bytes] = {}
    offset = 0
    for name, width in zip(CORE, widths, strict=True):
        fields[name] = raw[offset : offset + width]
        offset += width
    order = byte_order(fields["msr"])
    return {name: int.from_bytes(field, order) for name, field in fields.items()}


def byte_order(msr: bytes) -> Literal["little", "big"]:
    """`little` or `big`, from the bytes of MSR."""
    return "little" if int.from_bytes(msr, "little") & _LITTLE_ENDIAN else "big"
