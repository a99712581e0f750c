/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * cr4: the RFC of 2016. r2 waits in 24(r1), and the 32-bit distance r2 - LR in the reserved word 12(r1), behind the CR
 * save word.
 *
 * The RFC's emergency exit: when LR is a return helper already (a sibling call from a patched function), a second
 * helper would overwrite what the first one needs and return to itself for ever. Helpers of this storage, of all
 * payloads, stand in one block of 64 KiB aligned to the TOC pointer: r2 - LR, moved by the block's distance, is below
 * 64 KiB if and only if LR is one of them.
 *
 * Wrong where LR is farther than 2 GiB from r2 (BPF programs call so), and where the replacement saves CR with a
 * 64-bit store.
 */

/*
 * r2 the patched object's TOC pointer, r12 the return address; goes to `restored` where LR is a helper.
 * r0, r12 and CR0 are used; 12(r1) and 24(r1) are written. LR may be used then.
 */
.macro SAVE_cr4 restored
	subf	r12,r12,r2		/* r12 = TOC pointer - return address */
	addis	r0,r12,oddtoc_helpers@ha
	cmpldi	r0,0xffff
	ble	\restored
	STORE_cr4
.endm

/* The same where r2 is the caller's, whoever that is: the block is found from the object's own TOC pointer. */
.macro SAVE_cr4_unmarked restored
	OBJECT_TOC r0
	subf	r12,r12,r0
	addis	r0,r12,oddtoc_helpers@ha
	cmpldi	r0,0xffff
	ble	\restored
	mflr	r12
	subf	r12,r12,r2
	STORE_cr4
.endm

.macro STORE_cr4
	stw	r12,RESERVED_WORD(r1)
	std	r2,TOC_SAVE(r1)
.endm

/* The return helper. Leaves r2 as it was at the call. r0 is used. */
.macro RETURN_cr4
	ld	r2,TOC_SAVE(r1)
	lwa	r0,RESERVED_WORD(r1)
	subf	r0,r0,r2		/* r0 the return address */
	mtlr	r0
	blr
.endm
