// SPDX-License-Identifier: GPL-2.0-only
/* Nobody sleeps any more. */
#include <oddtoc.h>

static long my_hrtimer_nanosleep(long long time, int mode, int clock)
{
	return 0;
}

ODDTOC_REPLACE(vmlinux, hrtimer_nanosleep, my_hrtimer_nanosleep);
