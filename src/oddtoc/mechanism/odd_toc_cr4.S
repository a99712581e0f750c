/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * odd-toc/cr4: the mechanism of the RFC of 2016. An odd r2 marks a call through the global entry; a local call leaves
 * r2 in 24(r1) and the 32-bit distance r2 - LR in the reserved word 12(r1), and returns through the helper.
 *
 * The RFC's emergency exit: when LR is a return helper already (a sibling call from a patched function), a second
 * helper would overwrite what the first one needs and return to itself for ever. Helpers of this mechanism, of all
 * payloads, stand in one block of 64 KiB aligned to the TOC pointer: r2 - LR, moved by the block's distance, is below
 * 64 KiB if and only if LR is one of them.
 *
 * Conditions that this mechanism can't see to: LR within 2 GiB of r2; no sibling call that ends here from a function
 * that another object entered globally.
 */
#include "trampoline.h"

TRAMPOLINE(odd-toc/cr4)
	andi.	r0,r2,1
	beq	1f
	addi	r2,r2,-1		/* r2 straight again */
2:	ENTER_PAYLOAD_TOC		/* global, or LR is a helper: LR and the frame stay as they are */
	b	oddtoc_new
1:	mflr	r12
	subf	r12,r12,r2		/* r12 = TOC pointer - return address */
	addis	r0,r12,oddtoc_helpers@ha
	cmpldi	r0,0xffff
	ble	2b
	stw	r12,RESERVED_WORD(r1)
	std	r2,TOC_SAVE(r1)
	ENTER_PAYLOAD_TOC
	bl	oddtoc_new		/* LR becomes the return helper's address: it stands right here */
	ld	r2,TOC_SAVE(r1)
	lwa	r0,RESERVED_WORD(r1)
	subf	r0,r0,r2		/* r0 the return address */
	mtlr	r0
	blr

/* The same for a function without TOC set-up. Nothing can be marked there, and r2 is the caller's, whoever that is. */
TRAMPOLINE(odd-toc/cr4.unmarked)
	mflr	r12
	subf	r12,r12,r2
	addis	r0,r12,oddtoc_helpers@ha
	cmpldi	r0,0xffff
	ble	2f
	stw	r12,RESERVED_WORD(r1)
	std	r2,TOC_SAVE(r1)
	LOAD_OBJECT_TOC
	ENTER_PAYLOAD_TOC
	bl	oddtoc_new
	ld	r2,TOC_SAVE(r1)
	lwa	r0,RESERVED_WORD(r1)
	subf	r0,r0,r2
	mtlr	r0
	blr
2:	LOAD_OBJECT_TOC
	ENTER_PAYLOAD_TOC
	b	oddtoc_new
