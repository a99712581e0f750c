/* SPDX-License-Identifier: GPL-2.0-only */
#include <oddtoc.h>

long bottom(long value);

static long calls;

static long my_middle(long value)
{
	calls++;
	return bottom(value) + 1001;
}

ODDTOC_REPLACE(libthrowing.so.1, middle, my_middle);
