/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * livepatch-stack: what Linux 4.7 merged (arch/powerpc/kernel/trace/ftrace_64_mprofile.S, livepatch_handler). Each
 * call takes three doublewords of a stack that grows from the base of the kernel stack: r2, return address and
 * a magic number, which the way back checks. Here the stack is found as in lr_stack.S, and the order of the steps is
 * the same.
 *
 * Wrong after a longjmp out of the call (its entry stays on top), and beyond the end of the stack.
 */

/* STACK_END_MAGIC (include/uapi/linux/magic.h), in halves */
#define MAGIC_HIGH 0x57ac
#define MAGIC_LOW 0x6e9d

/* r12 the return address, r2 to be restored. r0 and r12 are used. LR may be used then. */
.macro SAVE_livepatch_stack restored
	RESERVE	24
	std	r2,-24(r12)
	mflr	r0
	std	r0,-16(r12)
	lis	r0,MAGIC_HIGH
	ori	r0,r0,MAGIC_LOW
	std	r0,-8(r12)
.endm
.macro SAVE_livepatch_stack_unmarked restored
	SAVE_livepatch_stack \restored
.endm

/* The return helper. Leaves r2 as it was at the call. r0 and r12 are used. Traps where the magic number is gone. */
.macro RETURN_livepatch_stack
	ld	r2,TOC_SAVE(r1)		/* tells detection that this is a helper, nothing else */
	TOP
	ld	r0,-16(r2)
	mtlr	r0
	lis	r0,MAGIC_HIGH
	ori	r0,r0,MAGIC_LOW
	ld	r12,-8(r2)
	tdne	r12,r0
	ld	r0,-24(r2)
	RELEASE	24
	mr	r2,r0
	blr
.endm
