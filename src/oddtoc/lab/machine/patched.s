# SPDX-License-Identifier: GPL-2.0-only
#
# The patched object, K. Functions that patches replace (PATCHED: if the original runs it gives 0xbad), and unpatched
# ones that call them. Where r2 matters it is noted in `observed`.
	.abiversion 2
	.include "registers.s"
	.include "sites.s"

	.macro	PATCHED name
	FUNCTION \name
	std	0,LR_SAVE(1)
	li	3,0xbad
	blr
	END	\name
	.endm

	.macro	OBSERVE_R2 number
	std	2,OBSERVED+8*\number(13)
	.endm

	.macro	PUSH_FRAME
	std	0,LR_SAVE(1)
	stdu	1,-112(1)
	.endm
	.macro	POP_FRAME
	addi	1,1,112
	ld	0,LR_SAVE(1)
	mtlr	0
	.endm

	.section .rodata
	.p2align 3
constant:
	.quad	1000

	.text
	SITES	k
	AFTER

# A local call by bl, with nothing behind it that concerns r2.
	.globl	k_direct, k_direct_back
k_direct:
	bl	plain
k_direct_back:
	b	after

	PATCHED	plain
	PATCHED	many
	PATCHED	variadic
	PATCHED	structure
	PATCHED	floating
	PATCHED	vectors
	PATCHED	cr_saver
	PATCHED	target
	PATCHED	relay
	PATCHED	relayed
	PATCHED	recursive
	PATCHED	even
	PATCHED	odd
	PATCHED	first
	PATCHED	second
	PATCHED	third
	PATCHED	again
	PATCHED	outer
	PATCHED	jumper

# A function without TOC set-up.
	.globl	bare
	.type	bare, @function
bare:
	mflr	0
	nop
	std	0,LR_SAVE(1)
	li	3,0xbad
	blr
	END	bare

# Not patched: it ends in a sibling call, which does not touch 24(r1), LR or the frame.
	FUNCTION tail
	b	target
	END	tail

	FUNCTION passer
	b	relayed
	END	passer

# Not patched: each makes one local call, as gcc writes it. Notes r2 behind it if that is not the object's.
	.macro	CALLS name, callee
	FUNCTION \name
	PUSH_FRAME
	bl	\callee
	ld	0,TOC(13)
	cmpd	2,0
	beq	1f
	OBSERVE_R2 0
1:	POP_FRAME
	blr
	END	\name
	.endm

	CALLS	call_recursive, recursive
	CALLS	call_even, even
	CALLS	call_second, second
	CALLS	call_third, third
	CALLS	call_again, again
	CALLS	call_plain, plain

# Not patched: saves its r2 in the prologue for several calls, reloads it behind some of them.
	FUNCTION toc_saver
	PUSH_FRAME
	std	2,TOC_SAVE(1)
	bl	plain
	OBSERVE_R2 0
	ld	2,TOC_SAVE(1)
	OBSERVE_R2 1
	bl	plain
	OBSERVE_R2 2
	ld	2,TOC_SAVE(1)
	OBSERVE_R2 3
	POP_FRAME
	blr
	END	toc_saver

# Not patched: a function that `jumper`, which it calls locally, leaves by a longjmp. It restores r1, r2, CR, LR and
# r14 to r31 as the kernel's does (arch/powerpc/kernel/misc.S), and no word of the frame.
	.macro	SET_JUMP landing
	std	1,JUMP(13)
	std	2,JUMP+8(13)
	mfcr	0
	std	0,JUMP+16(13)
	addis	9,2,\landing@toc@ha
	addi	9,9,\landing@toc@l
	std	9,JUMP+24(13)
	EACH	14, 31, SAVE_GPR, JUMP+32-8*14
	.endm

	FUNCTION catcher
	PUSH_FRAME
	SET_JUMP catcher_landing
	bl	jumper
	OBSERVE_R2 1
catcher_landing:
	OBSERVE_R2 0
	POP_FRAME
	blr
	END	catcher

# The same, and it saves its r2 in the prologue and reloads it later.
	FUNCTION saving_catcher
	PUSH_FRAME
	std	2,TOC_SAVE(1)
	SET_JUMP saving_landing
	bl	jumper
saving_landing:
	OBSERVE_R2 0
	ld	2,TOC_SAVE(1)
	OBSERVE_R2 1
	POP_FRAME
	blr
	END	saving_catcher

# Patched, and its replacement calls the original, which needs the right r2.
	FUNCTION augmented
	PUSH_FRAME
	OBSERVE_R2 0
	addis	9,2,constant@toc@ha
	addi	9,9,constant@toc@l
	ld	9,0(9)
	add	3,3,9
	POP_FRAME
	blr
	END	augmented

# Patched, and the patch is being taken back: threads that arrive go on here.
	FUNCTION closing
	PUSH_FRAME
	OBSERVE_R2 0
	li	3,0x600d
	POP_FRAME
	blr
	END	closing

# Patched, and traced at the same time: the tracer takes the return address away.
	.globl	traced
	.type	traced, @function
traced:
0:	addis	2,12,.TOC.-0b@ha
	addi	2,2,.TOC.-0b@l
	.localentry traced, .-traced
	mflr	0
	bl	graph_tracer
	std	0,LR_SAVE(1)
	li	3,0xbad
	blr
	END	traced

	FUNCTION tail_traced
	b	traced
	END	tail_traced

# What the graph tracer and kretprobes do: r0, the return address, goes to a list of ours, LR and r0 become the address
# of the handler, and the function goes on behind its site. r12 is kept, as ftrace keeps all registers.
graph_tracer:
	std	12,TRACE_R12(13)
	ld	12,TRACE_DEPTH(13)
	addi	12,12,8
	std	12,TRACE_DEPTH(13)
	add	12,12,13
	std	0,TRACE(12)
	mflr	12
	mtctr	12
	bl	1f
return_handler:
	ld	12,TRACE_DEPTH(13)
	addi	12,12,-8
	std	12,TRACE_DEPTH(13)
	add	12,12,13
	ld	0,TRACE+8(12)
	mtlr	0
	blr
1:	mflr	0
	ld	12,TRACE_R12(13)
	bctr

# Patched, each with one instruction of its trampoline interrupted by a signal.
	.macro	INTERRUPTED n, place
	PATCHED	interrupted_\n
	.endm
	EACH	10, 69, INTERRUPTED

# Leaves a global TOC section, so that ld gives the object a TOC pointer of its own.
	.section .toc, "aw"
	.p2align 3
	.quad	constant
