/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * guarded: the mark, and where that can't tell the word at the return address.
 *
 * An odd r2 means a call through the global entry: the caller restores its own r2. An even r2 means a local call, or
 * a sibling call at the end of a chain that somebody entered globally: there the word at LR is ld r2,24(r1), and
 * 24(r1) holds that caller's TOC pointer and must stay. Every return helper begins with that same instruction, so a
 * call whose LR is a helper already counts as restored too.
 *
 * Wrong only where a sibling chain, a caller in another object and a replaced LR come together, and for a global
 * caller that does not reload r2.
 *
 * Leaves at the end, for calls after which r2 has to be restored: r2 straight, r12 the return address. All others have
 * gone on at 2, with r2 straight.
 */
.macro DETECT_guarded
	DETECT_odd_toc
	WORD_AT_RETURN_ADDRESS
	beq	2b
.endm

/* Nothing can be marked in a function without TOC set-up: the word at the return address decides alone. */
.macro DETECT_guarded_unmarked
	DETECT_return_site_unmarked
.endm
