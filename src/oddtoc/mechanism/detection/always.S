/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * always: no detection. Every call gets a return helper, also those whose caller restores its own r2: what Linux 4.7
 * merged. It needs a storage that leaves 24(r1) alone.
 *
 * Leaves at the end: r12 the return address.
 */
.macro DETECT_always
	mflr	r12
.endm
.macro DETECT_always_unmarked
	mflr	r12
.endm
