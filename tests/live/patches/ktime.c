// SPDX-License-Identifier: GPL-2.0-only
/* A helper of BPF programs: they enter it from far away and reload no TOC pointer. */
#include <oddtoc.h>

unsigned long ktime_get_boot_fast_ns(void);

static unsigned long calls;

static unsigned long my_bpf_ktime_get_ns(void)
{
	calls++;
	return ktime_get_boot_fast_ns() ? 0x0ddba115 : 0;
}

ODDTOC_REPLACE(vmlinux, bpf_ktime_get_ns, my_bpf_ktime_get_ns);
