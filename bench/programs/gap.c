/* SPDX-License-Identifier: GPL-2.0-only */
/* Eight threads, one of which watches the clock: the longest time that it was not running is written to a file. */
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static volatile double longest;

__attribute__((noinline)) long gap_patched(long value)
{
	__asm__ volatile("");
	return value + 1;
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static void *idle(void *unused)
{
	(void)unused;
	for (;;)
		usleep(5000);
	return NULL;
}

static void *watch(void *unused)
{
	double last = now();

	(void)unused;
	for (;;) {
		double next = now();

		if (next - last > longest)
			longest = next - last;
		last = next;
	}
	return NULL;
}

int main(void)
{
	pthread_t thread;

	for (int n = 0; n < 6; n++)
		pthread_create(&thread, NULL, idle, NULL);
	pthread_create(&thread, NULL, watch, NULL);
	for (;;) {
		if (!access("/tmp/reset", F_OK)) {
			FILE *file = fopen("/tmp/gap.new", "w");

			fprintf(file, "%.3f %ld\n", longest * 1000, gap_patched(1));
			fclose(file);
			longest = 0;
			rename("/tmp/gap.new", "/tmp/gap");
			unlink("/tmp/reset");
		}
		usleep(2000);
	}
}
