"""C files that are included by others: a change of one is followed to the units that it is part of."""

import difflib

import pytest

from oddtoc.build.fix import build_fix
from oddtoc.build.newer import take_newer
from oddtoc.build.overlay import apply_diff
from oddtoc.build.reach import units_of
from oddtoc.build.refusal import RefusedError
from oddtoc.build.tree import KernelTree
from oddtoc.live.session import Session

LOADAVG, CORE, DEADLINE = (f"kernel/sched/{name}.c" for name in ("loadavg", "core", "deadline"))


BUILT = (
    CORE, "kernel/sched/build_utility.c", "kernel/sched/build_policy.c", "fs/binfmt_elf.c", "fs/compat_binfmt_elf.c",
    "kernel/locking/rtmutex_api.c", "kernel/locking/rwsem.c", "fs/pipe.c",
)  # fmt: skip


@pytest.fixture(autouse=True)
def built(monkeypatch):
    """To ask kbuild for all of them takes minutes; the corpus does."""
    monkeypatch.setattr(KernelTree, "built_units", lambda _: list(BUILT))
    monkeypatch.setattr(KernelTree, "module_units", lambda _: {})


@pytest.fixture
def build(tree, image, tmp_path):
    def get(file, old, new):
        before = (tree.source / file).read_text()
        assert before.count(old) == 1
        after = before.replace(old, new)
        names = f"a/{file}", f"b/{file}"
        lines = difflib.unified_diff(before.splitlines(keepends=True), after.splitlines(keepends=True), *names)
        diff = tmp_path / "included.patch"
        diff.write_text("".join(lines))
        return build_fix(tree, apply_diff(tree.source, diff), image, tmp_path / "included.o")

    return get


def test_a_change_of_an_included_file_acts_in_the_running_kernel(guest, build):
    fix = build(LOADAVG, "loads[0] = (avenrun[0] + offset) << shift;", "loads[0] = (42 * FIXED_1 + offset) << shift;")
    assert [(unit.file, unit.comparison.changed) for unit in fix.units] == [
        ("kernel/sched/build_utility.c", ["get_avenrun"])
    ]
    machine = guest("6.1")
    with Session.open(f"guest:{machine.name}") as session:
        session.apply(session.plan(fix.patch))
    try:
        assert machine.run("cat /proc/loadavg").stdout.startswith(b"42.00 ")
    finally:
        with Session.open(f"guest:{machine.name}") as session:
            session.revert("included")
    assert not machine.run("cat /proc/loadavg").stdout.startswith(b"42.00 ")


def test_a_newer_included_file_is_compiled_as_part_of_its_unit(tree, image, diff, tmp_path):
    newer = apply_diff(
        tree.source, diff((LOADAVG, "loads[1] = (avenrun[1] + offset)", "loads[1] = (42 + offset)"))
    ).root
    fix = build_fix(tree, take_newer(tree, newer, [LOADAVG], image), image, tmp_path / "included.o")
    assert [(unit.file, unit.comparison.changed) for unit in fix.units] == [
        ("kernel/sched/build_utility.c", ["get_avenrun"])
    ]


def test_an_included_file_with_the_old_prototype_is_in_the_way(tree, image, diff):
    changes = (
        (CORE, "dl_bw_check_overflow(cpu)", "dl_bw_check_overflow(0, cpu)"),
        ("kernel/sched/sched.h", "dl_bw_check_overflow(int cpu)", "dl_bw_check_overflow(int how, int cpu)"),
        (DEADLINE, "dl_bw_check_overflow(int cpu)", "dl_bw_check_overflow(int how, int cpu)"),
    )
    newer = apply_diff(tree.source, diff(*changes)).root
    with pytest.raises(RefusedError) as caught:
        take_newer(tree, newer, [CORE], image)
    found = {(refusal.id, refusal.file, refusal.subject) for refusal in caught.value.refusals}
    assert found == {("prototype", DEADLINE, "dl_bw_check_overflow")}
    assert take_newer(tree, newer, [CORE, DEADLINE], image).units == [CORE, DEADLINE]


def test_code_of_an_included_file_that_only_ran_at_boot_is_refused(build):
    with pytest.raises(RefusedError) as caught:
        build("kernel/sched/psi.c", "psi_period = jiffies_to_nsecs(PSI_FREQ);", "psi_period = 1;")
    assert ("boot-only", "psi_init") in {(r.id, r.subject) for r in caught.value.refusals}


def test_a_file_that_is_a_unit_and_included_concerns_both(tree):
    assert units_of(tree, "fs/binfmt_elf.c") == ["fs/binfmt_elf.c", "fs/compat_binfmt_elf.c"]
    assert units_of(tree, "kernel/locking/rtmutex.c") == ["kernel/locking/rtmutex_api.c", "kernel/locking/rwsem.c"]
    assert units_of(tree, "fs/pipe.c") == ["fs/pipe.c"]


def test_a_file_that_is_part_of_nothing_is_refused(build):
    with pytest.raises(RefusedError, match="part of nothing that is built"):
        build("mm/percpu-km.c", "#include <linux/log2.h>", "#include <linux/mm.h>")
