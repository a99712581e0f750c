# SPDX-License-Identifier: GPL-2.0-only
# Entry of the laboratory, and of every call that it makes.
	.abiversion 2
	.include "registers.s"
	.text

# The kernel leaves argc and argv at 0(r1). r13 becomes, for good, the address of the context.
	.globl	_start
_start:
	lis	2,.TOC.@ha
	addi	2,2,.TOC.@l
	addis	13,2,the_context@toc@ha
	addi	13,13,the_context@toc@l
	mr	3,1
	li	0,0
	stdu	0,-96(1)
	bl	laboratory
	nop

# void enter(void): all registers from `in`, and on at the site, whose address is in->lr. AFTER (sites.s) comes back
# from there, to our caller.
	.globl	enter
	.type	enter, @function
enter:
	SAVE_KEPT HOST
	LOAD_ALL IN
	blr
	.size	enter, .-enter

# long system_call(number, a, b, c, d, e, f): below zero, an error number negated
	.globl	system_call
	.type	system_call, @function
system_call:
	mr	0,3
	mr	3,4
	mr	4,5
	mr	5,6
	mr	6,7
	mr	7,8
	mr	8,9
	sc
	bnslr
	neg	3,3
	blr
	.size	system_call, .-system_call

	.bss
	.p2align 7
	.globl	the_context
the_context:
	.space	8192
