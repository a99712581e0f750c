"""What files have to change together, on fixes that Debian made between 6.1.176 and 6.1.192."""

from pathlib import Path

import pytest

from oddtoc.build.anew import split_layouts
from oddtoc.build.fix import build_fix
from oddtoc.build.headers import MergedHeaders
from oddtoc.build.newer import take_newer
from oddtoc.build.overlay import apply_diff, take_files
from oddtoc.build.refusal import Refusal, RefusedError
from oddtoc.build.segments import differing_texts
from oddtoc.build.tree import KernelTree
from oddtoc.errors import UsageError
from oddtoc.report.fixes import fix_text

FIXES = Path(__file__).parent / "fixes"
UNITS = ["kernel/signal.c", "kernel/exit.c"]
MODULES = {
    **{f"fs/hfs/{name}.c": "hfs" for name in ("attr", "bfind", "bnode", "brec", "super")},
    **{f"fs/hfsplus/{name}.c": "hfsplus" for name in ("attributes", "bfind", "bnode", "brec")},
    **{f"fs/nilfs2/{name}.c": "nilfs2" for name in ("bmap", "btree", "direct", "file")},
    **{f"fs/xfs/{name}.c": "xfs" for name in ("xfs_icreate_item", "xfs_log_recover", "xfs_file")},
}
NILFS = {f"fs/nilfs2/{name}.c" for name in ("bmap", "btree", "direct")}
ICREATE, ITEM, PASS = "fs/xfs/xfs_icreate_item.c", "xlog_recover_item", "xlog_do_recovery_pass"


def diff_of(name):
    """A set of files; some are among the thirty cases, too."""
    return next(FIXES.glob(f"*/{name}.patch"))


@pytest.fixture(autouse=True)
def units(monkeypatch):
    """To ask kbuild for all of them takes a minute."""
    monkeypatch.setattr(KernelTree, "built_units", lambda _: UNITS)
    monkeypatch.setattr(KernelTree, "module_units", lambda _: MODULES)


@pytest.fixture
def take(tree, image):
    """Takes some files of a fix, or all."""

    def get(name, *files, confined=()):
        newer = apply_diff(tree.source, diff_of(name))
        return take_newer(tree, newer.root, files or newer.units, image, confined)

    return get


@pytest.fixture
def refusals(take):
    def get(*arguments, **options):
        with pytest.raises(RefusedError) as caught:
            take(*arguments, **options)
        return {(refusal.id, refusal.file, refusal.subject) for refusal in caught.value.refusals}

    return get


def test_an_inline_function_that_asks_for_a_new_flag_stays_old_where_the_fix_does_not_set_it(take, refusals):
    overlay = take("posix_cpu_timers")
    assert overlay.taken == []
    assert ("signal_pending", True) in {(change.name, change.is_mentioned) for change in overlay.left}
    found = refusals("pid_namespace")
    assert found == {("constant", "include/linux/sched/signal.h", "PF_NO_NOTIFY_SIGNAL")}


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (
            "include/linux/sched/signal.h",
            "\tif (unlikely(test_tsk",
            "\tif (p->exit_state)\n\t\treturn 0;\n\tif (unlikely(test_tsk",
        ),
        (
            "kernel/time/posix-cpu-timers.c",
            "\tsmp_rmb();\n\tWARN_ON",
            "\tsmp_rmb();\n\tWARN_ON(current->flags);\n\tWARN_ON",
        ),
    ],
    ids=["it changes in more", "the file accesses what it asks"],
)
def test_it_does_not_where_it_may_be_a_part_of_the_fix(tree, image, tmp_path, file, old, new):
    newer = apply_diff(tree.source, diff_of("posix_cpu_timers")).root
    text = (newer / file).read_text()
    assert text.count(old) == 1
    place = tmp_path / file
    place.parent.mkdir(parents=True)
    place.write_text(text.replace(old, new))
    newer = take_files(newer, tmp_path, [file]).root
    with pytest.raises(RefusedError) as caught:
        take_newer(tree, newer, ["kernel/time/posix-cpu-timers.c"], image)
    assert {(refusal.id, refusal.subject) for refusal in caught.value.refusals} == {("constant", "PF_NO_NOTIFY_SIGNAL")}


