/* SPDX-License-Identifier: GPL-2.0-only */
/* A program that uses libstrained in the ways in which patching it could go wrong, a line at a time. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "ask.h"
#include "strained_say.h"

enum { THREADS = 8, BURST = 64 };

long answer(long), answer_of_old(long);
__asm__(".symver answer_of_old,answer@STRAINED_1");

static volatile int stopping;
static unsigned long calls[THREADS], wrong[THREADS], seen[THREADS][4];
static pthread_t callers[THREADS], loader;

static volatile int signalling;
static pthread_t signaller;
static unsigned long sent, sent_values, received, received_values;

static void receive(int number, siginfo_t *info, void *context)
{
	(void)number, (void)context;
	__atomic_fetch_add(&received, 1, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&received_values, info->si_value.sival_int, __ATOMIC_SEQ_CST);
}

/* A signal with a value for every thread that calls, each second, also when something interrupts the sleep. */
static void *signal_all(void *unused)
{
	struct timespec next;

	clock_gettime(CLOCK_MONOTONIC, &next);
	for (; signalling; next.tv_sec++) {
		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL))
			;
		for (int n = 0; n < THREADS; n++) {
			if (pthread_sigqueue(callers[n], SIGRTMIN, (union sigval){ .sival_int = (int)++sent }))
				return unused;
			sent_values += sent;
		}
	}
	return NULL;
}

static void say_signals(FILE *out)
{
	signalling = 0;
	pthread_join(signaller, NULL);
	for (int patience = 5000; patience && received != sent; patience--)
		usleep(1000);
	fprintf(out, "%lu %lu %lu %lu\n", sent, received, sent_values, received_values);
}

static void count(int number, long value, long result)
{
	/* pace gives value + 1; those that replace it value + 11, value + 21, value + 31 */
	long by = result - value - 1;

	calls[number]++;
	if (by % 10 || by < 0 || by > 30)
		wrong[number]++;
	else
		seen[number][by / 10]++;
}

static void *call(void *argument)
{
	long number = (long)argument;

	for (long value = 0; !stopping; value++) {
		count(number, value, value & 1 ? pace(value) : pace_inside(value));
		/* whoever patches needs a CPU, too */
		if (value % BURST == 0)
			usleep(1000);
	}
	return NULL;
}

static void stop_calling(FILE *out)
{
	unsigned long called = 0, false_ones = 0, kinds[4] = { 0 };

	stopping = 1;
	for (long n = 0; n < THREADS; n++) {
		pthread_join(callers[n], NULL);
		called += calls[n];
		false_ones += wrong[n];
		for (int kind = 0; kind < 4; kind++)
			kinds[kind] += seen[n][kind];
	}
	fprintf(out, "%lu %lu %lu %lu %lu %lu\n", called, false_ones, kinds[0], kinds[1], kinds[2], kinds[3]);
}

static void *load(void *unused)
{
	void *library = dlopen("libslow.so.1", RTLD_NOW);

	(void)unused;
	if (library)
		dlclose(library);
	return library;
}

__attribute__((noinline, noipa)) long tell(long value)
{
	return answer(value);
}

static void say(FILE *out)
{
	char outside[200], inside[200];

	say_all(outside, sizeof(outside));
	all_inside(inside, sizeof(inside));
	fprintf(out, "%s%s answers %ld %ld\n", outside, strcmp(outside, inside) ? inside : "", tell(1), answer_of_old(1));
}

/* A file with code that is no object, as compilers that work at run time have. */
static int map_code(void)
{
	int file = memfd_create("code", 0);

	return file < 0 || ftruncate(file, 65536) ||
	       mmap(NULL, 65536, PROT_READ | PROT_EXEC, MAP_SHARED, file, 0) == MAP_FAILED;
}

int main(void)
{
	struct sigaction action = { .sa_sigaction = receive, .sa_flags = SA_SIGINFO };
	char line[LONGEST_LINE];
	void *library;
	FILE *out;

	if (map_code() || sigaction(SIGRTMIN, &action, NULL))
		return 1;
	for (;;) {
		out = asked(line);
		if (!strcmp(line, "call\n")) {
			for (long n = 0; n < THREADS; n++)
				pthread_create(&callers[n], NULL, call, (void *)n);
		} else if (!strcmp(line, "stop\n")) {
			stop_calling(out);
		} else if (!strcmp(line, "signal\n")) {
			signalling = 1;
			pthread_create(&signaller, NULL, signal_all, NULL);
		} else if (!strcmp(line, "signalled\n")) {
			say_signals(out);
		} else if (!strcmp(line, "load\n")) {
			pthread_create(&loader, NULL, load, NULL);
		} else if (!strcmp(line, "loaded\n")) {
			pthread_join(loader, &library);
			fprintf(out, "%s\n", library ? "loaded" : dlerror());
		} else if (!strcmp(line, "map\n")) {
			fprintf(out, "%s\n", mmap(NULL, 65536, 1, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? "no" : "yes");
		} else {
			say(out);
		}
		answered(out);
	}
}
