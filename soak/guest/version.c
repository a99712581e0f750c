/* SPDX-License-Identifier: GPL-2.0-only */
/* One version of the functions under test: for the driver's arguments an answer with VERSION in it, else the original's. */
#include "functions.h"

typeof(seq_putc) ODDTOC_ORIGINAL(seq_putc);
typeof(int_sqrt) ODDTOC_ORIGINAL(int_sqrt);

static volatile unsigned long version = VERSION;	/* data of its own: read through its own TOC pointer */

static void my_putc(struct seq_file *file, char c)
{
	ODDTOC_ORIGINAL(seq_putc)(file, c & 0x80 ? c | version << 3 : c);
}
ODDTOC_REPLACE(vmlinux, seq_putc, my_putc);

static unsigned long my_sqrt(unsigned long x)
{
	return ODDTOC_ORIGINAL(int_sqrt)(x) + (x >> 62 ? version : 0);
}
ODDTOC_REPLACE(vmlinux, int_sqrt, my_sqrt);

#ifdef WITH_BPF
static unsigned long my_time(void)
{
	return 0x0ddc0000000000 + version;
}
ODDTOC_REPLACE(vmlinux, bpf_ktime_get_ns, my_time);
#endif
