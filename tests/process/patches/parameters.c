/* SPDX-License-Identifier: GPL-2.0-only */
/* Each function of libstrained is replaced by one that hands all its parameters on to the original, and adds to that. */
#include <oddtoc.h>
#include <stdarg.h>

#include "../programs/strained.h"

typeof(integers) ODDTOC_ORIGINAL(integers);
typeof(doubles) ODDTOC_ORIGINAL(doubles);
typeof(vectors) ODDTOC_ORIGINAL(vectors);
typeof(mixed) ODDTOC_ORIGINAL(mixed);
typeof(by_value) ODDTOC_ORIGINAL(by_value);
typeof(returned) ODDTOC_ORIGINAL(returned);
typeof(returned_point) ODDTOC_ORIGINAL(returned_point);
typeof(returned_pair) ODDTOC_ORIGINAL(returned_pair);

static long added = 1000;

static long my_integers(long a, long b, long c, long d, long e, long f, long g, long h, long i, long j, long k, long l)
{
	return added + ODDTOC_ORIGINAL(integers)(a, b, c, d, e, f, g, h, i, j, k, l);
}

static double my_doubles(double a, double b, double c, double d, double e, double f, double g, double h, double i,
			 double j, double k, double l, double m, double n, double o)
{
	return added + ODDTOC_ORIGINAL(doubles)(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o);
}

static four my_vectors(four a, four b, four c, four d, four e, four f, four g, four h, four i, four j, four k, four l,
		       four m, four n)
{
	return (int)added + ODDTOC_ORIGINAL(vectors)(a, b, c, d, e, f, g, h, i, j, k, l, m, n);
}

static double my_mixed(int a, double b, long c, float d, four e, long double f, char g, double h, long i, int j, long k,
		       float l)
{
	return added + ODDTOC_ORIGINAL(mixed)(a, b, c, d, e, f, g, h, i, j, k, l);
}

static double my_variadic(int count, ...)
{
	va_list list;
	double sum = added;

	va_start(list, count);
	for (int n = 0; n < count; n++) {
		sum += va_arg(list, long);
		sum += va_arg(list, double);
	}
	va_end(list);
	return sum;
}

static long my_by_value(struct five a, struct point b, struct five c, struct pair d)
{
	return added + ODDTOC_ORIGINAL(by_value)(a, b, c, d);
}

static struct five my_returned(long a, long b)
{
	struct five five = ODDTOC_ORIGINAL(returned)(a, b);

	five.part[4] += added;
	return five;
}

static struct point my_returned_point(double x, long y)
{
	struct point point = ODDTOC_ORIGINAL(returned_point)(x, y);

	point.z += added;
	return point;
}

static struct pair my_returned_pair(long a, long b)
{
	struct pair pair = ODDTOC_ORIGINAL(returned_pair)(a, b);

	pair.high += added;
	return pair;
}

ODDTOC_REPLACE(libstrained.so.1, integers, my_integers);
ODDTOC_REPLACE(libstrained.so.1, doubles, my_doubles);
ODDTOC_REPLACE(libstrained.so.1, vectors, my_vectors);
ODDTOC_REPLACE(libstrained.so.1, mixed, my_mixed);
ODDTOC_REPLACE(libstrained.so.1, variadic, my_variadic);
ODDTOC_REPLACE(libstrained.so.1, by_value, my_by_value);
ODDTOC_REPLACE(libstrained.so.1, returned, my_returned);
ODDTOC_REPLACE(libstrained.so.1, returned_point, my_returned_point);
ODDTOC_REPLACE(libstrained.so.1, returned_pair, my_returned_pair);
