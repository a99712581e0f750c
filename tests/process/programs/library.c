/* SPDX-License-Identifier: GPL-2.0-only */
/* libthing.so.1: functions with data of their own, called from inside and from outside, through a pointer and not. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int thing_calls;

__attribute__((noinline)) static long hidden(long value)
{
	thing_calls++;
	__asm__ volatile("");
	return value * 2;
}

__attribute__((noinline)) long thing_value(long value)
{
	thing_calls++;
	__asm__ volatile("");
	return value + 1;
}

/* more parameters than there are registers for */
__attribute__((noinline)) long thing_sum(long a, long b, long c, long d, long e, long f, long g, long h, long i, long j)
{
	thing_calls++;
	__asm__ volatile("");
	return a + b + c + d + e + f + g + h + i + j;
}

long thing_inside(long value)
{
	return hidden(thing_value(value)) + thing_sum(1, 2, 3, 4, 5, 6, 7, 8, 9, value);
}

/* no TOC pointer is needed here */
__attribute__((noinline)) long thing_leaf(long value)
{
	__asm__ volatile("");
	return value ^ 1;
}

long thing_leaf_inside(long value)
{
	long result = thing_leaf(value);

	thing_calls++;
	return result;
}

__attribute__((noinline)) long thing_wait(int descriptor)
{
	char byte;
	long result = read(descriptor, &byte, 1);

	thing_calls++;
	return result;
}

static long implementation(long value)
{
	return value - 1;
}

static long (*choose(void))(long)
{
	return implementation;
}

long thing_chosen(long value) __attribute__((ifunc("choose")));
