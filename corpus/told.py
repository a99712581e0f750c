"""Variables whose new first values are written in place: those of which somebody has read that nothing copies them.

Read in the source of 6.1.176, and left out, though they are data that only changes its first value:

- `bpf_super_ops` (kernel/bpf/inode.c): who has come back from the old `destroy_inode`, and asks for `free_inode` then,
  would free an inode twice.
- `trace_options_core_fops` (kernel/trace/trace.c): files that were opened by the old `open` would be closed by the new
  `release`.
- `ipv4_net_table` (net/ipv4/sysctl_net_ipv4.c): each network namespace has a copy.
- `proc_fdinfo_inode_operations` (fs/proc/fd.c): inodes that were used before remember that they have no `permission`
  (IOP_FASTPERM), and would not be asked for it, while the check in `open` is gone.
- `nfsd_acl_procedures3` (fs/nfsd/nfs3acl.c): a request between the old procedure, which drops the lists, and the new
  `pc_release` would drop them twice.

And of structures: `netlink_compare_arg` (net/netlink/af_netlink.c) is on stacks alone, but sockets are in a table where
the hash of it tells; by another hash they would not be found.
"""

from __future__ import annotations

from typing import Final

TOLD: Final = {
    # .test_run, which bpf_prog_test_run() asks for by aux->ops, each time
    "net/core/filter.c": ("lwt_seg6local_prog_ops",),
    # seg6_genl_family points to it; genl_get_cmd() hands the pointer on for one message
    "net/ipv6/seg6.c": ("seg6_genl_policy",),
    # .setattr alone, which notify_change() asks for by inode->i_op, each time; no IOP flag remembers that
    "fs/proc/base.c": (
        *("proc_def_inode_operations", "proc_pid_link_inode_operations", "proc_map_files_link_inode_operations"),
        *("proc_map_files_inode_operations", "proc_attr_dir_inode_operations", "proc_tgid_base_inode_operations"),
        *("proc_tid_comm_inode_operations", "proc_tid_base_inode_operations", "proc_task_inode_operations"),
        "proc_apparmor_attr_dir_inode_ops",
    ),
    "fs/proc/fd.c": ("proc_fd_inode_operations",),
    "fs/proc/namespaces.c": ("proc_ns_link_inode_operations", "proc_ns_dir_inode_operations"),
    "fs/proc/proc_net.c": ("proc_net_inode_operations",),
    # tcf_pedit_keys_ex_parse() hands it on for one message
    "net/sched/act_pedit.c": ("pedit_key_ex_policy",),
    # .peek; a Qdisc has copies of enqueue and dequeue alone (qdisc_alloc)
    "net/sched/sch_fq_codel.c": ("fq_codel_qdisc_ops",),
}
"""C file -> variables, each with what uses it."""

CONFINED: Final = {
    # of struct xlog_recover, which are in the hash table on the stack of this function: it frees those that are left
    "xlog_recover_item": ("xlog_do_recovery_pass",),
    # variables of these two; what they hand it to asks it while it submits, and does not keep it (iter->private)
    "btrfs_dio_data": ("btrfs_dio_read", "btrfs_dio_write"),
}
"""Structure -> the functions that all of its objects live in."""

IN_PADDING: Final = {
    # tconInfoAlloc(), alone, has kzalloc(); only trace events print it
    "cifs_tcon": ("debug_id",),
    # ext4_alloc_sbi(), alone, has kzalloc(); call_rcu() makes it what it is
    "ext4_sb_info": ("s_rcu",),
    # register_session(), alone, has kzalloc(); a session may hold 8,192 inodes, and as many more as it holds already
    "ceph_mds_session": ("s_num_deleg_inos",),
}
"""Structure -> new members that may be in its padding: who makes objects, and why 0 is right in those that exist."""
