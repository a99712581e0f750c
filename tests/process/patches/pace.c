/* SPDX-License-Identifier: GPL-2.0-only */
#include <oddtoc.h>

static long calls;

static long my_pace(long value)
{
	calls++;
	return value + 1;
}

ODDTOC_REPLACE(libstrained.so.1, pace, my_pace);
