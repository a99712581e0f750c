/* SPDX-License-Identifier: GPL-2.0-only */
/* Threads that live for a moment: each counts for two milliseconds, begins the next, and ends. */
#include <pthread.h>
#include <time.h>
#include <unistd.h>

volatile unsigned long counted;

static long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000L + time.tv_nsec;
}

static void *run(void *nothing)
{
	long end = now() + 2000000;
	pthread_t next;

	pthread_detach(pthread_self());
	while (now() < end)
		counted++;
	while (pthread_create(&next, NULL, run, nothing))
		;
	return NULL;
}

int main(void)
{
	pthread_t first;

	pthread_create(&first, NULL, run, NULL);
	for (;;)
		pause();
}
