/* SPDX-License-Identifier: GPL-2.0-only */
#include <oddtoc.h>

long bottom(long value);

static long calls;

static long my_middle(long value)
{
	calls++;
	return bottom(value) + 1001;
}

#ifndef IMAGE
#define IMAGE libthrowing.so.1
#endif
ODDTOC_REPLACE(IMAGE, middle, my_middle);
