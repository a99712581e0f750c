# SPDX-License-Identifier: GPL-2.0-only
# The patched object: a function with the entry of Linux 6.1, who calls it locally, and who jumps to it.
	.abiversion 2
	.text

# Expects r2 back: it has saved nothing, and reads its own data behind the call.
	.globl	local_caller, local_back, local_end
	.type	local_caller, @function
local_caller:
	bl	callee
local_back:
	ld	9,number@toc(2)
local_end:
	blr
	.size	local_caller, .-local_caller

# Not patched: it ends in a sibling call, which leaves LR, 24(r1) and the frame alone.
	.globl	middle
	.type	middle, @function
middle:
0:	addis	2,12,.TOC.-0b@ha
	addi	2,2,.TOC.-0b@l
	.localentry middle, .-middle
	mflr	0
	nop
	b	callee
	.size	middle, .-middle

	.globl	callee
	.type	callee, @function
callee:
0:	addis	2,12,.TOC.-0b@ha
	addi	2,2,.TOC.-0b@l
	.localentry callee, .-callee
	mflr	0
	nop
	std	0,16(1)
	li	3,0xbad
	blr
	.size	callee, .-callee

# In .toc, so that ld gives the object a TOC pointer of its own.
	.section .toc, "aw"
	.p2align 3
number:	.quad	1000
