# SPDX-License-Identifier: GPL-2.0-only
# The places that an object calls from. Every object that calls has them, under its own prefix; they are entered from
# enter.S with all registers set, CTR the address to call, and they leave by `after`.
#
#   plain	a local call, and what assembly does: r2 is expected back, nothing is reloaded
#   reload	a call that leaves the object: r2 saved before, reloaded behind
#   window	the same by a thread that has gone through the global entry before it was marked, or after

	.macro	SITES prefix
	.globl	\prefix\()_plain, \prefix\()_plain_back
\prefix\()_plain:
	bctrl
\prefix\()_plain_back:
	b	after

	.globl	\prefix\()_reload, \prefix\()_reload_back
\prefix\()_reload:
	std	2,TOC_SAVE(1)
	bctrl
\prefix\()_reload_back:
	ld	2,TOC_SAVE(1)
	b	after

	.globl	\prefix\()_window, \prefix\()_window_back
\prefix\()_window:
	std	2,TOC_SAVE(1)
	ld	2,WINDOW_R2(13)
	bctrl
\prefix\()_window_back:
	ld	2,TOC_SAVE(1)
	b	after
	.endm

# Behind a call: what it came back with goes to `out`, and the laboratory goes on where it called `enter`.
	.macro	AFTER
after:
	SAVE_ALL OUT
	LOAD_KEPT HOST
	blr
	.endm
