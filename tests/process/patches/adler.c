/* SPDX-License-Identifier: GPL-2.0-only */
#include <oddtoc.h>

static unsigned long my_adler(unsigned long adler, const unsigned char *bytes, unsigned count)
{
	return bytes ? 0x01020304 : 1;
}

ODDTOC_REPLACE(libz.so.1, adler32, my_adler);
