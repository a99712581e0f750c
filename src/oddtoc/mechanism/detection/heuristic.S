/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * heuristic: the RFC's author tried it and dropped it. A call counts as coming from another object when r12 is the
 * function's own global entry, as such a call leaves it, or when the return address is farther away from the function
 * than a bl reaches (32 MiB).
 *
 * Wrong for a local call with a stale r12: nothing clears it after the last call through a pointer. Wrong for a far
 * caller that expects r2 back (BPF), and for a library next door whose call ends here by a sibling call.
 *
 * Leaves at the end, for calls after which r2 has to be restored: r12 the return address. All others have gone on at 2.
 */
.macro DETECT_heuristic
	FROM_ENTRY r2, r12
	cmpdi	r12,0
	bne	1f
2:	GO_ON
1:	mflr	r12
	FROM_ENTRY r2, r12
	FARTHER_THAN_A_BRANCH
	bne	2b
	mflr	r12
.endm

/* The same where r2 is the caller's, whoever that is. */
.macro DETECT_heuristic_unmarked
	OBJECT_TOC r0
	FROM_ENTRY r0, r12
	cmpdi	r12,0
	beq	2f
	mflr	r12
	FROM_ENTRY r0, r12
	FARTHER_THAN_A_BRANCH
	bne	2f
	mflr	r12
.endm

/* address, which was an address, becomes its distance from the function's global entry. toc: the object's TOC pointer */
.macro FROM_ENTRY toc, address
	subf	\address,\toc,\address
	addis	\address,\address,oddtoc_toc_above_entry@ha
	addi	\address,\address,oddtoc_toc_above_entry@l
.endm

/* r12 is a distance; not equal if it is below -32 MiB or at least 32 MiB. r0 and r12 are used. */
.macro FARTHER_THAN_A_BRANCH
	addis	r12,r12,0x200
	srdi.	r0,r12,26
.endm
