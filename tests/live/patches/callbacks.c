// SPDX-License-Identifier: GPL-2.0-only
/* Says when each of its callbacks ran: in the kernel's log, with what /proc/cmdline is made of at that time. */
#include <oddtoc_callbacks.h>

struct seq_file;
void seq_printf(struct seq_file *file, const char *format, ...);
int _printk(const char *format, ...);
void msleep(unsigned int milliseconds);

#ifndef SAYS
#define SAYS 0
#endif

static int my_cmdline_proc_show(struct seq_file *file, void *data)
{
	seq_printf(file, "%s\n", "with callbacks");
	return 0;
}
ODDTOC_REPLACE(vmlinux, cmdline_proc_show, my_cmdline_proc_show);

static int before(void)
{
#ifdef SLEEPS
	msleep(SLEEPS);
#endif
	_printk("callback: pre_patch\n");
	return SAYS;
}
ODDTOC_CALLBACK(pre_patch, before);

#ifndef ONLY_BEFORE
static void after(void)
{
	_printk("callback: post_patch\n");
}
ODDTOC_CALLBACK(post_patch, after);

static void before_revert(void)
{
	_printk("callback: pre_unpatch\n");
}
ODDTOC_CALLBACK(pre_unpatch, before_revert);

static void after_revert(void)
{
	_printk("callback: post_unpatch\n");
}
ODDTOC_CALLBACK(post_unpatch, after_revert);
#endif
