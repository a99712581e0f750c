/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What all trampolines share.
 *
 * A trampoline is a template: link takes one copy of its section for each function that it redirects, and gives the
 * symbols below their values for that function. All of them are resolved by ordinary relocations, so objdump -dr on a
 * patch object shows what will run.
 *
 *   oddtoc_new        local entry point of the replacement
 *   oddtoc_toc_delta  TOC pointer of the replacement's payload minus that of the patched object, a multiple of 64 KiB
 *                     (link places the payload's .TOC. so), 0 where both are the same or the replacement uses none
 *   oddtoc_toc_slot   where the patched object's TOC pointer can be loaded from, as an offset from r13
 *                     (PACATOC in a kernel)
 *   oddtoc_helpers    minus the distance of the block of return helpers from the patched object's TOC pointer, a
 *                     multiple of 64 KiB (see odd_toc_cr4.S)
 *
 * In a trampoline, at its first instruction:
 *   r1   frame of the caller; only its header is ours to borrow: 12(r1) reserved word, 24(r1) TOC save doubleword
 *   r2   TOC pointer, odd if and only if the call came through the marked global entry
 *   r0, r12, CR0 free (r11 is not: the static chain of a nested function)
 *   LR   return address
 */
#define r0 0
#define r1 1
#define r2 2
#define r12 12
#define r13 13

#define RESERVED_WORD 12
#define TOC_SAVE 24

/* ld r2,24(r1), in halves: what stands behind a call whose caller restores its own TOC pointer */
#define RELOAD_HIGH 0xe841
#define RELOAD_LOW 0x0018

#define TRAMPOLINE(name) \
	.section .oddtoc.trampoline.name, "ax", @progbits; \
	.p2align 2

/* r2 becomes the TOC pointer of the patched object, whatever it was */
#define LOAD_OBJECT_TOC ld r2,oddtoc_toc_slot@l(r13)

/* r2 was the patched object's TOC pointer and becomes the payload's */
#define ENTER_PAYLOAD_TOC addis r2,r2,oddtoc_toc_delta@ha
