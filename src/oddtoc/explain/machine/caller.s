# SPDX-License-Identifier: GPL-2.0-only
# Another object: it calls the function whose address is in r12, through a pointer, as gcc writes it.
	.abiversion 2
	.text
	.globl	global_caller, global_back, global_end
	.type	global_caller, @function
global_caller:
	std	2,24(1)
	mtctr	12
	bctrl
global_back:
	ld	2,24(1)
	ld	9,number@toc(2)
global_end:
	blr
	.size	global_caller, .-global_caller

	.section .toc, "aw"
	.p2align 3
number:	.quad	2000
