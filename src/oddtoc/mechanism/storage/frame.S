/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * frame: a stack frame of our own between caller and replacement; the return address waits in the caller's LR save
 * doubleword, which belongs to the callee, and r2 in our own TOC save doubleword.
 *
 * Wrong for functions with more than 8 arguments, large structures by value or variable arguments beyond the eighth:
 * the replacement looks for them in its caller's frame, and finds ours.
 */

/* Header and parameter save area (ELFv2 ABI, 2.2.3): a function with variable arguments stores r3 to r10 there */
#define FRAME_SIZE 96

/* r12 the return address, r2 to be restored. r1 becomes our frame. LR may be used then. */
.macro SAVE_frame restored
	std	r12,LR_SAVE(r1)
	stdu	r1,-FRAME_SIZE(r1)
	std	r2,TOC_SAVE(r1)
.endm
.macro SAVE_frame_unmarked restored
	SAVE_frame \restored
.endm

/* The return helper. Leaves r1 the caller's frame and r2 as it was at the call. r0 is used. */
.macro RETURN_frame
	ld	r2,TOC_SAVE(r1)
	addi	r1,r1,FRAME_SIZE
	ld	r0,LR_SAVE(r1)
	mtlr	r0
	blr
.endm
