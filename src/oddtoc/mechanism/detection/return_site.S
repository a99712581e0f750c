/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * return-site: the word at the return address tells. ld r2,24(r1) there means that the caller restores its own r2.
 * Every return helper begins with that instruction too, so a call that returns to a helper counts as restored.
 *
 * Wrong where somebody has put another address into LR: graph tracer, kretprobe, rethook, BPF fexit.
 *
 * Leaves at the end, for calls after which r2 has to be restored: r12 the return address. All others have gone on at 2.
 */
.macro DETECT_return_site
	IS_RELOADED
	bne	1f
2:	GO_ON
1:
.endm

/* The same with r2 the caller's, whoever that is; the others go on at the 2 behind the helper. */
.macro DETECT_return_site_unmarked
	IS_RELOADED
	beq	2f
.endm

/* r12 becomes the return address; equal if the word there is ld r2,24(r1). r0 and CR0 are used. */
.macro IS_RELOADED
	mflr	r12
	WORD_AT_RETURN_ADDRESS
.endm

/* r12 is the return address; equal if the word there is ld r2,24(r1). r0 and CR0 are used. */
.macro WORD_AT_RETURN_ADDRESS
	lwz	r0,0(r12)
	xoris	r0,r0,RELOAD_HIGH
	cmpldi	r0,RELOAD_LOW
.endm
