// SPDX-License-Identifier: GPL-2.0-only
/* What loadavg_proc_show calls takes its time. */
#include <oddtoc.h>

void msleep(unsigned int milliseconds);

static void my_get_avenrun(unsigned long *loads, unsigned long offset, int shift)
{
	msleep(1500);
	loads[0] = loads[1] = loads[2] = 0;
}

ODDTOC_REPLACE(vmlinux, get_avenrun, my_get_avenrun);
