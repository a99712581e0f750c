/* SPDX-License-Identifier: GPL-2.0-only */
/* The functions under test. */
#ifndef FUNCTIONS_H
#define FUNCTIONS_H
#include <oddtoc.h>

struct seq_file {			/* the beginning of the kernel's (include/linux/seq_file.h) */
	char *buf;
	unsigned long size, from, count;
};
void seq_putc(struct seq_file *file, char c);
unsigned long int_sqrt(unsigned long x);

#endif
