/* SPDX-License-Identifier: GPL-2.0-only */
/* A program that leaves `visit` by longjmp, by swapcontext, and through a signal handler on a stack of its own, and that
 * forks, executes itself again, and closes a library. */
#include "ask.h"
#include <dlfcn.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

static long visits;

__attribute__((noinline)) long visit(void (*what)(void))
{
	if (what)
		what();
	visits++;
	__asm__ volatile("");
	return 1;
}

static jmp_buf behind;
static ucontext_t outside, inside;
static char other_stack[256 << 10], signal_stack[64 << 10];
static long from_inside, from_handler;
static long (*volatile pointer)(void (*)(void)) = visit;

static void leave(void)
{
	longjmp(behind, 1);
}

/* a call through a pointer before and after: the TOC pointer is kept on the stack meanwhile */
static __attribute__((noinline)) long jump(void)
{
	volatile long result = pointer(NULL);

	if (!setjmp(behind))
		result += visit(leave);
	result += pointer(NULL);
	if (!setjmp(behind))
		result += pointer(leave);
	return result + visit(NULL);
}

static void yield(void)
{
	swapcontext(&inside, &outside);
}

static void run_inside(void)
{
	from_inside = visit(yield) + visit(NULL);
}

static void begin(void)
{
	getcontext(&inside);
	inside.uc_stack = (stack_t){ .ss_sp = other_stack, .ss_size = sizeof(other_stack) };
	inside.uc_link = &outside;
	makecontext(&inside, run_inside, 0);
	from_inside = 0;
	swapcontext(&outside, &inside);
}

static long end(void)
{
	swapcontext(&outside, &inside);
	return from_inside;
}

static void handle(int number)
{
	(void)number;
	from_handler = visit(NULL) + pointer(NULL);
}

static void interrupt(void)
{
	raise(SIGUSR1);
}

static int spawned(void)
{
	int status;
	pid_t child = vfork();

	if (!child) {
		/* in the memory of the parent */
		visit(NULL);
		execl("/proc/self/exe", "apart", "once", (char *)NULL);
		_exit(127);
	}
	return waitpid(child, &status, 0) == child ? WEXITSTATUS(status) : -1;
}

static void answer(const char *line, FILE *out)
{
	static void *library;

	if (!strcmp(line, "jump")) {
		fprintf(out, "jump %ld\n", jump());
	} else if (!strcmp(line, "begin")) {
		begin();
		fprintf(out, "begun %ld\n", visit(NULL));
	} else if (!strcmp(line, "end")) {
		fprintf(out, "ended %ld\n", end());
	} else if (!strcmp(line, "signal")) {
		fprintf(out, "signal %ld", visit(interrupt));
		fprintf(out, " %ld\n", from_handler);
	} else if (!strcmp(line, "vfork")) {
		fprintf(out, "vfork %d %ld\n", spawned(), visit(NULL));
	} else if (!strcmp(line, "fork")) {
		pid_t child = fork();

		if (!child) {
			fclose(out);
			pause();
			exit(visit(NULL) % 256);
		}
		fprintf(out, "%d\n", child);
	} else if (!strcmp(line, "wait")) {
		int status = -1;

		wait(&status);
		fprintf(out, "child %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
	} else if (!strcmp(line, "open")) {
		library = dlopen("/lib/libthing.so.1", RTLD_NOW);
		fprintf(out, "%s\n", library ? "open" : dlerror());
	} else if (!strcmp(line, "close")) {
		fprintf(out, "closed %d\n", dlclose(library));
	} else if (!strcmp(line, "exec")) {
		fclose(out);
		execl("/proc/self/exe", "apart", (char *)NULL);
	} else {
		fprintf(out, "visit %ld %ld\n", visit(NULL), pointer(NULL));
	}
}

int main(int count, char **words)
{
	char line[LONGEST_LINE];
	stack_t alternate = { .ss_sp = signal_stack, .ss_size = sizeof(signal_stack) };
	struct sigaction action = { .sa_handler = handle, .sa_flags = SA_ONSTACK };

	(void)words;
	if (count > 1)
		return (int)visit(NULL);
	sigaltstack(&alternate, NULL);
	sigaction(SIGUSR1, &action, NULL);
	for (;;) {
		FILE *out = asked(line);

		line[strcspn(line, "\n")] = 0;
		answer(line, out);
		answered(out);
	}
}
