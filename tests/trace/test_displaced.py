"""What a branch displaces, done at another place: assembled, and read by objdump."""

import re
import subprocess

import pytest

from oddtoc.build.compile import tool
from oddtoc.trace.displaced import can_move, lines

PLACE, ELSEWHERE = 0xC000000000123454, 0xC000000001200000
TARGET = PLACE + 0x40


def word_of(text, folder):
    """The word that the assembler makes of an instruction; `there` is 64 bytes on."""
    source = folder / "word.s"
    source.write_text(f"start: {text}\n.=0x40\nthere: nop\n")
    subprocess.run([tool("as"), "-mpower9", "-mregnames", "-o", folder / "word.o", source], check=True)
    subprocess.run([tool("objcopy"), "-O", "binary", "-j", ".text", folder / "word.o", folder / "word"], check=True)
    return int.from_bytes((folder / "word").read_bytes()[:4], "little")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("std r31,-8(r1)", [r"std\s+r31,-8\(r1\)", "b RESUME"]),
        ("blr", ["blr", "b RESUME"]),
        ("beqlr", ["beqlr", "b RESUME"]),
        ("b there", ["b TARGET"]),
        ("bne there", [r"bne\s+BEHIND", "b RESUME", "b TARGET"]),
        ("ba 0x100", [r"ba\s+100", "b RESUME"]),
    ],
)
def test_words_that_can_move_do_the_same(text, shown, tmp_path):
    word = word_of(text, tmp_path)
    assert can_move(word)
    source, symbols = lines(word, PLACE, 7)
    (tmp_path / "moved.s").write_text("\n".join(source) + "\n")
    subprocess.run([tool("as"), "-o", tmp_path / "moved.o", tmp_path / "moved.s"], check=True)
    defined = [f"--defsym={name}={address:#x}" for name, address in symbols.items()]
    link = [tool("ld"), "-e", "0", f"-Ttext={ELSEWHERE:#x}", *defined, "-o", tmp_path / "moved", tmp_path / "moved.o"]
    subprocess.run(link, check=True)
    listing = subprocess.run(
        [tool("objdump"), "-d", "--no-show-raw-insn", tmp_path / "moved"], capture_output=True, text=True, check=True
    ).stdout
    found = re.findall(rf"^{ELSEWHERE >> 8:x}..:\t(.*)$", listing, re.MULTILINE)
    places = {"RESUME": f"{PLACE + 4:x}", "TARGET": f"{TARGET:x}", "BEHIND": f"{ELSEWHERE + 8:x}"}
    for name, place in places.items():
        shown = [one.replace(f"b {name}", rf"b\s+{place}").replace(name, place) for one in shown]
    assert len(found) == len(shown)
    for instruction, expected in zip(found, shown, strict=True):
        assert re.match(rf"{expected}\b|{expected}", instruction), (instruction, expected)


@pytest.mark.parametrize(
    "text", ["bl there", "beql there", "bctrl", "blrl", "bla 0x100", "addpcis r3,1", ".long 0x06000000"]
)
def test_words_that_can_not(text, tmp_path):
    assert not can_move(word_of(text, tmp_path))
