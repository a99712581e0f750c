/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * oddtoc_callbacks.h: functions of a patch that run once, before and after it is applied and taken back.
 *
 *     #include <oddtoc_callbacks.h>
 *
 *     static int prepare(void) { ... return 0; }
 *     ODDTOC_CALLBACK(pre_patch, prepare);
 *
 *   pre_patch     int f(void), before any function changes; anything but 0 and the patch is not applied
 *   post_patch    void f(void), after all functions have changed
 *   pre_unpatch   void f(void), before they change back
 *   post_unpatch  void f(void), after that, and when a patch is not applied after all although pre_patch said 0
 *
 * They run inside of the kernel, in a kernel thread that may sleep and holds no lock: kcompactd, which comes by
 * extfrag_for_order about twice a second, also in an idle kernel. That function is redirected for as long as callbacks
 * have to run, to oddtoc_hook below. oddtoc asks through a mailbox that all patches share.
 *
 * A patch for a module has no hook in its own code, which is too far from that function: oddtoc build, which defines
 * ODDTOC_OF_MODULE for it, puts one into the patch that has the kernel make room (room.c).
 */
#ifndef ODDTOC_CALLBACKS_H
#define ODDTOC_CALLBACKS_H

#include <oddtoc.h>

/* One record of the section .oddtoc.callback; read by oddtoc, never loaded. 32 bytes. */
struct oddtoc_callback {
	char when[24];
	const void *function;
};

_Static_assert(sizeof(struct oddtoc_callback) == 32, "the record's layout is fixed");

#define ODDTOC_CALLBACK(when, function)                                                   \
	static const struct oddtoc_callback ODDTOC_JOIN(oddtoc_callback_, __COUNTER__)    \
		__attribute__((section(".oddtoc.callback"), used, aligned(8))) = {        \
			#when, (const void *)(function) }

#ifndef ODDTOC_OF_MODULE

struct oddtoc_mailbox {
	unsigned long request;	/* address of the callback that is to run; taken by who runs it */
	unsigned long token;	/* of the request */
	unsigned long done;	/* the token of the last request that was carried out */
	long result;		/* what its callback returned */
};

extern struct oddtoc_mailbox oddtoc_mailbox;

unsigned int ODDTOC_ORIGINAL(extfrag_for_order)(void *zone, unsigned int order);

static unsigned int oddtoc_hook(void *zone, unsigned int order)
{
	/* one kcompactd for each NUMA node comes by: only one of them may take the request */
	long (*callback)(void) = (long (*)(void))__atomic_exchange_n(&oddtoc_mailbox.request, 0, __ATOMIC_ACQ_REL);

	if (callback) {
		unsigned long token = oddtoc_mailbox.token;

		oddtoc_mailbox.result = callback();
		__atomic_store_n(&oddtoc_mailbox.done, token, __ATOMIC_RELEASE);
	}
	return ODDTOC_ORIGINAL(extfrag_for_order)(zone, order);
}

static const struct oddtoc_replacement oddtoc_hook_record
	__attribute__((section(".oddtoc.hook"), used, aligned(8))) = {
		"vmlinux", "extfrag_for_order", "", (const void *)oddtoc_hook };

#endif
#endif
