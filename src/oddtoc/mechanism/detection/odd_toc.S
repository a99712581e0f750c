/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * odd-toc: the RFC of 2016. r2 is odd if and only if the call came through the marked global entry; then the caller
 * restores its own r2.
 *
 * Wrong for a sibling call at the end of a chain that another object entered: M calls B globally, B jumps to C, C is
 * patched. r2 is even at C, though M restores its r2 itself. And wrong for a global caller that does not reload r2.
 *
 * Leaves at the end, for calls after which r2 has to be restored: r2 straight, r12 the return address. All others have
 * gone on at 2, with r2 straight.
 */
.macro DETECT_odd_toc
	andi.	r0,r2,1
	beq	1f
	addi	r2,r2,-1		/* r2 straight again: the patched object's TOC pointer */
2:	GO_ON
1:	mflr	r12
.endm

/* Nothing can be marked in a function without TOC set-up: every call counts as local. r2 stays the caller's. */
.macro DETECT_odd_toc_unmarked
	mflr	r12
.endm
