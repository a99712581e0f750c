"""Calls on the stage, against the object's own bytes and against the laboratory's verdicts."""

import json
import subprocess

import pytest

from oddtoc.build.compile import tool
from oddtoc.errors import PatchError, UsageError
from oddtoc.explain.choice import replacement_of
from oddtoc.explain.emulator import run_stage
from oddtoc.explain.stage import build_stage
from oddtoc.explain.story import Place, tell
from oddtoc.explain.trace import Call
from oddtoc.lab.outcome import Outcome
from oddtoc.lab.run import run_lab
from oddtoc.link.object import PatchObject
from oddtoc.mechanism.catalog import MECHANISMS, by_name
from oddtoc.report.explain import story_as_text

SCENARIOS = {Call.LOCAL: "local", Call.GLOBAL: "global-object", Call.SIBLING: "sibling"}


@pytest.fixture(scope="module")
def story(patch):
    """Gives the story of a call by mechanism and kind, each run once."""
    known = {}

    def get(mechanism, call, function="seq_putc"):
        key = mechanism, call, function
        if key not in known:
            parsed = PatchObject.open(patch)
            stage = build_stage(parsed, replacement_of(parsed, function), by_name(mechanism), call)
            known[key] = tell(run_stage(stage, mechanism, call))
        return known[key]

    return get


@pytest.fixture(scope="module")
def matrix():
    return run_lab(scenarios=list(SCENARIOS.values()), process=False)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_verdict_is_the_laboratorys(story, matrix, mechanism):
    for call, scenario in SCENARIOS.items():
        cell = matrix.cells[mechanism, scenario]
        assert story(mechanism, call).verdict.right == (cell.outcome is Outcome.OK), (call, cell)


def test_rfc_shows_its_hazard(story):
    told = story("odd-toc/cr4", Call.SIBLING)
    assert not told.verdict.right
    assert "patched object's TOC" in told.verdict.text
    assert any("over what the caller will reload" in step.remark for step in told.steps)


def test_trampoline_is_the_objects(story, patch):
    """Each word that ran stands in the template, apart from the fields that objdump lists relocations for."""
    section = ".oddtoc.trampoline.guarded/slot"
    listing = subprocess.run(
        [tool("objdump"), "-dr", "-j", section, patch], capture_output=True, text=True, check=True
    ).stdout
    words, relocated, last = {}, set(), None
    for line in listing.splitlines():
        fields = line.split()
        if "R_PPC64" in line:
            relocated.add(last)
        elif len(fields) > 5 and fields[0].endswith(":") and line.startswith(" "):
            last = int(fields[0][:-1], 16)
            words[last] = int("".join(reversed(fields[1:5])), 16)
    seen = set()
    for call in Call:
        for step in story("guarded/slot", call).steps:
            if step.place in (Place.TRAMPOLINE, Place.HELPER):
                seen.add(step.offset)
                same = 0xFC000000 if step.offset in relocated else 0xFFFFFFFF
                assert step.word & same == words[step.offset] & same
    assert seen == set(words)


def test_instructions_of_the_design(story):
    """What a patched call costs above an unpatched one: design, section 3; the branch at the site is the first."""

    def spent(mechanism, call):
        places = [step.place for step in story(mechanism, call).steps]
        counted = places.count(Place.TRAMPOLINE) + 1, places.count(Place.HELPER)
        assert story(mechanism, call).cost == counted
        return counted

    assert spent("shared-toc", Call.LOCAL) == (1, 0)
    assert spent("guarded/slot", Call.GLOBAL) == (6, 0)
    assert spent("guarded/slot", Call.LOCAL) <= (17, 5)
    assert spent("odd-toc/cr4", Call.LOCAL) <= (12, 5)


@pytest.mark.parametrize("call", Call)
@pytest.mark.parametrize("mechanism", ["shared-toc", "guarded/slot", "odd-toc/cr4"])
def test_changes_add_up(story, mechanism, call):
    told = story(mechanism, call)
    for step, following in zip(told.steps, told.steps[1:], strict=False):
        assert step.after == following.before
    for step in told.steps:
        registers, header = dict(step.before.registers), dict(step.before.header)
        for change in step.changes:
            if change.what.endswith("(r1)"):
                header[int(change.what[:-4])] = change.after
            elif change.what != "cr0":
                registers[change.what] = change.after
        for name in ("pc", "cr", "msr", "xer"):
            registers[name] = step.after.registers[name]
        assert (registers, header) == (step.after.registers, step.after.header)


def test_odd_only_behind_the_mark(story):
    odd = [step for step in story("guarded/slot", Call.GLOBAL).steps if step.odd]
    assert odd[0].place is Place.ENTRY
    assert odd[0].word & 1
    assert odd[-1].place is Place.TRAMPOLINE
    assert not any(step.odd for call in (Call.LOCAL, Call.SIBLING) for step in story("guarded/slot", call).steps)


def test_borrowed_words(story):
    def borrowed(mechanism):
        return {step.borrowed for step in story(mechanism, Call.LOCAL).steps if step.place is Place.REPLACEMENT}

    assert borrowed("odd-toc/cr4") == {(12, 24)}
    assert borrowed("guarded/slot") == {(24,)}
    assert borrowed("shared-toc") == {()}


def test_replacement_without_toc(story):
    """Its trampoline does not load a TOC pointer for it."""
    assert story("guarded/slot", Call.LOCAL, "cmdline_proc_show").verdict.right


@pytest.mark.parametrize("call", Call)
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_text_fits_a_terminal(story, mechanism, call):
    assert all(len(line) <= 100 for line in story_as_text(story(mechanism, call)).plain.splitlines())


def test_command(oddtoc, patch):
    result = oddtoc("explain", patch, "seq_putc", "--call", "global")
    assert result.exit_code == 0
    assert "\x1b" not in result.output
    assert "odd TOC: marked" in result.output
    record = json.loads(oddtoc("explain", patch, "seq_putc", "--format", "json", "-m", "odd-toc/cr4").output)
    assert record["right"] is True
    assert record["cost"] == {"in": 12, "back": 5}
    assert {step["place"] for step in record["steps"]} >= {"caller", "site", "trampoline", "replacement"}
    assert any(step["borrowed"] == [12, 24] for step in record["steps"])


def test_mistakes(oddtoc, patch, tmp_path):
    result = oddtoc("explain", patch, "no_such")
    assert isinstance(result.exception, PatchError)
    assert "it replaces: cmdline_proc_show, seq_putc" in str(result.exception)
    result = oddtoc("explain", patch, "seq_putc", "-m", "magic")
    assert isinstance(result.exception, UsageError)
    result = oddtoc("explain", patch, "seq_putc", "--html", tmp_path / "no" / "page.html")
    assert "can't be written" in str(result.exception)
