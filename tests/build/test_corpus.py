"""Fixes that Debian made between 6.1.176 and 6.1.192, with the headers that they came with, one of each kind.

`fixes/newer` has for each the difference of some C files, and all that its headers differ in.
"""

from pathlib import Path

import pytest

from oddtoc.build.fix import build_fix
from oddtoc.build.newer import take_newer
from oddtoc.build.overlay import apply_diff
from oddtoc.build.refusal import RefusedError
from oddtoc.build.tree import KernelTree
from oddtoc.live.session import Session

FIXES = Path(__file__).parent / "fixes" / "newer"
BUILT = {
    # an enumeration's new constant, and macros
    "ioprio": (
        {"ioprio_check_cap"},
        {"IOPRIO_CLASS_NONE", "IOPRIO_LEVEL_NR_BITS", "IOPRIO_NR_LEVELS", "IOPRIO_LEVEL_MASK", "IOPRIO_PRIO_LEVEL"},
    ),
    # a second name for a member
    "dst": ({"dst_release", "dst_dev_put"}, {"dst_entry", "dst_dev"}),
    # a macro among the members
    "mark": (
        {
            *("__fsnotify_recalc_mask", "fsnotify_recalc_mask.part.0", "fsnotify_put_mark"),
            *("fsnotify_add_mark_locked", "fsnotify_destroy_marks"),
        },
        {"fsnotify_mark_connector"},
    ),
    # a function that moves from one file to another
    "gro": ({"skb_gro_receive", "skb_udp_tunnel_segment", "udp_gro_receive"}, {"skb_gro_receive_list"}),
    # new inline functions
    "fib_rules": ({"fib_rules_dump"}, {"fib_rule_get_safe"}),
    "mincore": ({"sys_mincore"}, {"file_owner_or_capable"}),
}
"""Fix -> the functions that it changes, and what it takes of its headers."""
REFUSED = {
    "rq_qos": {("layout", "block/blk-rq-qos.c", "request_queue", "rq_qos_mutex")},
    # whose functions are called through the member, too
    "proc_fd": {("layout", "fs/proc/base.c", "proc_op", "proc_get_link")},
    # signal_pending(), which asks for the new flag, is compiled into the rest of the kernel
    "pid_namespace": {("constant", "include/linux/sched/signal.h", "PF_NO_NOTIFY_SIGNAL", "")},
    "trace_stack": {("prototype", "kernel/trace/ftrace.c", "ftrace_regex_open", "")},
    "udp": {("symbol", "net/ipv4/udp_offload.c", "skb_gro_receive_list", "")},
}
SUPPORT = {"find_bug", "search_module_extables"}
EVERYDAY = "ip address add 10.0.0.1/24 dev lo; ping -c1 10.0.0.1 > /dev/null; ionice -c2 -n7 true; echo good"


@pytest.fixture(scope="module")
def build(tree, image, tmp_path_factory):
    folder, built = tmp_path_factory.mktemp("corpus"), {}

    def get(name):
        if name not in built:
            newer = apply_diff(tree.source, FIXES / f"{name}.patch")
            overlay = take_newer(tree, newer.root, newer.units, image)
            built[name] = build_fix(tree, overlay, image, folder / f"{name}.o")
        return built[name]

    with pytest.MonkeyPatch.context() as patch:
        # to ask kbuild for all of them takes a minute
        units = ["kernel/trace/ftrace.c", "kernel/signal.c", "block/bio.c", "net/core/dev.c", "mm/mmap.c"]
        units += ["fs/proc/base.c"]
        patch.setattr(KernelTree, "built_units", lambda _: units)
        yield get


@pytest.mark.parametrize("name", BUILT)
def test_a_fix_takes_of_newer_headers_what_it_uses(build, name):
    fix = build(name)
    functions, taken = BUILT[name]
    assert {replacement.function for replacement in fix.patch.replacements} - SUPPORT == functions
    assert {change.name for change in fix.taken} == taken
    assert not [change for change in fix.left if change.is_mentioned]


def test_all_of_them_are_applied_and_taken_back(build, guest_factory):
    machine = guest_factory("6.1")
    machine.run("dmesg -c")
    with Session.open(f"guest:{machine.name}") as session:
        for name in BUILT:
            session.apply(session.plan(build(name).patch))
        assert machine.run(EVERYDAY).stdout.endswith(b"good\n")
        for name in BUILT:
            session.revert(name)
    assert machine.run("dmesg | grep -iE 'oops|bug:|warning:|call trace' || true").stdout == b""


@pytest.mark.parametrize("name", REFUSED)
def test_a_fix_that_needs_more_than_its_files_is_refused(build, name):
    with pytest.raises(RefusedError) as caught:
        build(name)
    assert {(r.id, r.file, r.subject, r.member) for r in caught.value.refusals} == REFUSED[name]
