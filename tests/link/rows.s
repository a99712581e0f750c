# SPDX-License-Identifier: GPL-2.0-only
# One instruction or datum for each row of the table of relocations.
	.abiversion 2
	.section .text.rows, "ax"
	.globl	rows
rows:
	lis	9,with_toc@highest
	lis	9,with_toc@highesta
	ori	9,9,with_toc@higher
	ori	9,9,with_toc@highera
	oris	9,9,with_toc@high
	oris	9,9,with_toc@higha
	ori	9,9,with_toc@l
	ld	10,with_toc@l(9)
	lis	9,low@h
	lis	9,low@ha
	li	9,small
	ld	9,small(9)
	addi	9,2,near@toc
	ld	9,near@toc(2)
	addis	9,2,with_toc@toc@h
	addis	9,2,with_toc@toc@ha
	addi	9,9,with_toc@toc@l
	ld	9,with_toc@toc@l(9)
	addis	9,9,(with_toc-.)@h
	addis	9,9,(with_toc-.)@ha
	addi	9,9,(with_toc-.)@l
	addi	9,9,(visible-.)
	beq	visible
	bl	with_toc
	nop
	b	without_toc
	.section .data.rel.ro.rows, "aw"
	.p2align 3
	.quad	with_toc+16
	.quad	with_toc-.
	.quad	.TOC.@tocbase
	.long	low
	.long	with_toc-.
	.byte	1
	.quad	variable
