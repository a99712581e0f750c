// SPDX-License-Identifier: GPL-2.0-only
/* A system call: every process has a number that is a million larger. */
#include <oddtoc.h>

long ODDTOC_ORIGINAL(sys_getpid)(const void *registers);

static long my_sys_getpid(const void *registers)
{
	return ODDTOC_ORIGINAL(sys_getpid)(registers) + 1000000;
}

ODDTOC_REPLACE(vmlinux, sys_getpid, my_sys_getpid);
