# SPDX-License-Identifier: GPL-2.0-only
# Places in struct context (context.h), from r13, and the macros that fill and empty them.

	.set	IN, 0
	.set	OUT, 1072
	.set	SEEN, 2144
	.set	HOST, 3216
	.set	TOC, 4288
	.set	WINDOW_R2, 4312
	.set	OBSERVED, 4336
	.set	TRACE_DEPTH, 4464
	.set	TRACE_R12, 4472
	.set	TRACE, 4480
	.set	JUMP, 4992

	.set	FPR, 256
	.set	VR, 512
	.set	CR, 1024
	.set	XER, 1032
	.set	CTR, 1040
	.set	LR, 1048

	.set	TOC_SAVE, 24
	.set	LR_SAVE, 16

	.altmacro
	.macro	EACH from, to, action, place
	.set	number, \from
	.rept	\to - \from + 1
	\action	%number, \place
	.set	number, number + 1
	.endr
	.endm

	.macro	SAVE_GPR n, place
	std	\n,\place+8*\n(13)
	.endm
	.macro	LOAD_GPR n, place
	ld	\n,\place+8*\n(13)
	.endm
	.macro	SAVE_FPR n, place
	stfd	\n,\place+FPR+8*\n(13)
	.endm
	.macro	LOAD_FPR n, place
	lfd	\n,\place+FPR+8*\n(13)
	.endm
	.macro	SAVE_VR n, place
	li	0,\place+VR+16*\n
	stvx	\n,13,0
	.endm
	.macro	LOAD_VR n, place
	li	0,\place+VR+16*\n
	lvx	\n,13,0
	.endm

# All registers to r13 + place. r0 is used once it is saved; nothing else changes.
	.macro	SAVE_ALL place
	EACH	0, 31, SAVE_GPR, \place
	mfcr	0
	std	0,\place+CR(13)
	mfxer	0
	std	0,\place+XER(13)
	mfctr	0
	std	0,\place+CTR(13)
	mflr	0
	std	0,\place+LR(13)
	EACH	0, 31, SAVE_FPR, \place
	EACH	0, 31, SAVE_VR, \place
	.endm

# All registers but r13 from r13 + place.
	.macro	LOAD_ALL place
	EACH	0, 31, LOAD_VR, \place
	EACH	0, 31, LOAD_FPR, \place
	ld	0,\place+LR(13)
	mtlr	0
	ld	0,\place+CTR(13)
	mtctr	0
	ld	0,\place+XER(13)
	mtxer	0
	ld	0,\place+CR(13)
	mtcr	0
	EACH	0, 12, LOAD_GPR, \place
	EACH	14, 31, LOAD_GPR, \place
	.endm

# The registers that outlive a call of C (ELFv2 ABI, 2.2.1.1), and LR, to and from r13 + place.
	.macro	SAVE_KEPT place
	EACH	1, 2, SAVE_GPR, \place
	EACH	14, 31, SAVE_GPR, \place
	mfcr	0
	std	0,\place+CR(13)
	mflr	0
	std	0,\place+LR(13)
	EACH	14, 31, SAVE_FPR, \place
	EACH	20, 31, SAVE_VR, \place
	.endm
	.macro	LOAD_KEPT place
	EACH	20, 31, LOAD_VR, \place
	EACH	14, 31, LOAD_FPR, \place
	ld	0,\place+LR(13)
	mtlr	0
	ld	0,\place+CR(13)
	mtcr	0
	EACH	1, 2, LOAD_GPR, \place
	EACH	14, 31, LOAD_GPR, \place
	.endm

# Both entries of a function, laid out as Debian's 6.1 kernel does: the site is the nop.
	.macro	FUNCTION name
	.globl	\name
	.type	\name, @function
\name:
0:	addis	2,12,.TOC.-0b@ha
	addi	2,2,.TOC.-0b@l
	.localentry \name, .-\name
	mflr	0
	nop
	.endm

	.macro	END name
	.size	\name, .-\name
	.endm
