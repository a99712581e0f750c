"""One part of a fix uses what is new in another: in the kernel proper, and in a module that its own module needs."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

import fat
import kernellog
from oddtoc.build.fix import build_fix
from oddtoc.build.overlay import apply_diff
from oddtoc.build.refusal import RefusedError
from oddtoc.errors import BusyError, ChangedError, PatchError, StateError
from oddtoc.link.fresh import FRESH_SECTION, needed_parts
from oddtoc.live.commit import carry_out
from oddtoc.live.journal import Condition
from oddtoc.live.parts import apply_parts, plan_parts
from oddtoc.live.session import Session
from oddtoc.report.schemas import schema_of
from oddtoc.target.modules import load_order, read_module

FIXES = Path(__file__).parent / "fixes" / "modules"
PARTS = ["fresh", "fresh@fat", "fresh@vfat"]
BLOCKS = "stat -f -c %b /mnt"
MOUNT = "umount /mnt 2>/dev/null; mount -t vfat -o loop /fat.img /mnt"
SAID = "dmesg -c | grep -o 'as if a fix had been built in: .*' || true"


@pytest.fixture(scope="module")
def fix(tree, image, kernel, tmp_path_factory):
    overlay = apply_diff(tree.source, FIXES / "fresh.patch")
    return build_fix(tree, overlay, image, tmp_path_factory.mktemp("fresh") / "fresh.o", modules=kernel.modules).patch


@pytest.fixture(scope="module")
def machine(guest_factory, kernel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    (folder / "fat.img").write_bytes(fat.image())
    for name in ("fat", "vfat"):
        (folder / f"{name}.ko").write_bytes(read_module([kernel.modules], name))
    modules = load_order(kernel.modules, ["loop", "vfat", "nls_cp437", "nls_ascii"])
    machine = guest_factory("6.1", modules=modules, files={path.name: path for path in folder.iterdir()})
    machine.run(f"mkdir -p /mnt; {MOUNT}; dmesg -c")
    return machine


@pytest.fixture
def session(machine):
    with Session.open(f"guest:{machine.name}") as session:
        yield session
        for status in session.status():
            if status.record.name == "fresh" and status.present:
                session.revert("fresh")
        assert session.status() == []
        session.gc()
    assert machine.run(kernellog.COMPLAINTS).stdout == b""


def test_parts_say_what_they_use_of_each_other(fix):
    assert [part.name for part in fix.parts] == PARTS
    used = {part.name: {image: other.name for image, other in needed_parts(part).items()} for part in fix.parts}
    assert used == {"fresh": {}, "fresh@fat": {"vmlinux": "fresh"}, "fresh@vfat": {"fat.ko": "fresh@fat"}}
    # nothing of the kernel proper changes: what finds tables tells that the part is there
    assert {r.function for r in fix.replacements} == {"find_bug", "search_module_extables"}


@pytest.mark.parametrize("mechanism", ["auto", "guarded/slot", "odd-toc/cr4"])
def test_functions_and_data_are_shared(machine, session, fix, mechanism):
    machine.run(f"{MOUNT}; dmesg -c")
    apply_parts(session, fix, mechanism=mechanism)
    assert machine.run(f"{BLOCKS}; {BLOCKS}").stdout == b"4710\n4711\n"
    machine.run(MOUNT)
    # 12 bits, and the kernel proper's variable that fat has counted up twice
    assert machine.run(SAID).stdout.splitlines() == [
        b"as if a fix had been built in: 10",
        b"as if a fix had been built in: 4714",
    ]
    session.revert("fresh")
    assert machine.run(BLOCKS).stdout == b"61\n"
    # the address of its counter is in a table of fat's part, which stays, and what that uses with it
    assert {record.name: reason for record, reason in session.gc().kept} == {
        "fresh": "fresh@fat uses what is new in it",
        "fresh@fat": ".toc holds the address of fresh_base:new-in:vmlinux",
    }


def test_all_parts_come_and_go_in_one_stop(session, fix):
    applied = apply_parts(session, fix)
    outcomes = [outcome for _, outcome in applied.done]
    assert [outcome.name for outcome in outcomes] == PARTS
    assert len({(outcome.commit_pause, outcome.stops) for outcome in outcomes}) == 1
    (plans, reverted) = [plan for plan, _ in applied.done], []
    write_many = session.target.write_many
    session.target.write_many = lambda writes: (reverted.extend(writes), write_many(writes))
    session.revert("fresh")
    # no word of any part is written outside of the one stop
    words = {change.address for plan in plans for change in plan.changes}
    assert not words & {address for address, _ in reverted}
    assert session.status() == []


@pytest.mark.parametrize("blocked", ["fat", "vfat"])
def test_where_one_part_can_not_be_applied_none_is(machine, session, fix, blocked):
    """A kprobe is where one of them branches, when all is planned."""
    symbol, tracing = {"fat": "fat_statfs", "vfat": "vfat_fill_super"}[blocked], "/sys/kernel/tracing"
    before = machine.run(SAID), machine.run(BLOCKS).stdout
    plans = plan_parts(session, fix.parts)
    probe = f"echo 'p:held {blocked}:{symbol}+16' > {tracing}/kprobe_events"
    assert machine.run(f"{probe}; echo 1 > {tracing}/events/kprobes/held/enable").stderr == b""
    with pytest.raises(ChangedError, match=symbol):
        session.apply_together(plans)
    machine.run(f"echo 0 > {tracing}/events/kprobes/held/enable; echo > {tracing}/kprobe_events")
    assert session.status() == [] and machine.run(BLOCKS).stdout == before[1]
    assert {entry.record.name for entry in session.gc().free} >= {"fresh@vfat"}
    apply_parts(session, fix)


def test_who_is_in_any_part_is_waited_for(session, fix, monkeypatch):
    """The zones of all parts are looked at, and nothing is written as long as one is not left."""
    seen = []

    def watched(target, commit, *, timeout, watch):
        seen.append({zone.name for zone in watch.zones.zones})
        return carry_out(target, commit, timeout=timeout, watch=watch)

    monkeypatch.setattr("oddtoc.live.session.carry_out", watched)
    apply_parts(session, fix)
    session.revert("fresh")
    assert {"find_bug", "fat_statfs", "vfat_fill_super"} <= seen[0]
    assert {f"the patch {name}" for name in PARTS} <= seen[1]

    def busy(*_arguments, **_options):
        raise BusyError("somebody is in it")

    monkeypatch.setattr("oddtoc.live.session.carry_out", busy)
    with pytest.raises(BusyError):
        apply_parts(session, fix)
    assert session.status() == []


def test_what_is_needed_is_not_reverted_before_who_needs_it(session, fix):
    apply_parts(session, fix)
    with pytest.raises(StateError, match="fresh@fat can't be reverted before fresh@vfat, which uses") as caught:
        session.revert("fresh@fat")
    assert caught.value.advice == "oddtoc revert fresh@vfat first"
    assert {status.condition for status in session.status()} == {Condition.APPLIED}
    session.revert("fresh@vfat")
    session.revert("fresh@fat")
    assert [status.record.name for status in session.status()] == ["fresh"]


def test_a_part_alone_is_refused(session, fix):
    _, of_fat, of_vfat = fix.parts
    session.prepare(of_fat)
    # no part has tables; what it uses is not there
    with pytest.raises(StateError, match="fresh@fat can't be applied before fresh, as it uses") as caught:
        session.plan(of_fat)
    assert "whole patch fresh" in caught.value.advice
    session.apply(session.plan(fix))
    with pytest.raises(StateError, match="fresh@vfat can't be applied before fresh@fat"):
        session.plan(of_vfat)
    # one of another file is not the one that it uses
    with pytest.raises(StateError, match="of the same file"):
        session.plan(replace(of_fat, first=replace(fix, content=fix.content + b"\0")))


def test_a_part_that_is_not_among_the_patchs_is_refused(session, fix):
    def without(patch, *names):
        return {index: section for index, section in patch.sections.items() if not section.name.startswith(names)}

    bare = replace(fix, sections=without(fix, FRESH_SECTION))
    findings = [found for found in session.check(bare) if found.id == "unknown-symbol"]
    assert {found.place for found in findings} == {"fresh_blocks:new-in:vmlinux", "fresh_base:new-in:vmlinux"}
    assert [found for found in session.check(fix) if found.severity.value == "error"] == []
    of_vfat = replace(fix.parts[2], first=replace(fix, sections=without(fix, ".oddtoc.part.fat")))
    with pytest.raises(PatchError, match=r"new in fat\.ko, and the patch has no part for that"):
        session.plan(of_vfat)


def test_a_module_that_comes_later_finds_what_it_uses(machine, fix):
    machine.run("umount /mnt; rmmod vfat fat")
    try:
        with Session.open(f"guest:{machine.name}") as session:
            assert [part.name for part in apply_parts(session, fix).waiting] == PARTS[1:]
        command = [sys.executable, "-m", "oddtoc", "watch", fix.path, "--target", f"guest:{machine.name}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watching:
            assert watching.stderr.readline() == "waiting for the module fat or vfat\n"
            machine.run("insmod /fat.ko; insmod /vfat.ko")
            told, complaint = watching.communicate(timeout=60)
            assert "applied fresh@fat" in told and "applied fresh@vfat" in told, complaint
        assert machine.run(f"{MOUNT}; {BLOCKS}").stdout == b"4710\n"
        status = json.loads(oddtoc(machine, "status", "--format", "json"))
        jsonschema.validate(status, schema_of("status"))
        assert {one["patch"]: one["needs"] for one in status} == {
            "fresh": [],
            "fresh@fat": ["fresh"],
            "fresh@vfat": ["fresh@fat"],
        }
        oddtoc(machine, "revert", "fresh")
        assert json.loads(oddtoc(machine, "status", "--format", "json")) == []
    finally:
        machine.run(f"insmod /fat.ko 2>/dev/null; insmod /vfat.ko 2>/dev/null; {MOUNT}")
    assert machine.run(BLOCKS).stdout == b"61\n"


def test_every_word_of_all_parts_is_shown_beforehand(machine, fix):
    # only the kernel can give room near a module: where it has not yet, no word of that part can be shown
    with Session.open(f"guest:{machine.name}") as session:
        for part in fix.parts:
            session.prepare(part)
    shown = oddtoc(machine, "apply", fix.path, "--dry-run")
    for name, function in (("fresh", "find_bug"), ("fresh@fat", "fat_statfs"), ("fresh@vfat", "vfat_fill_super")):
        assert f"patch {name} (shared-toc) would write" in shown and f"branch of {function}" in shown
    assert shown.count("in one stop") == 1
    plain = json.loads(oddtoc(machine, "apply", fix.path, "--dry-run", "--format", "json"))
    jsonschema.validate(plain, schema_of("apply"))
    assert [part["patch"] for part in plain["parts"]] == PARTS[1:]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("upwards", "is new in fat.ko, which vmlinux does not rely on"),
        ("unchanged", "is new in fat.ko, and can't be used from outside of it"),
    ],
)
def test_what_can_not_be_used_is_refused(tree, image, kernel, tmp_path, name, reason):
    overlay = apply_diff(tree.source, FIXES / f"{name}.patch")
    with pytest.raises(RefusedError) as caught:
        build_fix(tree, overlay, image, tmp_path / "fix.o", modules=kernel.modules)
    (refusal,) = caught.value.refusals
    assert (refusal.id, refusal.subject, refusal.reason) == ("elsewhere", "of_fat", reason)


def oddtoc(machine, command, *arguments):
    words = [sys.executable, "-m", "oddtoc", command, *map(str, arguments), "--target", f"guest:{machine.name}"]
    result = subprocess.run(words, capture_output=True, text=True)
    assert result.returncode == 0, result
    return result.stdout
