"""Target descriptions and the reply to `g`, malformed ones above all. Real ones are in test_qemu_target.py."""

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oddtoc.errors import TargetError
from oddtoc.target.registers import CORE, Layout, decode_core, read_layout

WIDTHS = {name: 4 if name in ("cr", "xer") else 8 for name in CORE}
LAYOUT = Layout(WIDTHS)
ROOT = '<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target><architecture>powerpc:common64\
</architecture><xi:include href="core.xml"/><xi:include href="fpu.xml"/></target>'
WIDE, NARROW = (f'<reg name="{{}}" bitsize="{bits}"/>' for bits in (64, 32))


def core(registers=tuple(CORE)):
    lines = [(NARROW if name in ("cr", "xer") else WIDE).format(name) for name in registers]
    return f"<feature name='org.gnu.gdb.power.core'>{''.join(lines)}</feature>"


def reader(documents):
    def read(name):
        asked.append(name)
        return documents[name]

    asked = []
    read.asked = asked
    return read


def test_documents_are_read_until_all_core_registers_are_known():
    read = reader({"target.xml": ROOT, "core.xml": core()})
    assert read_layout(read).widths == WIDTHS
    assert read.asked == ["target.xml", "core.xml"]


def test_registers_may_stand_in_several_documents():
    read = reader({"target.xml": ROOT, "core.xml": core(CORE[:20]), "fpu.xml": core(CORE[20:])})
    assert read_layout(read).widths == WIDTHS


REFUSED = {
    "no xml": {"target.xml": "not xml"},
    "empty": {"target.xml": ""},
    "cut off": {"target.xml": ROOT[:-10]},
    "include is cut off": {"target.xml": ROOT, "core.xml": core()[:-10]},
    "NUL": {"target.xml": "<target>\0</target>"},
    "no registers": {"target.xml": "<target/>"},
    "a register less": {"target.xml": ROOT, "core.xml": core(CORE[1:]), "fpu.xml": "<feature/>"},
    "32 bits": {"target.xml": ROOT, "core.xml": core().replace("64", "32")},
    "enormous width": {"target.xml": ROOT, "core.xml": core().replace("64", "9" * 5000)},
    "negative width": {"target.xml": ROOT, "core.xml": core().replace("64", "-64")},
    "no width": {"target.xml": ROOT, "core.xml": core().replace("bitsize", "size")},
    "entities": {"target.xml": '<!DOCTYPE t [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><target>&b;</target>'},
    "too long": {"target.xml": "<target>" + " " * (1 << 20) + "</target>"},
    "includes without end": {
        "target.xml": "<target>" + '<xi:include href="a.xml"/>' * 100 + "</target>",
        "a.xml": "<feature/>",
    },
    "include that breaks a packet": {"target.xml": ROOT.replace("core.xml", "a#00$c#63")},
    "include of nothing": {"target.xml": ROOT.replace('href="core.xml"', "")},
}


def test_entities_are_not_expanded():
    with pytest.raises(TargetError, match="not acceptable"):
        read_layout(reader(REFUSED["entities"]))


@pytest.mark.parametrize("documents", REFUSED.values(), ids=REFUSED)
def test_unacceptable_descriptions_are_typed_errors(documents):
    with pytest.raises(TargetError) as caught:
        read_layout(reader(documents))
    assert "\n" not in caught.value.message


TAGS = st.sampled_from(
    ["<target>", "</target>", "<feature>", "</feature>", "<reg/>", "<!--", "-->", "<![CDATA[", "&lt;"]
)
XML = st.lists(TAGS | st.text(max_size=10) | st.sampled_from(CORE).map(WIDE.format), max_size=60).map("".join)


@given(XML, XML)
def test_any_text_gives_a_layout_or_a_typed_error(first, second):
    for documents in ({"target.xml": first}, {"target.xml": ROOT, "core.xml": first, "fpu.xml": second}):
        with suppress(TargetError):
            assert set(read_layout(documents.__getitem__).widths) == set(CORE)


SIZE = sum(WIDTHS.values())
MSR = list(CORE).index("msr") * 8


@given(st.binary(min_size=SIZE, max_size=SIZE), st.sampled_from(["little", "big"]), st.integers(0, 9))
def test_registers_are_decoded_in_the_order_that_msr_tells(raw, order, more):
    fields = bytearray(raw)
    # MSR[LE] is bit 0 and tells the order; bit 56 is reserved
    fields[MSR], fields[MSR + 7] = (fields[MSR] | 1, fields[MSR + 7] & 0xFE) if order == "little" else (0x80, 0)
    letter = "<" if order == "little" else ">"
    values = struct.unpack(letter + "".join("QI"[WIDTHS[name] == 4] for name in CORE), fields)
    assert decode_core(LAYOUT, fields.hex().encode() + b"00" * more) == dict(zip(CORE, values, strict=True))


@given(st.binary(max_size=700) | st.text("0123456789abcdefx", max_size=700).map(str.encode))
def test_any_reply_gives_registers_or_a_typed_error(reply):
    with suppress(TargetError):
        assert set(decode_core(LAYOUT, reply)) == set(CORE)


@pytest.mark.parametrize("reply", [b"", b"E14", b"00" * 295, b"x" * 592, b"0" * 593, "ä".encode() * 296])
def test_short_unavailable_or_garbled_registers_are_refused(reply):
    with pytest.raises(TargetError):
        decode_core(LAYOUT, reply)
