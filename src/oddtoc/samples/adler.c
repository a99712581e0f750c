/* SPDX-License-Identifier: GPL-2.0-only */
/* zlib's checksum, which its callers and zlib itself use, becomes one and the same for everything. */
#include <oddtoc.h>

static unsigned long my_adler32(unsigned long adler, const unsigned char *bytes, unsigned count)
{
	(void)adler;
	(void)count;
	return bytes ? 0x0ddc0de : 1;
}

ODDTOC_REPLACE(libz.so.1, adler32, my_adler32);
