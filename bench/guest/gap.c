// SPDX-License-Identifier: GPL-2.0-only
/*
 * gap SECONDS: reads the time base as fast as possible, one process on each processor, and prints the longest time in
 * microseconds between two readings, a line per processor. Real-time processes: nothing else of the guest comes between.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/platform/ppc.h>
#include <sys/wait.h>
#include <unistd.h>

static void watch(int processor, unsigned long ticks)
{
	struct sched_param priority = { .sched_priority = 1 };
	unsigned long start, before, longest = 0;
	cpu_set_t processors;

	CPU_ZERO(&processors);
	CPU_SET(processor, &processors);
	sched_setaffinity(0, sizeof(processors), &processors);
	sched_setscheduler(0, SCHED_FIFO, &priority);
	start = before = __ppc_get_timebase();
	while (before - start < ticks) {
		unsigned long now = __ppc_get_timebase();

		if (now - before > longest)
			longest = now - before;
		before = now;
	}
	printf("%lu\n", longest * 1000000 / __ppc_get_timebase_freq());
}

int main(int count, char **arguments)
{
	unsigned long ticks = (count > 1 ? atof(arguments[1]) : 1) * __ppc_get_timebase_freq();
	FILE *limit = fopen("/proc/sys/kernel/sched_rt_runtime_us", "w");

	if (limit) {	/* the kernel takes 5 % from real-time processes otherwise: a gap of 50 ms */
		fputs("-1", limit);
		fclose(limit);
	}
	for (int processor = 0; processor < sysconf(_SC_NPROCESSORS_ONLN); processor++)
		if (!fork()) {
			watch(processor, ticks);
			return 0;
		}
	while (wait(0) > 0)
		;
	return 0;
}
