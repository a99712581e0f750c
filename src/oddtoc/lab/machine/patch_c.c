// SPDX-License-Identifier: GPL-2.0-only
/* The last of three stacked patches. */
#include "replacement.h"

BODY u64 body_third(u64 value)
{
	begin();
	return end(value + 100);
}
REPLACE(third);
