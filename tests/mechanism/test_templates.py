"""The assembled templates, as the real objdump reads them: their words, their registers, their helpers."""

import re
import subprocess

import pytest

from oddtoc.build.compile import TRAMPOLINES, tool
from oddtoc.mechanism.catalog import MECHANISMS

FLAVOURS = {"kernel": "", "process": "process."}
NOT_MARKABLE = {"odd-toc/slot"}

GUARDED_SLOT = """andi. r0,r2,1|beq|addi r2,r2,-1|addis r2,r2|b|
mflr r12|lwz r0,0(r12)|xoris r0,r0,59457|cmpldi r0,24|beq|std r12,24(r1)|addis r2,r2|bl|
ld r2,24(r1)|mtlr r2|ld r2,0(r13)|std r2,24(r1)|blr"""
ODD_TOC_CR4 = """andi. r0,r2,1|beq|addi r2,r2,-1|addis r2,r2|b|
mflr r12|subf r12,r12,r2|addis r0,r12|cmpldi r0,65535|ble|stw r12,12(r1)|std r2,24(r1)|addis r2,r2|bl|
ld r2,24(r1)|lwa r0,12(r1)|subf r0,r0,r2|mtlr r0|blr"""


@pytest.fixture(scope="module")
def templates(tmp_path_factory):
    """Template name to its instructions (address, text), for both flavours."""
    found = {}
    for flavour, prefix in FLAVOURS.items():
        path = tmp_path_factory.mktemp("templates") / f"{flavour}.o"
        source = TRAMPOLINES / f"{flavour}.S"
        subprocess.run([tool("gcc"), "-mcpu=power8", "-c", source, "-o", path], check=True)
        dump = subprocess.run(
            [tool("objdump"), "-d", "--no-show-raw-insn", path], check=True, capture_output=True, text=True
        ).stdout
        for part in dump.split("Disassembly of section .oddtoc.trampoline.")[1:]:
            name, body = part.split(":", 1)
            lines = re.findall(r"^ *([0-9a-f]+):\t(.*)$", body, re.MULTILINE)
            found[name] = [(int(at, 16), re.sub(r"\s+", " ", text).strip()) for at, text in lines]
            assert name.startswith("process.") == bool(prefix)
    return found


def texts(template):
    """Instructions without what link fills in: targets of branches, halves of addis."""
    plain = (re.sub(r"^(b|bl|beq|ble|bne)(\+|-)? .*", r"\1", text) for _, text in template)
    return [re.sub(r"^(addis r\d+,r\d+),0$", r"\1", text) for text in plain]


@pytest.mark.parametrize(("name", "words"), [("guarded/slot", GUARDED_SLOT), ("odd-toc/cr4", ODD_TOC_CR4)])
def test_the_planted_words_are_those_whose_cost_was_promised(templates, name, words):
    assert texts(templates[name]) == words.replace("\n", "").split("|")


def test_every_mechanism_has_its_templates_in_both_flavours(templates):
    for prefix in FLAVOURS.values():
        for name, mechanism in MECHANISMS.items():
            if mechanism.own_toc:
                assert prefix + name in templates
            assert (f"{prefix}{name}.unmarked" in templates) == (name not in NOT_MARKABLE)


def test_every_helper_stands_behind_the_call_and_begins_with_the_reload(templates):
    for name, template in templates.items():
        calls = [i for i, (_, text) in enumerate(template) if text.split()[0] == "bl"]
        owns = name.removeprefix("process.").removesuffix(".unmarked") in MECHANISMS and "shared-toc" not in name
        assert len(calls) == (1 if owns else 0), name
        for call in calls:
            assert template[call + 1][1] == "ld r2,24(r1)", name


def test_only_r0_r12_and_cr0_change_besides_what_the_mechanism_is_about(templates):
    """r1 in a frame of our own; r2 everywhere. Nothing reads or writes another register, nothing sets CR1 to CR7."""
    for name, template in templates.items():
        for _, text in template:
            used = set(re.findall(r"\b(r\d+|cr\d|f\d+|v\d+|vs\d+)\b", text))
            assert used <= {"r0", "r1", "r2", "r12", "r13"}, (name, text)
            target = re.match(r"(?!st|cmp|b|mt|td|\.long)\S+ (r\d+)", text)
            if target and target[1] == "r1":
                assert "/frame" in name
            if target:
                assert target[1] in ("r0", "r2", "r12") or "/frame" in name, (name, text)
            stored = re.match(r"st\S+ r\d+,(-?\d+)\((r\d+)\)", text)
            if stored and stored[2] == "r1":
                allowed = {"-96"} | {"16"} if "/frame" in name else set()
                assert stored[1] in {"12", "24"} | allowed, (name, text)


def test_kernels_load_the_toc_pointer_and_processes_spell_it_out(templates):
    def loads(name):
        return [text for _, text in templates[name] if text == "ld r2,0(r13)"]

    assert len(loads("guarded/slot")) == 1
    assert not loads("process.guarded/slot")
    assert "sldi r2,r2,32" in [text for _, text in templates["process.guarded/slot"]]
