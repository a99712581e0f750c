/* SPDX-License-Identifier: GPL-2.0-only */
/* A program that calls libthing and libz, from outside and inside, for each line that it reads, and says what it got. */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ask.h"

extern int thing_calls;
long thing_value(long), thing_sum(long, long, long, long, long, long, long, long, long, long), thing_inside(long);
long thing_leaf(long), thing_leaf_inside(long), thing_wait(int), thing_chosen(long);
unsigned long adler32(unsigned long, const unsigned char *, unsigned);
int compress(unsigned char *, unsigned long *, const unsigned char *, unsigned long);

static int pipe_ends[2];
static volatile int waiting;

static void *wait_inside(void *unused)
{
	(void)unused;
	waiting = 1;
	thing_wait(pipe_ends[0]);
	waiting = 0;
	return NULL;
}

static void wait_in_handler(int number)
{
	char byte;

	(void)number;
	waiting = 2;
	if (read(pipe_ends[0], &byte, 1) == 1)
		waiting = 1;
}

static void say(FILE *out)
{
	static const unsigned char text[] = "twelve bytes";
	unsigned char packed[100];
	unsigned long size = sizeof(packed);
	long (*pointer)(long) = thing_value;

	compress(packed, &size, text, 12);
	fprintf(out, "value %ld %ld sum %ld inside %ld leaf %ld %ld chosen %ld adler %08lx %02x%02x%02x%02x\n",
		thing_value(1), pointer(2), thing_sum(1, 2, 3, 4, 5, 6, 7, 8, 9, 10), thing_inside(3), thing_leaf(4),
		thing_leaf_inside(5), thing_chosen(6), adler32(1, text, 12), packed[size - 4], packed[size - 3],
		packed[size - 2], packed[size - 1]);
	fflush(out);
}

int main(void)
{
	char line[LONGEST_LINE];
	pthread_t thread;
	FILE *out;

	if (pipe(pipe_ends))
		return 1;
	signal(SIGUSR1, wait_in_handler);
	for (;;) {
		out = asked(line);
		if (!strcmp(line, "wait\n")) {
			pthread_create(&thread, NULL, wait_inside, NULL);
			while (!waiting)
				usleep(1000);
		} else if (!strcmp(line, "signal\n")) {
			/* the handler runs on top of a thread that is in thing_wait */
			pthread_kill(thread, SIGUSR1);
			while (waiting != 2)
				usleep(1000);
		} else if (!strcmp(line, "go\n")) {
			for (int n = 0; n < 2 && waiting; n++) {
				int before = waiting;

				if (write(pipe_ends[1], "x", 1) != 1)
					return 1;
				while (waiting == before)
					usleep(1000);
			}
		} else if (!strcmp(line, "fork\n")) {
			if (!fork()) {
				say(out);
				_exit(0);
			}
			wait(NULL);
		} else if (!strcmp(line, "load\n")) {
			fprintf(out, "%s\n", dlopen("/lib/powerpc64le-linux-gnu/liblzma.so.5", RTLD_NOW) ? "loaded" : dlerror());
		} else {
			say(out);
		}
		answered(out);
	}
}
