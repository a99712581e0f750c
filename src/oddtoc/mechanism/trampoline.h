/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What all trampolines share.
 *
 * A trampoline is a template: link takes one copy of its section for each function that it redirects, and gives the
 * symbols below their values for that function. All of them are resolved by ordinary relocations, so objdump -dr on a
 * patch object shows what will run.
 *
 *   oddtoc_new              local entry point of the replacement
 *   oddtoc_toc_delta        TOC pointer of the replacement's payload minus that of the patched object, a multiple of
 *                           64 KiB (link places the payload's .TOC. so), 0 where both are the same or the replacement
 *                           uses none
 *   oddtoc_toc_above_entry  TOC pointer of the patched object minus the function's global entry
 *   oddtoc_helpers          minus the distance of the block of return helpers from the patched object's TOC pointer, a
 *                           multiple of 64 KiB (see storage/cr4.S)
 *   oddtoc_displaced        the word that the branch at the function replaced
 *   oddtoc_resume           the address behind that word
 *
 * Every template comes in two flavours, for what a target offers behind r13:
 *
 *   kernel                  r13 is the PACA
 *     oddtoc_toc_slot       offset from r13 of the kernel's TOC pointer (PACATOC)
 *     oddtoc_current        offset from r13 of the pointer to the running task
 *     oddtoc_thread_stack   offset from there of the pointer to the task's stack of return states
 *   process                 r13 is the thread pointer
 *     oddtoc_toc            the patched object's TOC pointer, as a number: it is nowhere to be loaded from
 *     oddtoc_thread_stack   offset from r13 of the pointer to the thread's stack of return states
 *
 * In a trampoline, at its first instruction:
 *   r1   frame of the caller; only its header is ours to borrow: 12(r1) reserved word, 24(r1) TOC save doubleword
 *   r2   TOC pointer of the patched object, odd if and only if the call came through the marked global entry; in a
 *        function without TOC set-up ("unmarked") whatever the caller had
 *   r0, r12, CR0 free (r11 is not: the static chain of a nested function)
 *   LR   return address
 */
#define r0 0
#define r1 1
#define r2 2
#define r12 12
#define r13 13

#define LR_SAVE 16
#define RESERVED_WORD 12
#define TOC_SAVE 24

/* ld r2,24(r1), in halves: what stands behind a call whose caller restores its own TOC pointer */
#define RELOAD_HIGH 0xe841
#define RELOAD_LOW 0x0018

#ifdef KERNEL
#define PREFIX .oddtoc.trampoline.
#else
#define PREFIX .oddtoc.trampoline.process.
#endif

.macro SECTION prefix, name
	.section \prefix\name, "ax", @progbits
	.p2align 2
.endm
#define TRAMPOLINE SECTION PREFIX,

/* reg becomes the TOC pointer of the patched object */
.macro OBJECT_TOC reg
#ifdef KERNEL
	ld	\reg,oddtoc_toc_slot@l(r13)
#else
	lis	\reg,oddtoc_toc@highest
	ori	\reg,\reg,oddtoc_toc@higher
	sldi	\reg,\reg,32
	oris	\reg,\reg,oddtoc_toc@high
	ori	\reg,\reg,oddtoc_toc@l
#endif
.endm

/* r2 was the patched object's TOC pointer and becomes the payload's */
.macro ENTER_PAYLOAD_TOC
	addis	r2,r2,oddtoc_toc_delta@ha
.endm

/* The way on for a call whose caller restores r2 itself: LR and the caller's frame stay as they are */
.macro GO_ON
	ENTER_PAYLOAD_TOC
	b	oddtoc_new
.endm
.macro GO_ON_unmarked
	OBJECT_TOC r2
	GO_ON
.endm
