/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the parts of a laboratory program share. r13 points to the one `struct context` everywhere, as it points to the
 * PACA in a kernel and to thread-local storage in a process; its layout is that of registers.s.
 */
#ifndef CONTEXT_H
#define CONTEXT_H

typedef unsigned long u64;
typedef unsigned int u32;

/* All registers at one moment. The vector registers come as pairs of doublewords. */
struct registers {
	u64 gpr[32];
	u64 fpr[32];
	u64 vr[32][2];
	u64 cr, xer, ctr, lr;
	u64 unused[2];
};

struct context {
	struct registers in;		/* what a call starts with */
	struct registers out;		/* what it came back with */
	struct registers seen;		/* what the last replacement was entered with */
	struct registers host;		/* the laboratory's own, during a call */
	u64 toc;			/* the patched object's TOC pointer: PACATOC */
	struct context *current;	/* the running task: itself */
	u64 *thread_stack;		/* behind the newest return state of the mechanisms that keep a stack */
	u64 window_r2;			/* r2 of a thread that stands in the window */
	u64 calls;			/* of replacements, by now */
	u64 faults;			/* what replacements found wrong, FAULT_* */
	u64 observed[16];		/* r2 at places of the patched object */
	u64 trace_depth;		/* return addresses taken away by the tracer, bytes */
	u64 trace_r12;
	u64 trace[64];
	u64 jump[24];			/* where a longjmp goes */
};

#define FAULT_DATA 1			/* a replacement did not find its own data */
#define FAULT_ORIGINAL 2		/* an original gave another result than it has to */

#define AT(field, place) _Static_assert(__builtin_offsetof(struct context, field) == (place), #field)
AT(out, 1072); AT(seen, 2144); AT(host, 3216); AT(toc, 4288); AT(current, 4296); AT(thread_stack, 4304);
AT(window_r2, 4312); AT(calls, 4320); AT(observed, 4336); AT(trace_depth, 4464); AT(trace_r12, 4472);
AT(trace, 4480); AT(jump, 4992);
_Static_assert(__builtin_offsetof(struct registers, lr) == 1048, "as in registers.s");

/* What the replacements of the patches make of their arguments; the laboratory expects the same. */
static inline u64 mix(u64 sum, u64 value)
{
	return (sum << 7 | sum >> 57) ^ value;
}

struct words {
	u64 word[12];
};

typedef unsigned int vector_t __attribute__((vector_size(16)));

#endif
