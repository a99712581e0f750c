// SPDX-License-Identifier: GPL-2.0-only
/* The basic live patch: /proc/cmdline says something else. */
#include <oddtoc.h>

struct seq_file;
void seq_puts(struct seq_file *file, const char *text);

static int my_cmdline_proc_show(struct seq_file *file, void *data)
{
	seq_puts(file, "this has been live patched\n");
	return 0;
}

ODDTOC_REPLACE(vmlinux, cmdline_proc_show, my_cmdline_proc_show);
