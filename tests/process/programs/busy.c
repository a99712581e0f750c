/* SPDX-License-Identifier: GPL-2.0-only */
/* Eight threads that count, one that sends queued signals to the process, and a handler that counts those. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 8, SIGNALS = 300 };

volatile unsigned long counters[THREADS];
volatile unsigned long sent, received;

static void count(int number)
{
	(void)number;
	__atomic_fetch_add(&received, 1, __ATOMIC_SEQ_CST);
}

static void *run(void *argument)
{
	long number = (long)argument;

	for (;;) {
		counters[number]++;
		if (counters[number] % 1000 == 0)
			nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
	}
	return NULL;
}

int main(void)
{
	pthread_t thread;
	sigset_t interrupt;

	/* a debugger that interrupts with SIGINT would wait for ever */
	sigemptyset(&interrupt);
	sigaddset(&interrupt, SIGINT);
	sigprocmask(SIG_BLOCK, &interrupt, NULL);
	signal(SIGRTMIN, count);
	for (long number = 0; number < THREADS; number++)
		pthread_create(&thread, NULL, run, (void *)number);
	for (;;) {
		while (access("/tmp/send", F_OK))
			nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
		for (sent = 0; sent < SIGNALS; sent++) {
			while (sigqueue(getpid(), SIGRTMIN, (union sigval){ .sival_int = 0 }))
				nanosleep(&(struct timespec){ 0, 100000 }, NULL);
			nanosleep(&(struct timespec){ 0, 500000 }, NULL);
		}
		printf("%lu of %lu\n", received, sent);
		fflush(stdout);
		unlink("/tmp/send");
	}
}
