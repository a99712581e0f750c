// SPDX-License-Identifier: GPL-2.0-only
/*
 * A patch that changes the state of the system beside its functions: the console's log level, which it restores. A newer
 * one that takes its place takes over what was saved.
 */
#include <oddtoc_callbacks.h>
#include <oddtoc_shadow.h>
#include <oddtoc_state.h>

#define LOGLEVEL 0x1091
#define GFP_KERNEL 0xcc0
#define ENOMEM 12

#ifndef VERSION
#define VERSION 1
#endif
ODDTOC_STATE(LOGLEVEL, VERSION);

struct saved {
	int loglevel;
	int changed;
};

struct seq_file;
void seq_printf(struct seq_file *file, const char *format, ...);
int _printk(const char *format, ...);
extern int console_printk[];

static int my_cmdline_proc_show(struct seq_file *file, void *data)
{
	seq_printf(file, "loglevel %d\n", VERSION);
	return 0;
}
ODDTOC_REPLACE(vmlinux, cmdline_proc_show, my_cmdline_proc_show);

static int allocate(void)
{
	if (oddtoc_shadow_get((void *)0, LOGLEVEL))
		_printk("callback: %d finds space\n", VERSION);
	else
		_printk("callback: %d makes space\n", VERSION);
	return oddtoc_shadow_get_or_new((void *)0, LOGLEVEL, sizeof(struct saved), GFP_KERNEL) ? 0 : -ENOMEM;
}
ODDTOC_CALLBACK(pre_patch, allocate);

static void change(void)
{
	struct saved *saved = oddtoc_shadow_get((void *)0, LOGLEVEL);

	if (saved->changed) {
		_printk("callback: %d takes over\n", VERSION);
		return;
	}
	saved->loglevel = console_printk[0];
	saved->changed = 1;
	console_printk[0] = 6;
	_printk("callback: %d changes\n", VERSION);
}
ODDTOC_CALLBACK(post_patch, change);

static void restore(void)
{
	struct saved *saved = oddtoc_shadow_get((void *)0, LOGLEVEL);

	console_printk[0] = saved->loglevel;
	_printk("callback: %d restores\n", VERSION);
}
ODDTOC_CALLBACK(pre_unpatch, restore);

static void release(void)
{
	oddtoc_shadow_drop(oddtoc_shadow_take((void *)0, LOGLEVEL));
	_printk("callback: %d frees\n", VERSION);
}
ODDTOC_CALLBACK(post_unpatch, release);
