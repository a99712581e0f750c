"""Variables whose new first values are written in place: those of which somebody has read that nothing copies them.

Read in the source of 6.1.176, and left out, though they are data that only changes its first value:

- `bpf_super_ops` (kernel/bpf/inode.c): who has come back from the old `destroy_inode`, and asks for `free_inode` then,
  would free an inode twice.
- `trace_options_core_fops` (kernel/trace/trace.c): files that were opened by the old `open` would be closed by the new
  `release`.
- `ipv4_net_table` (net/ipv4/sysctl_net_ipv4.c): each network namespace has a copy.
"""

from __future__ import annotations

from typing import Final

TOLD: Final = {
    # .test_run, which bpf_prog_test_run() asks for by aux->ops, each time
    "net/core/filter.c": ("lwt_seg6local_prog_ops",),
    # seg6_genl_family points to it; genl_get_cmd() hands the pointer on for one message
    "net/ipv6/seg6.c": ("seg6_genl_policy",),
    # .peek; a Qdisc has copies of enqueue and dequeue alone (qdisc_alloc)
    "net/sched/sch_fq_codel.c": ("fq_codel_qdisc_ops",),
}
"""C file -> variables, each with what uses it."""
