/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * oddtoc_state.h: what a patch does to its target beyond the functions that it replaces.
 *
 *     #include <oddtoc_state.h>
 *
 *     ODDTOC_STATE(1, 2);
 *
 * says: this patch makes or knows how to handle state 1, in version 2. A patch that knows less than one that is
 * applied (an older version, or with --replace not the state at all) is refused. Numbers are the author's. Data that
 * belongs to a state is kept in a shadow variable of no object (oddtoc_shadow.h), where the next patch finds it.
 */
#ifndef ODDTOC_STATE_H
#define ODDTOC_STATE_H

#include <oddtoc.h>

/* One record of the section .oddtoc.state; read by oddtoc, never loaded. 16 bytes. */
struct oddtoc_state {
	unsigned long id;
	unsigned int version;
	unsigned int reserved;
};

_Static_assert(sizeof(struct oddtoc_state) == 16, "the record's layout is fixed");

#define ODDTOC_STATE(id, version)                                                      \
	static const struct oddtoc_state ODDTOC_JOIN(oddtoc_state_, __COUNTER__)       \
		__attribute__((section(".oddtoc.state"), used, aligned(8))) = { id, version, 0 }

#endif
