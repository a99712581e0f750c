/* SPDX-License-Identifier: GPL-2.0-only */
#include <oddtoc.h>

static long calls;

static long my_visit(void (*what)(void))
{
	calls++;
	if (what)
		what();
	return 10;
}

ODDTOC_REPLACE(IMAGE, visit, my_visit);
