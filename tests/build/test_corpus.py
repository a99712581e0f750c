"""Thirty of the files that Debian changed between 6.1.176 and 6.1.192, each with the outcome that `make corpus` has.

`fixes/newer` has for each the difference of some C files, and of the headers that it takes something of.
"""

from pathlib import Path

import pytest

from oddtoc.build.fix import build_fix
from oddtoc.build.newer import take_newer
from oddtoc.build.overlay import apply_diff
from oddtoc.build.part import build_in_part
from oddtoc.build.refusal import RefusedError
from oddtoc.build.tree import KernelTree
from oddtoc.live.parts import apply_parts
from oddtoc.live.session import Session
from oddtoc.target.modules import load_order

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
    "aix": ({"aix_partition"}, set()),
    "keys_gc": ({"key_garbage_collector"}, set()),
    "procattr": ({"aa_getprocattr"}, set()),
    "netfilter": ({"ip_route_me_harder"}, {"dst_dev", "skb_dst_dev"}),
    # a table is written in place
    "fq_codel": (
        {"fq_codel_change", "fq_codel_dequeue", "fq_codel_enqueue", "fq_codel_init"},
        {"codel_dequeue", "qdisc_dequeue_internal", "tcf_classify_qdisc"},
    ),
    "blk_stat": ({"blk_stat_timer_fn"}, set()),
    # of modules
    "dctcp": ({"dctcp_init"}, set()),
    "jfs": ({"jfs_ioc_trim"}, set()),
    "cuse": ({"cuse_process_init_reply", "cuse_exit"}, {"__list_add", "list_add"}),
    # of a module, and of the kernel proper, which has a new function for it
    "sit": (
        {"ipip6_tunnel_bind_dev", "ipip6_changelink"},
        {"ip_tunnel_limit_headroom", "rtnl_dev_link_net_capable"},
    ),
}
"""Fix -> the functions that it changes, and what it takes of its headers."""
REFUSED = {
    "wbt": {
        ("no-site", "block/blk-wbt.c", "rwb_trace_step", ""),
        ("layout", "block/blk-wbt.c", "request_queue", "rq_qos_mutex"),
    },
    # whose functions are called through the member, too
    "proc_fd": {("layout", "fs/proc/base.c", "proc_op", "proc_get_link")},
    # signal_pending(), which asks for the new flag, is compiled into the rest of the kernel
    "pid_namespace": {("constant", "include/linux/sched/signal.h", "PF_NO_NOTIFY_SIGNAL", "")},
    "trace_stack": {("prototype", "kernel/trace/ftrace.c", "ftrace_regex_open", "")},
    "itimer": {("no-effect", "kernel/time/itimer.c", "the object", "")},
    "efs": {("no-effect", "fs/efs/file.c", "the object", "")},
    "clocksource": {("boot-only", "kernel/time/clocksource.c", "init_clocksource_sysfs", "")},
    "bpf_lsm": {("boot-only", "security/bpf/hooks.c", "bpf_lsm_init", "")},
    "bpf_inode": {("data-changed", "kernel/bpf/inode.c", "bpf_super_ops", "")},
    "dquot": {("init-code", "fs/quota/dquot.c", "dquot_init", "")},
    "nft_dup": {("header", "net/ipv4/netfilter/nft_dup_ipv4.c", "sk_buff", "")},
    "lockd": {
        ("data-changed", "fs/nfsd/lockd.c", "nfsd_nlm_ops", ""),
        ("layout", "fs/nfsd/lockd.c", "nlmsvc_binding", "owner"),
        ("static-local", "fs/nfsd/lockd.c", "nfsd_nlm_ops", ""),
    },
    "udp": {("symbol", "net/ipv4/udp_offload.c", "skb_gro_receive_list", "")},
}
IN_PART = {"lockd": ({"nfsd_lockd_shutdown"}, {"nfsd_lockd_init", "nfsd_nlm_ops"})}
"""Fix -> the functions that change in a part of it, and what is left out."""
LEFT = {"netfilter": {"dst_entry"}, "fq_codel": {"Qdisc", "tcf_proto"}}
"""Fix -> what the changed code names, and differs in headers that are not taken."""
TOLD = {"fq_codel": ["fq_codel_qdisc_ops"]}
"""Fix -> variables that are written in place (corpus/told.py)."""
SUPPORT = {"find_bug", "search_module_extables"}
EVERYDAY = "ip address add 10.0.0.1/24 dev lo; ping -c1 10.0.0.1 > /dev/null; ionice -c2 -n7 true; echo good"


