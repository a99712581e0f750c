/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Trampolines that a traced call passes through: the RFC's "unaltered target". oddtoc.trace.payload writes a source of
 * FUNCTION lines, each with what the branch displaced behind it, and defines:
 *
 *   EVENTS          calls go into the ring, with arguments
 *   RETURNS         LR is replaced, so that calls come back through here
 *   CURRENT         in a kernel, where r13 is the PACA: offset from there of the pointer to the running task; in a process
 *                   r13 is the thread pointer, which tells threads apart as well
 *   TOC_SLOT, TOC   where addresses are near the kernel's TOC pointer: offset from r13 of that (PACATOC), and its value
 *   HEADER, RING, ROWS, SLOTS
 *                   addresses of its data: oddtoc.trace.layout
 *   RING_BITS       2^RING_BITS entries of the ring
 *   SLOT_BITS       2^SLOT_BITS slots
 *
 * The data:
 *
 *   header          at HEAD how many entries the ring was ever given, at HINT where to look for a free slot, at MISSED
 *                   how many calls found none
 *   ring            events: see RECORD
 *   rows            for each function: calls, returns, time in all, longest time; times in ticks of the timebase
 *   slots           where calls wait for their return: return address (0: free), time, address of the row, function
 *
 * At the branch: r0 = LR where the ftrace words say so, r2 perhaps odd, r3 to r11 arguments and static chain, r12 perhaps
 * the global entry. All of them pass unchanged; CTR, CR0 and the carry do not, as no call may expect that of them. What is
 * needed more is saved in the 288 bytes below r1 that interrupts leave alone (ELFv2 ABI 2.2.3.4; KERNEL_REDZONE_SIZE).
 */
#define HEAD 0
#define HINT 8
#define MISSED 16
#define ROW_SIZE 32
#define SLOT_SIZE 32
#define STUB_SIZE 16
#define TRIES 16		/* slots that a call looks at */

/* ld r2,24(r1), in halves: what stands behind a call whose caller restores its own TOC pointer */
#define RELOAD_HIGH 0xe841
#define RELOAD_LOW 0x0018

/* reg becomes an address */
.macro ADDRESS reg, address:vararg
#ifdef TOC_SLOT
	ld	\reg,TOC_SLOT(r13)
	addis	\reg,\reg,(\address - TOC)@ha
	addi	\reg,\reg,(\address - TOC)@l
#else
	lis	\reg,(\address)@highest
	ori	\reg,\reg,(\address)@higher
	sldi	\reg,\reg,32
	oris	\reg,\reg,(\address)@high
	ori	\reg,\reg,(\address)@l
#endif
.endm

/* The doubleword at an address grows by an amount: a number, or a register where `add` says so. r0, CR0, carry are used */
.macro GROW address, amount, add=addic
9:	ldarx	r0,0,\address
	\add	r0,r0,\amount
	stdcx.	r0,0,\address
	bne-	9b
.endm

/*
 * An entry of the ring becomes this event: number of the entry + 1, function, time, thread, return address, r1, eight
 * doublewords that `content` stores, r13, number of the entry + 1 again. Who finds an entry that is being written, as its
 * two numbers differ, leaves it alone: the event is lost, and its number missing tells so.
 * LR is the return address. r0, r10, r11, r12 are used; r10 is -24(r1).
 */
.macro RECORD function, content
	ADDRESS	r12, HEADER+HEAD
8:	ldarx	r11,0,r12
	addic	r0,r11,1
	stdcx.	r0,0,r12
	bne-	8b
	ADDRESS	r12, RING
	rldic	r10,r11,7,64-7-RING_BITS
	add	r10,r10,r12
	ld	r0,0(r10)
	ld	r12,120(r10)
	cmpld	r0,r12
	bne-	7f
	addi	r11,r11,1
	std	r11,0(r10)
	lwsync
	\function
	std	r0,8(r10)
	mftb	r0
	std	r0,16(r10)
#ifdef CURRENT
	ld	r0,CURRENT(r13)
	std	r0,24(r10)
#else
	std	r13,24(r10)
#endif
	mflr	r0
	std	r0,32(r10)
	std	r1,40(r10)
	\content
	std	r13,112(r10)
	lwsync
	std	r11,120(r10)
7:
.endm
.macro ARGUMENTS
	std	r3,48(r10)
	std	r4,56(r10)
	std	r5,64(r10)
	std	r6,72(r10)
	std	r7,80(r10)
	std	r8,88(r10)
	std	r9,96(r10)
	ld	r0,-24(r1)
	std	r0,104(r10)
