/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Ways into the original of a patched function, past the branch: its displaced word runs here. The ftrace words are
 * left out; the code behind them expects r0 = LR where they begin with mflr r0, and does not mind where not.
 */

/* oddtoc_original_FUNCTION for a payload with a TOC of its own: also the stub that such a call leaves its object by */
TRAMPOLINE original
	std	r2,TOC_SAVE(r1)
	OBJECT_TOC r2
	mflr	r0
	.long	oddtoc_displaced
	b	oddtoc_resume

/* The same for a payload on the patched object's TOC */
TRAMPOLINE original.shared
	mflr	r0
	.long	oddtoc_displaced
	b	oddtoc_resume

/*
 * What a trampoline becomes while its patch is taken back: a thread that passed the global entry while it was marked
 * arrives with an odd r2 and has to go on in the original with a straight one.
 */
TRAMPOLINE straighten
	clrrdi	r2,r2,1
	mflr	r0
	.long	oddtoc_displaced
	b	oddtoc_resume
