/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * slot: the return address waits in the caller's TOC save doubleword 24(r1).
 *
 * A trampoline serves one function, so the TOC pointer that its local callers want back is a constant and needs no
 * storage. The helper writes it to 24(r1) before it returns: a caller with several indirect calls has saved its r2
 * there once, in its prologue, and reloads it later.
 *
 * Wrong after a longjmp out of the call: the return address stays in 24(r1).
 */

/* r12 the return address. LR and 24(r1) may be used then. */
.macro SAVE_slot restored
	std	r12,TOC_SAVE(r1)
.endm
.macro SAVE_slot_unmarked restored
	SAVE_slot \restored
.endm

/* The return helper. Leaves r2 the patched object's TOC pointer, in 24(r1) too. */
.macro RETURN_slot
	ld	r2,TOC_SAVE(r1)		/* r2 the return address */
	mtlr	r2
	OBJECT_TOC r2
	std	r2,TOC_SAVE(r1)
	blr
.endm
