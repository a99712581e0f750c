/* SPDX-License-Identifier: GPL-2.0-only */
/* What libstrained.so.1 exports: a function for each way in which ELFv2 passes parameters (ELFv2 ABI, 2.2.3). */
#ifndef STRAINED_H
#define STRAINED_H

typedef int four __attribute__((vector_size(16)));

struct five {
	long part[5];
};

struct point {
	double x, y, z;
};

struct pair {
	long low, high;
};

extern long strained_calls;

/* beyond eight general registers, thirteen for floating point, twelve vector registers: on the stack */
long integers(long a, long b, long c, long d, long e, long f, long g, long h, long i, long j, long k, long l);
double doubles(double a, double b, double c, double d, double e, double f, double g, double h, double i, double j,
	       double k, double l, double m, double n, double o);
four vectors(four a, four b, four c, four d, four e, four f, four g, four h, four i, four j, four k, four l, four m,
	     four n);
double mixed(int a, double b, long c, float d, four e, long double f, char g, double h, long i, int j, long k, float l);
/* as many longs as the first says, and a double behind each */
double variadic(int count, ...);
/* in registers, as a pointer that the caller hands over, and in floating point registers */
long by_value(struct five a, struct point b, struct five c, struct pair d);
struct five returned(long a, long b);
struct point returned_point(double x, long y);
struct pair returned_pair(long a, long b);

/* What it is: value + 1. */
long pace(long value);
/* Calls all of them from inside. */
void all_inside(char *text, unsigned long size);
long pace_inside(long value);

#endif
