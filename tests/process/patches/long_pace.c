/* SPDX-License-Identifier: GPL-2.0-only */
/* More instructions than anybody wants to see. */
#include <oddtoc.h>

static volatile long calls;

static long my_pace(long value)
{
	for (int n = 0; n < 100; n++)
		calls++;
	return value + 1;
}

ODDTOC_REPLACE(libstrained.so.1, pace, my_pace);
