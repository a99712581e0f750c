/* SPDX-License-Identifier: GPL-2.0-only */
/* A version together with the drivers, to take the place of all other patches in one stop. */
#include "version.c"
#define SYSTEM_CALL sys_sched_yield
#include "driver.c"
ODDTOC_REPLACE(vmlinux, sys_munlockall, drive);
