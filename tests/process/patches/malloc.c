/* SPDX-License-Identifier: GPL-2.0-only */
#include <oddtoc.h>
#include <stddef.h>

void *malloc(size_t size);
typeof(malloc) ODDTOC_ORIGINAL(malloc);

static unsigned long calls;

static void *my_malloc(size_t size)
{
	calls++;
	return ODDTOC_ORIGINAL(malloc)(size + 16);
}

ODDTOC_REPLACE(libc.so.6, malloc, my_malloc);
