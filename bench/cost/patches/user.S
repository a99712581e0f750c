/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A program for qemu-ppc64le that calls one function a few times, linked with a trampoline from the start: text of a
 * running user mode program can't be changed there.
 *
 *   GIVES     what the call has to give: 1 the function itself, 2 the replacement
 *   GLOBAL    the call goes through a pointer and restores r2; otherwise it is local
 *   NO_TOC    the function sets up no TOC pointer
 *   TARGET    where the function's site branches to; not redirected where it is missing
 *   MARK      1 makes the immediate at the global entry odd, otherwise 0
 *
 * It ends with status 0 if r2 came back right and the last call gave GIVES, else 1.
 */
	.abiversion 2
	.globl	_start, call, callee, body, replacement, end
	.type	_start, @function
	.type	callee, @function

_start:	addis	2,12,.TOC.-_start@ha
	addi	2,2,.TOC.-_start@l
	addis	13,2,thread@toc@ha
	addi	13,13,thread@toc@l
	std	2,0(13)				/* kept to compare with */
	addi	3,13,16
	std	3,8(13)				/* the stack of return states begins there */
	stdu	1,-64(1)
	std	2,24(1)
	li	31,10
again:	addis	12,2,callee@toc@ha
	addi	12,12,callee@toc@l
	mtctr	12
#ifdef GLOBAL
call:	bctrl
	ld	2,24(1)
#else
	li	12,0
call:	bl	callee
	nop
#endif
	addic.	31,31,-1
	bne	again
	ld	4,0(13)
	xor	4,4,2
	xori	3,3,GIVES
	or	3,3,4
	subfic	4,3,0
	subfe	3,3,3
	clrldi	3,3,63				/* 0 only where r3 and r2 were both right */
	li	0,234
	sc
	.size	_start, . - _start

callee:
#ifndef NO_TOC
	addis	2,12,.TOC.-callee@ha
	addi	2,2,.TOC.-callee+MARK@l
	.localentry callee, . - callee
#endif
	mflr	0
	nop
#ifdef TARGET
body:	b	TARGET
#else
body:	nop
#endif
	li	3,1
	blr
	.size	callee, . - callee

replacement:
	li	3,2
	blr
end:

	.data
	.p2align 4
thread:	.zero	256