@pytest.fixture(scope="module", autouse=True)
def units():
    """To ask kbuild for all of them takes a minute."""
    with pytest.MonkeyPatch.context() as patch:
        units = ["kernel/trace/ftrace.c", "kernel/signal.c", "block/bio.c", "net/core/dev.c", "mm/mmap.c"]
        units += ["fs/proc/base.c"]
        patch.setattr(KernelTree, "built_units", lambda _: units)
        patch.setattr(KernelTree, "module_units", lambda _: {})
        yield


@pytest.fixture(scope="module")
def build(tree, image, kernel, tmp_path_factory):
    folder, built = tmp_path_factory.mktemp("corpus"), {}

    def get(name):
        if name not in built:
            newer = apply_diff(tree.source, FIXES / f"{name}.patch")
            overlay = take_newer(tree, newer.root, newer.units, image)
            options = {"modules": kernel.modules, "write_data": TOLD.get(name, ())}
            built[name] = build_fix(tree, overlay, image, folder / f"{name}.o", **options)
        return built[name]

    return get


@pytest.fixture(scope="module")
def in_part(tree, image, kernel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("part")

    def get(name):
        newer = apply_diff(tree.source, FIXES / f"{name}.patch")
        options = {"name": f"{name}-part", "modules": kernel.modules}
        return build_in_part(tree, newer.root, newer.units, image, folder / f"{name}.o", **options)

    return get


def test_thirty_of_them():
    assert len(BUILT) + len(REFUSED) + len(IN_PART) == 30
    assert {path.stem for path in FIXES.glob("*.patch")} == {*BUILT, *REFUSED}


@pytest.mark.parametrize("name", BUILT)
def test_a_fix_takes_of_newer_headers_what_it_uses(build, name):
    fix = build(name)
    functions, taken = BUILT[name]
    replaced = {replacement.function for part in fix.patch.parts for replacement in part.replacements}
    assert replaced - SUPPORT == functions
    assert {change.name for change in fix.taken} == taken
    assert {change.name for change in fix.left if change.is_mentioned} == LEFT.get(name, set())


def test_all_of_them_are_applied_and_taken_back(build, in_part, guest_factory, kernel):
    modules = load_order(kernel.modules, ["jfs", "cuse", "sit", "tcp_dctcp", "nfsd"])
    machine = guest_factory("6.1", modules=modules)
    machine.run("dmesg -c")
    patches = [build(name).patch for name in BUILT]
    for name, (functions, left_out) in IN_PART.items():
        fix = in_part(name)
        patches.append(fix.patch)
        assert {one.name for one in fix.left_out} == left_out
        assert {r.function for part in fix.patch.parts for r in part.replacements} - SUPPORT == functions
    with Session.open(f"guest:{machine.name}") as session:
        for patch in patches:
            applied = apply_parts(session, patch, timeout=30)
            assert applied.done and not applied.waiting
        assert machine.run(EVERYDAY).stdout.endswith(b"good\n")
        for patch in patches:
            session.revert(patch.name, timeout=30)
        assert session.status() == []
    assert machine.run("dmesg | grep -iE 'oops|bug:|warning:|call trace' || true").stdout == b""


@pytest.mark.parametrize("name", REFUSED)
def test_a_fix_that_needs_more_than_its_files_is_refused(build, name):
    with pytest.raises(RefusedError) as caught:
        build(name)
    assert {(r.id, r.file, r.subject, r.member) for r in caught.value.refusals} == REFUSED[name]
