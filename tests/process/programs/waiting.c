/* SPDX-License-Identifier: GPL-2.0-only */
/* Threads that wait in system calls of several kinds, and say how those ended; one that a stop must not end early. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { SECONDS = 8 };

static int ends[2], silent[2], sockets[2], semaphore, word, other_word;
static struct timespec length = { SECONDS, 0 };

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static long in_read(void)
{
	char byte;

	return read(ends[0], &byte, 1);
}

static long in_futex(void)
{
	return syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0);
}

static long in_futex_for_a_time(void)
{
	return syscall(SYS_futex, &other_word, FUTEX_WAIT, 0, &length, NULL, 0);
}

static long in_nanosleep(void)
{
	return nanosleep(&length, NULL);
}

static long in_poll(void)
{
	struct pollfd nothing = { .fd = silent[0], .events = POLLIN };

	return poll(&nothing, 1, SECONDS * 1000);
}

static long in_select(void)
{
	struct timeval time = { SECONDS, 0 };
	fd_set set;

	FD_ZERO(&set);
	FD_SET(silent[0], &set);
	return select(silent[0] + 1, &set, NULL, NULL, &time);
}

static long in_epoll(void)
{
	struct epoll_event event = { .events = EPOLLIN };
	int set = epoll_create1(0);

	epoll_ctl(set, EPOLL_CTL_ADD, silent[0], &event);
	return epoll_wait(set, &event, 1, SECONDS * 1000);
}

static long in_recv(void)
{
	struct timeval time = { SECONDS, 0 };
	char byte;

	setsockopt(sockets[0], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time));
	return recv(sockets[0], &byte, 1, 0);
}

static long in_sigtimedwait(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	return sigtimedwait(&set, NULL, &length);
}

static long in_semtimedop(void)
{
	struct sembuf down = { .sem_op = -1 };

	return semtimedop(semaphore, &down, 1, &length);
}

static struct kind {
	const char *name;
	long (*wait)(void);
	pthread_t thread;
	char line[80];
} kinds[] = {
	/* these are interrupted by signals, too, and are begun again */
	{ "read", in_read },
	{ "futex", in_futex },
	{ "futex for a time", in_futex_for_a_time },
	{ "nanosleep", in_nanosleep },
	{ "poll", in_poll },
	{ "select", in_select },
	{ "epoll_wait", in_epoll },
	{ "recv", in_recv },
	{ "sigtimedwait", in_sigtimedwait },
	{ "semtimedop", in_semtimedop },
};

enum { KINDS = sizeof(kinds) / sizeof(kinds[0]), SIGNALLED = 2 };

static void *wait_in(void *argument)
{
	struct kind *kind = argument;
	double began = now();
	long result;

	errno = 0;
	result = kind->wait();
	snprintf(kind->line, sizeof(kind->line), "%s %ld errno %d %s", kind->name, result, errno,
		 now() - began >= SECONDS - 0.01 ? "in time" : "early");
	return NULL;
}

static void nothing(int number)
{
	(void)number;
}

int main(void)
{
	struct sigaction action = { .sa_handler = nothing, .sa_flags = SA_RESTART };

	semaphore = semget(IPC_PRIVATE, 1, 0600);
	if (pipe(ends) || pipe(silent) || socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) || semaphore < 0)
		return 1;
	sigaction(SIGUSR1, &action, NULL);
	for (int kind = 0; kind < KINDS; kind++)
		pthread_create(&kinds[kind].thread, NULL, wait_in, &kinds[kind]);
	for (double end = now() + SECONDS + 0.5, next = now(); now() < end;) {
		if (now() < next)
			continue;
		next = now() + 0.02;
		for (int kind = 0; kind < SIGNALLED; kind++)
			pthread_kill(kinds[kind].thread, SIGUSR1);
	}
	word = 1;
	syscall(SYS_futex, &word, FUTEX_WAKE, 1, NULL, NULL, 0);
	if (write(ends[1], "x", 1) != 1)
		return 1;
	for (int kind = 0; kind < KINDS; kind++) {
		pthread_join(kinds[kind].thread, NULL);
		puts(kinds[kind].line);
	}
	semctl(semaphore, 0, IPC_RMID);
	return 0;
}
