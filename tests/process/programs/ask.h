/* SPDX-License-Identifier: GPL-2.0-only */
/* A program is asked a line at a time through /tmp/ask, and its answer is in /tmp/answer when that appears. */
#ifndef ASK_H
#define ASK_H

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { LONGEST_LINE = 100 };

static FILE *answering(void)
{
	return fopen("/tmp/answer.new", "w");
}

static void answered(FILE *out)
{
	fclose(out);
	rename("/tmp/answer.new", "/tmp/answer");
}

/* Leaves no free memory within 64 MiB of an address, so that nobody finds room within a branch of it. */
static long fill(unsigned long address)
{
	const unsigned long page = 65536, around = 64 << 20;
	unsigned long place = (address - around) & -page;
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;
	long filled = 0;

	for (; place < address + around; place += page)
		filled += mmap((void *)place, page, PROT_NONE, flags, -1, 0) == (void *)place;
	return filled;
}

static FILE *asked(char *line);

/* Around libraries, and around the program itself. */
static void fill_all(void)
{
	FILE *out = answering();

	fprintf(out, "%s\n", fill((unsigned long)fopen) + fill((unsigned long)asked) > 1000 ? "filled" : "not filled");
	answered(out);
}

/* Waits for a line; gives what to print the answer to. */
static FILE *asked(char *line)
{
	FILE *in;
	char *got;

	mkfifo("/tmp/ask", 0600);
	do {
		in = fopen("/tmp/ask", "r");
		got = in ? fgets(line, LONGEST_LINE, in) : NULL;
		if (in)
			fclose(in);
		if (got && !strcmp(line, "fill\n")) {
			fill_all();
			got = NULL;
		}
	} while (!got);
	return answering();
}

#endif
