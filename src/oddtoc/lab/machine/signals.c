// SPDX-License-Identifier: GPL-2.0-only
/*
 * Signals: the verdict over a program that crashes or goes round for ever, interruptions by a timer, and interruptions
 * at one instruction of a trampoline, which a trap stands in for.
 */
#include "lab.h"

enum { SIGILL = 4, SIGTRAP = 5, SIGBUS = 7, SIGSEGV = 11, SIGALRM = 14, SIGVTALRM = 26 };
enum { SIGACTION = 173, SIGALTSTACK = 185, SETITIMER = 104 };
enum { ON_STACK = 0x08000000, WITH_INFO = 4, RESTART = 0x10000000 };
enum { REAL, VIRTUAL };

/* The kernel's struct ucontext up to the general registers (arch/powerpc/include/uapi/asm/{ucontext,sigcontext}.h). */
struct moment {
	u64 before[29];
	u64 gpr[32];
	u64 nip, msr, first_argument, ctr, link, xer, ccr;
};

struct action {
	void (*handler)(int, void *, struct moment *);
	u64 flags;
	void *restorer;
	u64 mask;
};

u64 interruptions;

static char other_stack[1 << 16] __attribute__((aligned(128)));

static void handle(int signal, u64 flags, void (*handler)(int, void *, struct moment *))
{
	struct action action = { handler, flags | WITH_INFO | RESTART, NULL, 0 };

	system_call(SIGACTION, signal, &action, NULL, 8);
}

static const struct trap *trap_at(u64 address)
{
	for (u64 i = 0; i < image.traps; i++)
		if (image.trap[i].address == address)
			return &image.trap[i];
	return NULL;
}

static void crash(int signal, void *info, struct moment *moment)
{
	(void)info;
	finish("crash", signal == SIGTRAP ? "a check of the mechanism failed at" : "no such memory or code, at",
	       moment->nip, 0);
}

static void forever(int signal, void *info, struct moment *moment)
{
	(void)signal, (void)info;
	finish("wrong return", "the call never comes back; it is at", moment->nip, 0);
}

extern u64 call_plain(u64 value), bare(u64 value);

/*
 * A handler may do what any function may: here a local call of a patched function, and then one with another r2, the
 * laboratory's own.
 */
static void interrupt(void)
{
	struct registers seen = context->seen;
	u64 observed = context->observed[0], calls = context->calls;
	u64 (*volatile local)(u64) = call_plain, (*volatile global)(u64) = bare;

	context->observed[0] = image.fact[K_TOC];
	local(calls);
	check_observed(0, "in a signal handler");
	if (context->calls != calls + 1)
		finish("wrong return", "a call in a signal handler", context->calls, calls + 1);
	global(calls);
	interruptions++;
	context->calls = calls;
	context->observed[0] = observed;
	context->seen = seen;
}

static void tick(int signal, void *info, struct moment *moment)
{
	(void)signal, (void)info, (void)moment;
	interrupt();
}

/* Go on as the instruction would have that the trap stands for: branches are done here, all others in their slot. */
static u64 step(const struct trap *trap, struct moment *moment)
{
	u32 word = trap->word;
	u64 next = trap->address + 4;
	int wanted = word >> 24 & 1, bit = word >> 16 & 31;

	switch (word >> 26) {
	case 18:
		if (word & 1)
			moment->link = next;
		return trap->address + ((long)(word & 0x03fffffc) << 38 >> 38);
	case 16:
		if ((int)(moment->ccr >> (31 - bit) & 1) != wanted)
			return next;
		return trap->address + (short)(word & 0xfffc);
	case 19:
		return moment->link;
	}
	return trap->slot;
}

static void trapped(int signal, void *info, struct moment *moment)
{
	const struct trap *trap = trap_at(moment->nip);

	if (!trap)
		crash(signal, info, moment);
	interrupt();
	moment->nip = step(trap, moment);
}

static void start_timer(int which, u64 first, u64 interval)
{
	u64 setting[4] = { interval / 1000000, interval % 1000000, first / 1000000, first % 1000000 };

	system_call(SETITIMER, which, setting, NULL);
}

/* From now on crashes are told, and whatever takes longer than so many seconds of computing. */
void watch(u64 seconds)
{
	struct { void *start; u64 flags, size; } stack = { other_stack, 0, sizeof other_stack };

	system_call(SIGALTSTACK, &stack, NULL);
	handle(SIGSEGV, ON_STACK, crash);
	handle(SIGBUS, ON_STACK, crash);
	handle(SIGILL, ON_STACK, crash);
	handle(SIGTRAP, 0, trapped);
	handle(SIGVTALRM, ON_STACK, forever);
	start_timer(VIRTUAL, seconds * 1000000, 0);
}

/* From now on a timer interrupts; 0 ends it. */
void storm(u64 microseconds)
{
	handle(SIGALRM, 0, tick);
	start_timer(REAL, microseconds, microseconds);
}
