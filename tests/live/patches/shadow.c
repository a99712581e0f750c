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
#define STEP 2

#ifndef VERSION
#define VERSION 1
#endif
ODDTOC_STATE(0x51, VERSION);

struct seq_file;
void seq_printf(struct seq_file *file, const char *format, ...);

#define NEED(condition) \
	do { if (!(condition)) return __LINE__; } while (0)

static int steps(char *objects)
{
	long *one, *two, *other;
	int i;

	NEED(!oddtoc_shadow_get(objects, STEP));
	one = oddtoc_shadow_new(sizeof(*one), GFP_KERNEL);
	NEED(one && *one == 0);
	*one = 1;
	NEED(oddtoc_shadow_attach(objects, STEP, one) == one);
	NEED(oddtoc_shadow_get(objects, STEP) == one);
	NEED(!oddtoc_shadow_get(objects, STEP + 1) && !oddtoc_shadow_get(objects + 1, STEP));
	two = oddtoc_shadow_new(sizeof(*two), GFP_KERNEL);
	NEED(two && oddtoc_shadow_attach(objects, STEP, two) == one);
	oddtoc_shadow_drop(two);
	NEED(oddtoc_shadow_get_or_new(objects, STEP, sizeof(long), GFP_KERNEL) == one && *one == 1);
	/* more objects than there are lists */
	for (i = 1; i < 500; i++) {
		other = oddtoc_shadow_get_or_new(objects + i, STEP, sizeof(long), GFP_KERNEL);
		NEED(other && *other == 0);
		*other = i;
	}
	for (i = 1; i < 500; i++) {
		other = oddtoc_shadow_get(objects + i, STEP);
		NEED(other && *other == i);
	}
	NEED(oddtoc_shadow_take(objects, STEP) == one && *one == 1);
	oddtoc_shadow_drop(one);
	NEED(!oddtoc_shadow_get(objects, STEP) && !oddtoc_shadow_take(objects, STEP));
	for (i = 1; (other = oddtoc_shadow_take_any(STEP)); i++)
		oddtoc_shadow_drop(other);
	NEED(i == 500);
	NEED(!oddtoc_shadow_get(objects + 7, STEP));
	return 0;
}

static int my_version_proc_show(struct seq_file *file, void *data)
{
	int line = steps((char *)file);
	void *left;

	if (line) {
		/* readers that disturb each other leave nothing for the next one */
		while ((left = oddtoc_shadow_take_any(STEP)))
			oddtoc_shadow_drop(left);
		seq_printf(file, "line %d\n", line);
	} else {
		seq_printf(file, "ok\n");
	}
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
