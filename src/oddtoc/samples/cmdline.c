// SPDX-License-Identifier: GPL-2.0-only
/* The basic live patch: /proc/cmdline says something else. */
#include <oddtoc.h>

struct seq_file;
void seq_printf(struct seq_file *file, const char *format, ...);

static int my_cmdline_proc_show(struct seq_file *file, void *data)
{
	seq_printf(file, "%s\n", "this has been live patched");
	return 0;
}

ODDTOC_REPLACE(vmlinux, cmdline_proc_show, my_cmdline_proc_show);
