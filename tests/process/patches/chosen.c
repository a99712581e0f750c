/* SPDX-License-Identifier: GPL-2.0-only */
#include <oddtoc.h>

static long my_chosen(long value)
{
	return value;
}

ODDTOC_REPLACE(libthing.so.1, thing_chosen, my_chosen);
