/* SPDX-License-Identifier: GPL-2.0-only */
/* Calls everything of strained.h once, from wherever this is included, and says what came of it. */
#include <stdio.h>

#include "strained.h"

static void say_all(char *text, unsigned long size)
{
	four v = { 1, 2, 3, 4 };
	struct five one = { { 1, 2, 3, 4, 5 } }, two = { { 6, 7, 8, 9, 10 } };
	struct point place = { 0.5, 1.5, 2.5 };
	struct pair pair = { 11, 12 };
	four sum = vectors(v, v + 1, v + 2, v + 3, v + 4, v + 5, v + 6, v + 7, v + 8, v + 9, v + 10, v + 11, v + 12, v + 13);
	struct five five = returned(20, 30);
	struct point point = returned_point(0.25, 3);
	struct pair back = returned_pair(5, 6);

	snprintf(text, size, "%ld %.2f %d,%d,%d,%d %.2f %.2f %ld %ld,%ld,%ld,%ld,%ld %.2f,%.2f,%.2f %ld,%ld %ld",
		 integers(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12),
		 doubles(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), sum[0], sum[1], sum[2], sum[3],
		 mixed(1, 2.5, 3, 4.5f, v, 5.5L, 6, 7.5, 8, 9, 10, 11.5f),
		 variadic(10, 1L, .5, 2L, .5, 3L, .5, 4L, .5, 5L, .5, 6L, .5, 7L, .5, 8L, .5, 9L, .5, 10L, .5),
		 by_value(one, place, two, pair), five.part[0], five.part[1], five.part[2], five.part[3], five.part[4],
		 point.x, point.y, point.z, back.low, back.high, pace(1));
}
