// SPDX-License-Identifier: GPL-2.0-only
/* More writable data than any kernel has room for. */
#include <oddtoc.h>

static char table[1 << 20];

static int my_cmdline_proc_show(void *file, void *data)
{
	return table[(unsigned long)file & 0xfffff]++ + (data != 0);
}

ODDTOC_REPLACE(vmlinux, cmdline_proc_show, my_cmdline_proc_show);
