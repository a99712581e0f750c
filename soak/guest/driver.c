/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A caller inside of the kernel that checks every call. It takes the place of a system call that nobody uses, sees to
 * its own r2 and to what the functions under test give back, and returns patched calls | errors << 32.
 *
 * On the kernel's TOC its direct calls are local ones; on a TOC of its own they are those of another object. Calls
 * through a pointer enter globally in both.
 */
#include "functions.h"

#define ROUNDS 128
#define PAUSE 100			/* turns between two calls, so that not every thread always stands in one */
#define BIG (1UL << 62)			/* int_sqrt(BIG + small) is ROOT; replacements change it for such values only */
#define ROOT (1UL << 31)
#define VERSIONS 7

static unsigned long toc(void)
{
	unsigned long value;

	asm volatile("mr %0,2" : "=r"(value));
	return value;
}

static void turn_idle(void)
{
	for (int turn = 0; turn < PAUSE; turn++)
		asm volatile("");
}

/* The version that answered, 0 for the original; -1 when something is wrong. */
static long put(void (*function)(struct seq_file *, char), unsigned long number)
{
	char buffer[4] = { 0, 0x55, 0x55, 0x55 }, wanted = 0x80 | (number & 7);
	struct seq_file file = { .buf = buffer, .size = 4 };
	unsigned long before = toc();

	if (function)
		function(&file, wanted);
	else
		seq_putc(&file, wanted);
	if (toc() != before || file.count != 1 || buffer[1] != 0x55 || (buffer[0] & 0x87) != (wanted & 0x87))
		return -1;
	return buffer[0] >> 3 & 7;
}

static long root(unsigned long (*function)(unsigned long), unsigned long number)
{
	unsigned long before = toc(), result = function ? function(BIG + number) : int_sqrt(BIG + number);

	return toc() == before && result >= ROOT && result <= ROOT + VERSIONS ? (long)(result - ROOT) : -1;
}

static long drive(void)
{
	void (*volatile putc_pointer)(struct seq_file *, char) = seq_putc;
	unsigned long (*volatile sqrt_pointer)(unsigned long) = int_sqrt;
	unsigned long patched = 0, errors = 0;

	for (unsigned long number = 0; number < ROUNDS; number++) {
		long versions[] = { put(0, number), put(putc_pointer, number), root(0, number), root(sqrt_pointer, number) };

		for (int call = 0; call < 4; call++) {
			patched += versions[call] > 0;
			errors += versions[call] < 0;
		}
		turn_idle();
	}
	return patched | errors << 32;
}

ODDTOC_REPLACE(vmlinux, SYSTEM_CALL, drive);
