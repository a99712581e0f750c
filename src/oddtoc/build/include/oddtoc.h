/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * oddtoc.h: what a live patch for oddtoc includes.
 *
 *     #include <oddtoc.h>
 *
 *     struct seq_file;
 *     void seq_printf(struct seq_file *file, const char *format, ...);
 *
 *     static int my_cmdline_proc_show(struct seq_file *file, void *data)
 *     {
 *             seq_printf(file, "%s\n", "this has been live patched");
 *             return 0;
 *     }
 *
 *     ODDTOC_REPLACE(vmlinux, cmdline_proc_show, my_cmdline_proc_show);
 *
 * A replacement may call any function of the patched image by name, exported or not, and use its variables.
 */
#ifndef ODDTOC_H
#define ODDTOC_H

/* One record of the section .oddtoc.replace; read by oddtoc, never loaded. 264 bytes. */
struct oddtoc_replacement {
	char image[64];		/* vmlinux, a module's or a library's name */
	char function[128];	/* the function that is replaced */
	char which[64];		/* file, address or version, where the name stands more than once */
	const void *replacement;
};

_Static_assert(sizeof(struct oddtoc_replacement) == 264, "the record's layout is fixed");

#define ODDTOC_JOIN2(a, b) a##b
#define ODDTOC_JOIN(a, b) ODDTOC_JOIN2(a, b)

/* In `image`, every call of `function` goes to `replacement`. */
#define ODDTOC_REPLACE(image, function, replacement) \
	ODDTOC_REPLACE_IN(image, "", function, replacement)

/*
 * The same where `function` stands more than once: `where` is its source file ("seq_file.c"), its address ("0xc0...") or,
 * in a library, its version ("GLIBC_2.17"). Without it a name means the default version.
 */
#define ODDTOC_REPLACE_IN(image, where, function, replacement)                                  \
	static const struct oddtoc_replacement ODDTOC_JOIN(oddtoc_replacement_, __COUNTER__)    \
		__attribute__((section(".oddtoc.replace"), used, aligned(8))) = {               \
			#image, #function, where, (const void *)(replacement) }

/*
 * The original of a replaced function, as if it had never been patched. Its replacement may call it or take its address:
 *
 *     typeof(seq_putc) ODDTOC_ORIGINAL(seq_putc);
 */
#define ODDTOC_ORIGINAL(function) oddtoc_original_##function

#endif
