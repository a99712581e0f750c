/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * shared-toc: the payload is linked against the patched object's own TOC pointer, so r2 never changes and the site
 * branches straight to the replacement. Only a function without TOC set-up needs a step in between: its r2 is the
 * caller's, and a caller in another object, which restores it behind the call, has left its own there.
 */
#include "trampoline.h"

TRAMPOLINE(shared-toc.unmarked)
	LOAD_OBJECT_TOC
	b	oddtoc_new
