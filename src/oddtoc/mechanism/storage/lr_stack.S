/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * lr-stack: return addresses wait on a stack that each thread has for itself, one doubleword for a call. The TOC
 * pointer to be restored is a constant of the trampoline, as in slot.S.
 *
 * The pointer moves before the store, and back after the load: a signal in between finds the entry reserved.
 *
 * Wrong after a longjmp out of the call (its entry stays on top), and beyond the end of the stack.
 */

/* r12 the return address. r0 and r12 are used. LR may be used then. */
.macro SAVE_lr_stack restored
	RESERVE	8
	mflr	r0
	std	r0,-8(r12)
.endm
.macro SAVE_lr_stack_unmarked restored
	SAVE_lr_stack \restored
.endm

/* The return helper. Leaves r2 the patched object's TOC pointer. r0 and r12 are used. */
.macro RETURN_lr_stack
	ld	r2,TOC_SAVE(r1)		/* tells detection that this is a helper, nothing else */
	TOP
	ld	r0,-8(r2)
	mtlr	r0
	RELEASE	8
	OBJECT_TOC r2
	blr
.endm
