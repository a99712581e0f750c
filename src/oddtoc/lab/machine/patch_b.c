// SPDX-License-Identifier: GPL-2.0-only
/* Applied on top of patch_a.c: the second of three stacked patches, and the newer patch of a function. */
#include "replacement.h"

u64 call_third(u64 value);

BODY u64 body_second(u64 value)
{
	begin();
	return end(call_third(value) + 10);
}
REPLACE(second);

BODY u64 body_again(u64 value)
{
	begin();
	return end(value + 7);
}
REPLACE(again);
