/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How the laboratory's patches write replacements. Each begins in assembly, which notes all registers in
 * `context->seen` before anything changes, writes junk into the words of the caller's frame that belong to a callee,
 * and goes on in a C function of the same arguments.
 */
#ifndef REPLACEMENT_H
#define REPLACEMENT_H

#include <oddtoc.h>
#include "context.h"

register struct context *context __asm__("r13");

__asm__(".include \"registers.s\"\n"
	".macro REPLACEMENT name, body\n"
	"	.globl	\\name\n"
	"	.type	\\name, @function\n"
	"\\name:\n"
	"0:	addis	2,12,.TOC.-0b@ha\n"
	"	addi	2,2,.TOC.-0b@l\n"
	"	.localentry \\name, .-\\name\n"
	"	SAVE_ALL SEEN\n"
	"	stw	0,8(1)\n"
	"	std	0,LR_SAVE(1)\n"
	"	b	\\body\n"
	"	.size	\\name, .-\\name\n"
	".endm\n");

#define REPLACE(function) REPLACE_BY(function, function)
#define REPLACE_BY(function, body) \
	__asm__(".text\nREPLACEMENT my_" #function ", body_" #body); \
	extern char my_##function[]; \
	ODDTOC_REPLACE(k, function, my_##function)

/* A C body: counts the call and looks at the patch's own data, which only the right TOC pointer leads to. */
static u64 own_data = 0x0ddc0ffee0ddf00dUL;
static u64 own_count;

static inline void begin(void)
{
	context->calls++;
	own_count++;
	if (*(volatile u64 *)&own_data != 0x0ddc0ffee0ddf00dUL)
		context->faults |= FAULT_DATA;
}

/* Junk in every register that a callee may change, but those of the result. */
#define SCRAMBLE(kept...) \
	__asm__ volatile("li 0,-1\n mtctr 0\n mtcrf 0xc7,0\n mr 12,0\n mr 11,0\n mr 10,0\n mr 9,0" \
		: : : "r0", "r9", "r10", "r11", "r12", "ctr", "cr0", "cr1", "cr5", "cr6", "cr7", ##kept)
#define MORE "r4", "r5", "r6", "r7", "r8", "xer"

static inline u64 end(u64 result)
{
	SCRAMBLE(MORE, "fr0", "fr1", "fr2", "fr13", "v0", "v2", "v19");
	return result;
}

#define BODY __attribute__((used, noinline))

#endif
