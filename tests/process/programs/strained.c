/* SPDX-License-Identifier: GPL-2.0-only */
/* libstrained.so.1: functions with parameters of all kinds, and one in two versions. Each uses a variable, so r2. */
#include <stdarg.h>

#include "strained_say.h"

#define OUT_OF_LINE __attribute__((noinline, noipa))

long strained_calls;

OUT_OF_LINE long integers(long a, long b, long c, long d, long e, long f, long g, long h, long i, long j, long k, long l)
{
	strained_calls++;
	return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h + 9 * i + 10 * j + 11 * k + 12 * l;
}

OUT_OF_LINE double doubles(double a, double b, double c, double d, double e, double f, double g, double h, double i,
			   double j, double k, double l, double m, double n, double o)
{
	strained_calls++;
	return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h + 9 * i + 10 * j + 11 * k + 12 * l + 13 * m +
	       14 * n + 15 * o;
}

OUT_OF_LINE four vectors(four a, four b, four c, four d, four e, four f, four g, four h, four i, four j, four k, four l,
			 four m, four n)
{
	strained_calls++;
	return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h + 9 * i + 10 * j + 11 * k + 12 * l + 13 * m +
	       14 * n;
}

OUT_OF_LINE double mixed(int a, double b, long c, float d, four e, long double f, char g, double h, long i, int j, long k,
			 float l)
{
	strained_calls++;
	return a + 2 * b + 3 * c + 4 * d + 5 * e[3] + 6 * (double)f + 7 * g + 8 * h + 9 * i + 10 * j + 11 * k + 12 * l;
}

OUT_OF_LINE double variadic(int count, ...)
{
	va_list list;
	double sum = 0;

	strained_calls++;
	va_start(list, count);
	for (int n = 0; n < count; n++) {
		sum += va_arg(list, long);
		sum += va_arg(list, double);
	}
	va_end(list);
	return sum;
}

OUT_OF_LINE long by_value(struct five a, struct point b, struct five c, struct pair d)
{
	strained_calls++;
	return a.part[0] + 2 * a.part[4] + 100 * b.x + 200 * b.z + 1000 * c.part[0] + 2000 * c.part[4] + 100000 * d.high;
}

OUT_OF_LINE struct five returned(long a, long b)
{
	strained_calls++;
	return (struct five){ { a, b, a + b, a - b, a * b } };
}

OUT_OF_LINE struct point returned_point(double x, long y)
{
	strained_calls++;
	return (struct point){ x, y, x * y };
}

OUT_OF_LINE struct pair returned_pair(long a, long b)
{
	strained_calls++;
	return (struct pair){ a + b, a * b };
}

OUT_OF_LINE long pace(long value)
{
	strained_calls++;
	return value + 1;
}

void all_inside(char *text, unsigned long size)
{
	say_all(text, size);
}

OUT_OF_LINE long pace_inside(long value)
{
	long result = pace(value);

	strained_calls++;
	return result;
}

/* old programs get the first one, new ones the second */
OUT_OF_LINE long answer_first(long value)
{
	strained_calls++;
	return value + 1;
}

OUT_OF_LINE long answer_second(long value)
{
	strained_calls++;
	return value + 2;
}

__asm__(".symver answer_first,answer@STRAINED_1");
__asm__(".symver answer_second,answer@@STRAINED_2");