def test_functions_of_one_name_in_two_modules_are_two(refusals):
    """hfs_bnode_read() of hfsplus is no function of hfs: none of them is exported."""
    found = refusals("hfs_bfind")
    assert {file for _, file, _ in found} == {f"fs/hfs/{name}.c" for name in ("attr", "bnode", "brec", "super")}
    assert ("prototype", "fs/hfs/attr.c", "hfs_bnode_read") in found


def test_a_pointer_to_functions_may_take_more_where_all_who_use_it_change(
    take, refusals, tree, image, kernel, tmp_path
):
    for file in sorted(NILFS):
        others = {("layout", other, "nilfs_bmap_operations") for other in NILFS - {file}}
        assert refusals("nilfs_bmap", file) == others
    fix = build_fix(tree, take("nilfs_bmap"), image, tmp_path / "nilfs.o", modules=kernel.modules)
    changed = {replacement.function for part in fix.patch.parts for replacement in part.replacements}
    # nilfs_direct_delete() does not look at what it takes more, and stays
    assert {"nilfs_btree_delete", "nilfs_bmap_do_delete", "nilfs_direct_delete_and_convert"} <= changed


def test_a_pointer_to_data_may_lead_to_something_else_where_its_objects_are_confined(refusals):
    """Of them, the other files that use the member are told."""
    header = ("layout", "fs/xfs/libxfs/xfs_log_recover.h", ITEM)
    assert refusals("xlog_recover") == {header}
    assert refusals("xlog_recover", confined={ITEM: [PASS]}) == {("layout", "fs/xfs/xfs_log_recover.c", ITEM)}


def test_the_function_that_objects_are_confined_to_is_replaced_too(take, tree, image, tmp_path):
    overlay = take("mincore")
    fix = build_fix(tree, overlay, image, tmp_path / "mincore.o", confined={"mm_walk": ["mincore_pte_range"]})
    assert {"mincore_pte_range", "sys_mincore"} <= {replacement.function for replacement in fix.patch.replacements}
    assert "mm_walk changes: its objects were told to exist only while mincore_pte_range runs" in fix_text(
        fix, tmp_path
    )
    # of another file; a part of sys_mincore() alone
    for function in ("walk_page_range", "do_mincore"):
        with pytest.raises(UsageError, match="no file of the fix has that"):
            build_fix(tree, overlay, image, tmp_path / "mincore.o", confined={"mm_walk": [function]})
    with pytest.raises(UsageError, match="the compiler has put that into others"):
        build_fix(tree, take("ioprio"), image, tmp_path / "io.o", confined={"io_context": ["__get_task_ioprio"]})


def test_a_confined_structure_may_be_laid_out_anew_where_no_header_names_it(tree):
    """A real one, that is handed to code of other files: it is not told from the text that it is on stacks."""
    file = tree.source / "net/netlink/af_netlink.c"
    refusals = [Refusal("layout", "af_netlink.c", name, "") for name in ("netlink_compare_arg", "netlink_sock")]
    refusals += [Refusal("no-site", "af_netlink.c", "netlink_compare_arg", "")]
    assert split_layouts(refusals, tree.source, file, file, ()) == (refusals, [])
    confined = {"netlink_compare_arg", "netlink_sock"}
    assert split_layouts(refusals, tree.source, file, file, confined) == (refusals[1:], [])


def test_a_function_that_becomes_static_loses_its_declaration(tree):
    """And whoever calls it by that is told."""
    newer = apply_diff(tree.source, diff_of("xfs_buf_item"))
    headers = differing_texts(tree.source, newer.root, newer.headers)
    merged = MergedHeaders(tree.source, newer.root, newer.units, headers)
    assert merged.dropped == {"xfs_buf_item_relse": "fs/xfs/xfs_buf_item.h"}
    assert "xfs_buf_item_relse" not in merged.texts()["fs/xfs/xfs_buf_item.h"]
    assert merged.declared_functions()["xfs_buf_item_relse"] == ("fs/xfs/xfs_buf_item.h", False)
