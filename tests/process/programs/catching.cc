/* SPDX-License-Identifier: GPL-2.0-only */
/* A program that calls libthrowing from outside and inside, and has one of its threads cancelled in there. */
#include "ask.h"
#include <pthread.h>
#include <string.h>
#include <unistd.h>

extern "C" {
extern int destroyed, wait_end;
long middle(long value), caller(long value), seen(void);
}

static int cleaned;

static void clean(void *)
{
	cleaned++;
}

static void *wait_inside(void *)
{
	pthread_cleanup_push(clean, nullptr);
	caller(0);
	pthread_cleanup_pop(0);
	return nullptr;
}

static void cancel(FILE *out)
{
	int ends[2];
	pthread_t thread;
	void *result;

	if (pipe(ends))
		return;
	wait_end = ends[0];
	cleaned = 0;
	pthread_create(&thread, nullptr, wait_inside, nullptr);
	usleep(50000);
	pthread_cancel(thread);
	pthread_join(thread, &result);
	fprintf(out, "cancelled %d destroyed %d cleaned %d\n", result == PTHREAD_CANCELED, destroyed, cleaned);
	close(ends[0]);
	close(ends[1]);
}

static long outside(long value)
{
	try {
		return middle(value);
	} catch (long thrown) {
		return 100 + thrown;
	}
}

static void answer(const char *line, FILE *out)
{
	if (!strcmp(line, "cancel")) {
		cancel(out);
		return;
	}
	fprintf(out, "inside %ld %ld outside %ld %ld seen %ld\n", caller(5), caller(-7), outside(5), outside(-7), seen());
}

int main()
{
	char line[LONGEST_LINE];

	for (;;) {
		FILE *out = asked(line);

		line[strcspn(line, "\n")] = 0;
		answer(line, out);
		answered(out);
	}
}
