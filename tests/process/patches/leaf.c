/* SPDX-License-Identifier: GPL-2.0-only */
#include <oddtoc.h>

static long calls = 40;

static long my_leaf(long value)
{
	calls++;
	return value + 1000;
}

ODDTOC_REPLACE(libthing.so.1, thing_leaf, my_leaf);
