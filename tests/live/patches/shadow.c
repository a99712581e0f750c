// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shadow variables: /proc/version goes through what can be done with them and says ok, or the line that went wrong;
 * /proc/cmdline counts its reads in a variable that outlives the patch.
 */
#include <oddtoc_callbacks.h>
#include <oddtoc_shadow.h>
#include <oddtoc_state.h>

#define GFP_KERNEL 0xcc0
#define COUNT 1

#ifndef VERSION
#define VERSION 1
#endif
ODDTOC_STATE(0x51, VERSION);

struct seq_file;
void seq_printf(struct seq_file *file, const char *format, ...);

#define NEED(condition) \
	do { if (!(condition)) return __LINE__; } while (0)

/* With an id of its own: readers at the same time share the lists, and none takes or frees what another one writes to. */
static int steps(char *objects)
{
	unsigned long step = (unsigned long)objects;
	long *one, *two, *other;
	int i;

	NEED(!oddtoc_shadow_get(objects, step));
	one = oddtoc_shadow_new(sizeof(*one), GFP_KERNEL);
	NEED(one && *one == 0);
	*one = 1;
	NEED(oddtoc_shadow_attach(objects, step, one) == one);
	NEED(oddtoc_shadow_get(objects, step) == one);
	NEED(!oddtoc_shadow_get(objects, step + 1) && !oddtoc_shadow_get(objects + 1, step));
	two = oddtoc_shadow_new(sizeof(*two), GFP_KERNEL);
	NEED(two && oddtoc_shadow_attach(objects, step, two) == one);
	oddtoc_shadow_drop(two);
	NEED(oddtoc_shadow_get_or_new(objects, step, sizeof(long), GFP_KERNEL) == one && *one == 1);
	/* more objects than there are lists */
	for (i = 1; i < 500; i++) {
		other = oddtoc_shadow_get_or_new(objects + i, step, sizeof(long), GFP_KERNEL);
		NEED(other && *other == 0);
		*other = i;
	}
	for (i = 1; i < 500; i++) {
		other = oddtoc_shadow_get(objects + i, step);
		NEED(other && *other == i);
	}
	NEED(oddtoc_shadow_take(objects, step) == one && *one == 1);
	oddtoc_shadow_drop(one);
	NEED(!oddtoc_shadow_get(objects, step) && !oddtoc_shadow_take(objects, step));
	for (i = 1; (other = oddtoc_shadow_take_any(step)); i++)
		oddtoc_shadow_drop(other);
	NEED(i == 500);
	NEED(!oddtoc_shadow_get(objects + 7, step));
	return 0;
}

static int my_version_proc_show(struct seq_file *file, void *data)
{
	int line = steps((char *)file);

	if (line)
		seq_printf(file, "line %d\n", line);
	else
		seq_printf(file, "ok\n");
	return 0;
}
ODDTOC_REPLACE(vmlinux, version_proc_show, my_version_proc_show);

static int my_cmdline_proc_show(struct seq_file *file, void *data)
{
	long *count = oddtoc_shadow_get_or_new((void *)0, COUNT, sizeof(*count), GFP_KERNEL);

	seq_printf(file, "version %d, read %ld\n", VERSION, ++*count);
	return 0;
}
ODDTOC_REPLACE(vmlinux, cmdline_proc_show, my_cmdline_proc_show);

static void forget(void)
{
	oddtoc_shadow_drop(oddtoc_shadow_take((void *)0, COUNT));
}
ODDTOC_CALLBACK(post_unpatch, forget);
