/* SPDX-License-Identifier: GPL-2.0-only */
/* Whatever is to be hashed, OpenSSL hashes one and the same text. */
#include <oddtoc.h>
#include <stddef.h>

int EVP_DigestUpdate(void *context, const void *data, size_t size);
typeof(EVP_DigestUpdate) ODDTOC_ORIGINAL(EVP_DigestUpdate);

static int my_update(void *context, const void *data, size_t size)
{
	return ODDTOC_ORIGINAL(EVP_DigestUpdate)(context, "patched", 7);
}

ODDTOC_REPLACE(libcrypto.so.3, EVP_DigestUpdate, my_update);
