/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * guarded/slot: who restores r2 is told by the mark, and where that can't tell by the word at the return address;
 * the return address waits in the caller's TOC save doubleword.
 *
 * An odd r2 means a call through the global entry: the caller restores its own r2. An even r2 means a local call, or
 * a sibling call at the end of a chain that somebody entered globally: there the word at LR is ld r2,24(r1), and
 * 24(r1) holds that caller's TOC pointer and must stay. Every return helper begins with that same instruction, so a
 * call whose LR is a helper already counts as "restored by its caller" too.
 *
 * A trampoline serves one function, so the TOC pointer that its local callers want back is a constant and needs no
 * storage. The helper writes it to 24(r1) before it returns: a caller with several indirect calls has saved its r2
 * there once, in its prologue, and reloads it later.
 */
#include "trampoline.h"

TRAMPOLINE(guarded/slot)
	andi.	r0,r2,1
	beq	1f
	addi	r2,r2,-1		/* r2 straight again: the patched object's TOC pointer */
2:	ENTER_PAYLOAD_TOC		/* restored by the caller: LR and its frame stay as they are */
	b	oddtoc_new
1:	mflr	r12			/* r12 the return address */
	lwz	r0,0(r12)		/* r0 the word that the caller goes on with */
	xoris	r0,r0,RELOAD_HIGH
	cmpldi	r0,RELOAD_LOW
	beq	2b
	std	r12,TOC_SAVE(r1)	/* local: the return address waits in 24(r1) */
	ENTER_PAYLOAD_TOC
	bl	oddtoc_new		/* LR becomes the return helper's address: it stands right here */
	ld	r2,TOC_SAVE(r1)		/* r2 the return address */
	mtlr	r2
	LOAD_OBJECT_TOC
	std	r2,TOC_SAVE(r1)
	blr

/* The same for a function without TOC set-up. Nothing can be marked there, and r2 is the caller's, whoever that is. */
TRAMPOLINE(guarded/slot.unmarked)
	mflr	r12			/* r12 the return address */
	lwz	r0,0(r12)
	xoris	r0,r0,RELOAD_HIGH
	cmpldi	r0,RELOAD_LOW
	LOAD_OBJECT_TOC
	beq	2f
	std	r12,TOC_SAVE(r1)
	ENTER_PAYLOAD_TOC
	bl	oddtoc_new
	ld	r2,TOC_SAVE(r1)
	mtlr	r2
	LOAD_OBJECT_TOC
	std	r2,TOC_SAVE(r1)
	blr
2:	ENTER_PAYLOAD_TOC
	b	oddtoc_new
