// SPDX-License-Identifier: GPL-2.0-only
/* Stand-ins for a replacement, one that needs its TOC pointer and one that does not. Both save LR, as most do. */
#include <oddtoc.h>

static volatile long number = 3000;

static long with_toc(void)
{
	__asm__ volatile("" ::: "lr");
	return number;
}

static long without_toc(void)
{
	__asm__ volatile("" ::: "lr");
	return 3000;
}

ODDTOC_REPLACE(stage, callee, with_toc);
ODDTOC_REPLACE(stage, callee, without_toc);
