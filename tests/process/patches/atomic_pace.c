/* SPDX-License-Identifier: GPL-2.0-only */
/* Loads with a reservation, which is lost to whoever stops before the store. */
#include <oddtoc.h>

static long calls;

static long my_pace(long value)
{
	__atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED);
	return value + 1;
}

ODDTOC_REPLACE(libstrained.so.1, pace, my_pace);
