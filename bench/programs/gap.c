/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Eight threads that do nothing but watch the clock. Whoever sits at the other end of the connection gets, for each byte that
 * it sends, the longest time that none of them was running and the longest that any one was not, in nanoseconds, since the
 * byte before.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define THREADS 8
#define LOOKS 500

static int64_t latest, longest, longest_of[THREADS];
static int connection;

__attribute__((noinline)) long gap_patched(long value)
{
	__asm__ volatile("");
	return value + 1;
}

static int64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void answer(void)
{
	int64_t of_one = 0;
	char byte;

	if (recv(connection, &byte, 1, MSG_DONTWAIT) != 1)
		return;
	for (int n = 0; n < THREADS; n++) {
		if (longest_of[n] > of_one)
			of_one = longest_of[n];
		longest_of[n] = 0;
	}
	dprintf(connection, "%lld %lld %ld\n", (long long)longest, (long long)of_one, gap_patched(1));
	longest = 0;
}

static void *watch(void *number)
{
	int64_t *mine = &longest_of[(long)number], before = now();

	for (long turn = 1;; turn++) {
		int64_t time = now(), seen = __atomic_load_n(&latest, __ATOMIC_SEQ_CST);

		/* a thread that was put aside between the two has nothing to say of the others */
		if (time > seen && __atomic_compare_exchange_n(&latest, &seen, time, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			if (time - seen > longest)
				longest = time - seen;
		if (time - before > *mine)
			*mine = time - before;
		before = time;
		if (!number && turn % LOOKS == 0)
			answer();
	}
	return NULL;
}

int main(int count, char **words)
{
	struct sockaddr_in there = { .sin_family = AF_INET };
	pthread_t thread;
	int yes = 1;

	if (count != 3 || !inet_aton(words[1], &there.sin_addr))
		return 2;
	there.sin_port = htons(atoi(words[2]));
	connection = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(connection, (struct sockaddr *)&there, sizeof(there)))
		return 1;
	setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	latest = now();
	for (long n = 1; n < THREADS; n++)
		pthread_create(&thread, NULL, watch, (void *)n);
	watch(NULL);
}
