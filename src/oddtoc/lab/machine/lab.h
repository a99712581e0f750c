/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The laboratory: calls functions of the patched object from other objects with all registers set, and looks at what
 * it comes back with. The objects (patched.s, caller.S, edge.s) and the patches are linked elsewhere and come in a
 * file, an image, that is mapped at start.
 */
#ifndef LAB_H
#define LAB_H

#include "context.h"

register struct context *context __asm__("r13");

#define NULL ((void *)0)

/* What the program has to know of an image, in the order of lab/program.py. */
enum fact {
	K_TOC, M_TOC, N_TOC,		/* TOC pointers of the patched object and of two that call it */
	PATCH_TOC,			/* of patch a, b and c */
	AGAIN_FIRST = PATCH_TOC + 3,	/* where the site of `again` led before patch b */
	CLOSING_ENTRY,			/* where the site of `closing` leads */
	MARKS,				/* 1 if the mechanism marks global entries */
	FACTS
};

#define MOST_TRAPS 64
#define MOST_SEGMENTS 32

struct segment {
	u64 address, size, offset, executable;
};

/* An instruction of a trampoline whose place a trap has taken. `slot` holds it, and a branch to behind it. */
struct trap {
	u64 address, word, slot;
};

struct image {
	u64 magic, segments, traps;
	u64 fact[16];
	struct segment segment[MOST_SEGMENTS];
	struct trap trap[MOST_TRAPS];
};

#define IMAGE_MAGIC 0x62616c636f74646fUL

extern struct image image;

/* One call. `frame_owned`: bytes of the caller's frame, from r1, that the callee may write. */
struct call {
	u64 site, returns;
	u64 r2;
	u64 target, r12;
	u64 frame_owned;
	int patch;
};

#define HEADER 32
#define PARAMETERS(doublewords) (HEADER + 8 * (doublewords))

/* Objects that call: K itself, M in another library, N a library next door to K, F far away on K's TOC pointer. */
#define SITE(name) (u64)name, (u64)name##_back
extern char k_direct[], k_direct_back[], edge_over[], edge_over_back[], edge_within[], edge_within_back[];
#define SITES(object) extern char object##_plain[], object##_plain_back[], object##_reload[], object##_reload_back[], \
	object##_window[], object##_window_back[]
SITES(k); SITES(m); SITES(n); SITES(f);

/* The local entry of a function with TOC set-up */
#define LOCAL(function) ((u64)(function) + 8)

struct call from_k(char *function);		/* local, as within an object */
struct call from_m(char *function);		/* global, from another object */

extern u64 result;				/* r3 of the last call */

void prepare(void);				/* all registers and the frame get patterns */
void perform(const struct call *call);		/* and check all that every call has to keep */
void check_arguments(void);			/* the replacement saw what was sent */
void check_result(u64 expected);
void check_observed(int number, const char *where);
void put_parameter(int number, u64 value);	/* doubleword of the caller's parameter save area */
u64 plain_result(void);

void finish(const char *outcome, const char *detail, u64 value, u64 expected) __attribute__((noreturn));

/* system.c */
long system_call(long number, ...);
void enter(void);
void say(const char *text);
void say_hex(u64 value);
void say_number(u64 value);
void leave(int status) __attribute__((noreturn));
void load(const char *path);
int equal(const char *a, const char *b);

/* signals.c */
void watch(u64 seconds);
void storm(u64 microseconds);
extern u64 interruptions;

void make_thread_stack(void);

#endif
