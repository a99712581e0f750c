/* SPDX-License-Identifier: GPL-2.0-only */
/* Threads that wait in system calls of several kinds, and say how those ended; one that a stop must not end early. */
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { SECONDS = 8, KINDS = 4 };

static int ends[2], word;
static char lines[KINDS][80];

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static void *wait_in(void *argument)
{
	static const char *const names[] = { "read", "nanosleep", "poll", "futex" };
	struct timespec length = { SECONDS, 0 };
	struct pollfd nothing = { .fd = ends[0], .events = POLLPRI };
	long kind = (long)argument, result;
	double began = now();
	char byte = 0;

	errno = 0;
	switch (kind) {
	case 0:
		result = read(ends[0], &byte, 1);
		break;
	case 1:
		result = nanosleep(&length, NULL);
		break;
	case 2:
		result = poll(&nothing, 1, SECONDS * 1000);
		break;
	default:
		result = syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0);
	}
	snprintf(lines[kind], sizeof(lines[kind]), "%s %ld errno %d byte %d %s", names[kind], result, errno, byte,
		 now() - began >= SECONDS - 0.01 ? "in time" : "early");
	return NULL;
}

int main(void)
{
	pthread_t threads[KINDS];

	if (pipe(ends))
		return 1;
	for (long kind = 0; kind < KINDS; kind++)
		pthread_create(&threads[kind], NULL, wait_in, (void *)kind);
	for (double end = now() + SECONDS + 0.5; now() < end;)
		;
	word = 1;
	syscall(SYS_futex, &word, FUTEX_WAKE, 1, NULL, NULL, 0);
	if (write(ends[1], "x", 1) != 1)
		return 1;
	for (int kind = 0; kind < KINDS; kind++) {
		pthread_join(threads[kind], NULL);
		puts(lines[kind]);
	}
	return 0;
}
