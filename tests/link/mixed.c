// SPDX-License-Identifier: GPL-2.0-only
/* A replacement with every kind of reference that gcc makes in kernel code. */
#include <oddtoc.h>

struct seq_file;
extern int with_toc(struct seq_file *file, const char *format, ...);
extern int without_toc(int value);
extern unsigned long variable;
extern const void *table[4];

static int counter = 7;
static long zeroed[300];
static const char *const names[] = { "first", "second", "third" };
int (*pointer)(int);

__attribute__((noinline)) static int inner(int value)
{
	counter += value;
	zeroed[value & 7]++;
	return (int)(zeroed[counter & 7] + variable);
}

__attribute__((noinline)) int visible(int value)
{
	return inner(value) * 3 + without_toc(value);
}

static int replacement(struct seq_file *file, void *data)
{
	static int calls;

	pointer = without_toc;
	with_toc(file, "%s %d %p\n", names[counter % 3], visible(counter), table[calls++ & 3]);
	switch (counter) {
	case 1: return without_toc(1);
	case 2: return inner(4);
	case 3: with_toc(file, "three"); break;
	case 4: with_toc(file, "four", data); break;
	case 5: return 9;
	case 6: with_toc(file, "six"); return visible(6);
	}
	return pointer(counter);
}

ODDTOC_REPLACE(vmlinux, patched, replacement);
