// SPDX-License-Identifier: GPL-2.0-only
/* Scenarios of threads that stand somewhere while something happens. */
#include "scenarios.h"

/* A call from another object that went through the global entry before it was marked. */
void enabling(void)
{
	struct call call = from_m(plain);

	call.site = (u64)m_window;
	call.returns = (u64)m_window_back;
	call.target = LOCAL(plain);
	context->window_r2 = image.fact[K_TOC];
	prepare();
	perform(&call);
	check_arguments();
	check_result(plain_result());
}

/* One that went through it while it was marked, and arrives while the patch is being taken back. */
void disabling(void)
{
	struct call calls[] = { from_m(closing), from_k(closing) };

	calls[0].site = (u64)m_window;
	calls[0].returns = (u64)m_window_back;
	calls[0].target = LOCAL(closing);
	context->window_r2 = image.fact[K_TOC] | image.fact[MARKS];
	for (int i = 0; i < 2; i++) {
		calls[i].patch = -1;
		prepare();
		perform(&calls[i]);
		check_observed(0, "in the original");
		check_result(0x600d);
	}
	context->calls += 2;
}

/* Calls, local and from another object, while a timer interrupts; each handler makes a patched call too. */
void signal_storm(void)
{
	u64 before = interruptions;

	storm(300);
	while (interruptions < before + 10) {
		global_object();
		local();
	}
	storm(0);
}

/* Function n has instruction n of its trampoline interrupted, on a local way through it or a global one. */
void signal_everywhere(void)
{
	u64 size = interrupted_11 - interrupted_10;

	for (u64 i = 0; i < (image.traps ? image.traps : 1); i++) {
		char *function = interrupted_10 + i * size;
		struct call calls[] = { from_k(function), from_m(function) };
		u64 before = interruptions;

		for (int n = 0; n < 2; n++) {
			prepare();
			perform(&calls[n]);
			check_arguments();
			check_result(plain_result());
		}
		if (image.traps && interruptions == before)
			finish("crash", "the laboratory did not interrupt instruction", i, 0);
	}
}
