/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The replacements whose calls are counted, the same for oddtoc (patch.c) and for upstream's livepatch (livepatch.c).
 * One of these is defined:
 *
 *   SHOW_1 SHOW_2 SHOW_5 SHOW_9   cmdline_proc_show, and so many functions in all; the others are never called
 *   PUTS                          the function that writes a string: its name (seq_puts, __seq_puts)
 *   PUTC                          seq_putc, a function without TOC set-up
 *   NEXT                          single_next, one more, called through a pointer
 *
 * REPLACED(X) is X(function, replacement) for each function that is replaced.
 */
#define DEFINE_SHOW(name, replacement)                                  \
	static int replacement(struct seq_file *file, void *data)       \
	{                                                               \
		seq_printf(file, "%s\n", "this has been live patched"); \
		return 0;                                               \
	}

#define FIRST_1(X) X(cmdline_proc_show, my_cmdline_proc_show)
#define FIRST_2(X) FIRST_1(X) X(version_proc_show, my_version_proc_show)
#define FIRST_5(X)                                      \
	FIRST_2(X)                                      \
	X(uptime_proc_show, my_uptime_proc_show)        \
	X(loadavg_proc_show, my_loadavg_proc_show)      \
	X(meminfo_proc_show, my_meminfo_proc_show)
#define FIRST_9(X)                                              \
	FIRST_5(X)                                              \
	X(filesystems_proc_show, my_filesystems_proc_show)      \
	X(show_stat, my_show_stat)                              \
	X(show_softirqs, my_show_softirqs)                      \
	X(devinfo_show, my_devinfo_show)

#if defined(SHOW_9)
#define REPLACED FIRST_9
#elif defined(SHOW_5)
#define REPLACED FIRST_5
#elif defined(SHOW_2)
#define REPLACED FIRST_2
#elif defined(SHOW_1)
#define REPLACED FIRST_1
#elif defined(PUTS)
#define REPLACED(X) X(PUTS, my_puts)
static void my_puts(struct seq_file *file, const char *text)
{
	unsigned long length = 0;

	while (text[length])
		length++;
	seq_write(file, text, length);
}
#elif defined(PUTC)
#define REPLACED(X) X(seq_putc, my_putc)
static void my_putc(struct seq_file *file, char character)
{
	seq_write(file, &character, 1);
}
#elif defined(NEXT)
#define REPLACED(X) X(single_next, my_next)
static void *my_next(struct seq_file *file, void *item, long long *position)
{
	++*position;
	return (void *)0;
}
#endif

#if defined(SHOW_1) || defined(SHOW_2) || defined(SHOW_5) || defined(SHOW_9)
REPLACED(DEFINE_SHOW)
#endif
