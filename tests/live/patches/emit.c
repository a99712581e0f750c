// SPDX-License-Identifier: GPL-2.0-only
/* An exported function: modules call it through stubs, with a TOC pointer of their own; the kernel calls it locally. */
#include <oddtoc.h>

int scnprintf(char *buffer, unsigned long size, const char *format, ...);

static unsigned long calls = 0x1000;
static unsigned long zeroed[16];

static int my_sysfs_emit(char *buffer, const char *format, ...)
{
	zeroed[calls & 15]++;
	return scnprintf(buffer, 4096, "%s %d\n", "patched", ++calls > 0x1000);
}

ODDTOC_REPLACE(vmlinux, sysfs_emit, my_sysfs_emit);
