/* SPDX-License-Identifier: GPL-2.0-only */
/* Replacements with data of their own, that call their originals, the same library, and other libraries. */
#include <oddtoc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern int thing_calls;
long thing_leaf(long value);
long thing_sum(long a, long b, long c, long d, long e, long f, long g, long h, long i, long j);
typeof(thing_sum) ODDTOC_ORIGINAL(thing_sum);

static long calls;

static long my_value(long value)
{
	char *text = malloc(32);

	calls++;
	snprintf(text, 32, "%ld", value * 100);
	value = atol(text) + thing_leaf(0);
	free(text);
	return value;
}

static long my_sum(long a, long b, long c, long d, long e, long f, long g, long h, long i, long j)
{
	calls++;
	return 1000 + ODDTOC_ORIGINAL(thing_sum)(a, b, c, d, e, f, g, h, i, j);
}

static long my_hidden(long value)
{
	thing_calls++;
	return value * 3;
}

static long my_leaf_inside(long value)
{
	calls++;
	return -value;
}

ODDTOC_REPLACE(libthing.so.1, thing_value, my_value);
ODDTOC_REPLACE(libthing.so.1, thing_sum, my_sum);
ODDTOC_REPLACE(libthing.so.1, hidden, my_hidden);
ODDTOC_REPLACE(libthing.so.1, thing_leaf_inside, my_leaf_inside);