.endm
.macro RETURNED
	ld	r0,-48(r1)		/* the function */
	not	r0,r0			/* which tells a return from a call */
.endm
.macro RESULT
	std	r3,48(r10)
	ld	r0,-40(r1)		/* ticks that the call took */
	std	r0,56(r10)
.endm

/*
 * The call gets a slot, and LR becomes that slot's return stub. The word there is the one at the true return address as
 * far as anybody looks: ld r2,24(r1) or not (see mechanism/detection/guarded.S). Without a free slot LR stays.
 * r0, r10, r11, r12 are used.
 */
.macro HOLD number
	ADDRESS	r12, HEADER
	ld	r11,HINT(r12)
	ADDRESS	r12, SLOTS
	li	r0,TRIES
	mtctr	r0
6:	addi	r11,r11,1
	rldic	r10,r11,5,64-5-SLOT_BITS
	add	r10,r10,r12
	ldarx	r0,0,r10
	cmpdi	r0,0
	bne	5f
	mflr	r0
	stdcx.	r0,0,r10
	beq+	4f
5:	bdnz	6b
	ADDRESS	r12, HEADER+MISSED
	GROW	r12, 1
	b	3f
4:	mftb	r0
	std	r0,8(r10)
	li	r0,\number
	std	r0,24(r10)
	ADDRESS	r12, HEADER
	std	r11,HINT(r12)
	ADDRESS	r11, ROWS+\number*ROW_SIZE
	std	r11,16(r10)
	ADDRESS	r12, SLOTS
	subf	r10,r12,r10
	srdi	r10,r10,1		/* 32 bytes a slot, 16 a stub */
	ADDRESS	r11, trace_stubs
	add	r11,r11,r10
	mflr	r12
	lwz	r0,0(r12)
	xoris	r0,r0,RELOAD_HIGH
	cmpldi	r0,RELOAD_LOW
	beq	2f
	addi	r11,r11,4
2:	mtlr	r11
3:
.endm

/* The way of one function, up to what the branch displaced, which stands behind */
.macro FUNCTION number
	.globl	trace_\number
trace_\number:
	std	r12,-8(r1)
	ADDRESS	r12, ROWS+\number*ROW_SIZE
	GROW	r12, 1
#if defined(EVENTS) || defined(RETURNS)
	std	r11,-16(r1)
	std	r10,-24(r1)
#ifdef EVENTS
	RECORD	"li r0,\number", ARGUMENTS
#endif
#ifdef RETURNS
	HOLD	\number
#endif
	ld	r11,-16(r1)
	ld	r10,-24(r1)
#endif
	ld	r12,-8(r1)
	mflr	r0
.endm

#ifdef RETURNS
/*
 * Where calls come back to, with r1 as it was at the call. All registers pass but LR, r0, CR0 and the carry: compilers
 * know what their own static functions leave alone.
 */
	.text
trace_return:
	std	r12,-8(r1)
	std	r11,-16(r1)
	std	r10,-24(r1)
	ADDRESS	r12, trace_stubs+8
	mflr	r10
	subf	r12,r12,r10
	sldi	r12,r12,1
	ADDRESS	r11, SLOTS
	add	r12,r12,r11		/* r12 the slot */
	mftb	r10
	ld	r0,8(r12)
	subf	r10,r0,r10		/* r10 the ticks that the call took */
	std	r10,-40(r1)
	ld	r0,24(r12)
	std	r0,-48(r1)
	ld	r11,16(r12)		/* r11 the row */
	ld	r0,0(r12)
	mtlr	r0
	lwsync
	li	r0,0
	std	r0,0(r12)		/* free: LR holds what it held */
	addi	r12,r11,8
	GROW	r12, 1
	addi	r12,r11,16
	GROW	r12, r10, add
	addi	r12,r11,24
2:	ldarx	r0,0,r12
	cmpld	r0,r10
	bge	3f
	stdcx.	r10,0,r12
	bne-	2b
3:
#ifdef EVENTS
	RECORD	"RETURNED", RESULT
#endif
	ld	r10,-24(r1)
	ld	r11,-16(r1)
	ld	r12,-8(r1)
	blr

	.text	1			/* behind everything else */
	.balign	STUB_SIZE
	.globl	trace_stubs
trace_stubs:
	.rept	1 << SLOT_BITS
	ld	r2,24(r1)		/* for callers who do the same */
	bl	trace_return
	nop
	nop
	.endr
	.text	0
#endif
