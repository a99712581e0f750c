// SPDX-License-Identifier: GPL-2.0-only
/* Scenarios of several calls: chains of them, and ways back that are not those of a plain return. */
#include "scenarios.h"

static void calls_with(struct call call, u64 argument, u64 expected, int patch)
{
	call.patch = patch;
	prepare();
	context->in.gpr[3] = argument;
	perform(&call);
	check_observed(0, "behind a call within");
	check_observed(1, "behind a reload within");
	check_result(expected);
}

void recursion(void)
{
	calls_with(from_k(recursive), 30, 30, 0);
	calls_with(from_m(recursive), 30, 30, 0);
}

void mutual_recursion(void)
{
	calls_with(from_k(even), 40, 40, 0);
	calls_with(from_m(even), 41, 41, 0);
}

void deep_recursion(void)
{
	calls_with(from_k(recursive), 3000, 3000, 0);
}

static void chain(struct call call)
{
	prepare();
	perform(&call);
	check_arguments();
	check_result(plain_result());
}

void sibling(void)
{
	chain(from_k(tail));
	chain(from_m(tail));
}

void sibling_near(void)
{
	chain((struct call){ SITE(n_reload), image.fact[N_TOC], (u64)tail, (u64)tail, HEADER, 0 });
}

void sibling_patched(void)
{
	chain(from_k(relay));
}

void stacked(void)
{
	calls_with(from_k(first), 5, 116, 2);
	calls_with(from_m(first), 5, 116, 2);
}

/* A thread that came through the first patch calls the function again, which the second patch has by now. */
void twice(void)
{
	struct call older = from_k(first);

	older.target = image.fact[AGAIN_FIRST];
	calls_with(older, 9, 1015, 1);
}

void original(void)
{
	calls_with(from_k(augmented), 17, 2034, 0);
	calls_with(from_m(augmented), 18, 2036, 0);
}

void saves_toc(void)
{
	struct call calls[] = { from_k(toc_saver), from_m(toc_saver) };

	for (int i = 0; i < 2; i++) {
		prepare();
		perform(&calls[i]);
		check_observed(0, "behind a call");
		check_observed(1, "reloaded behind a call");
		check_observed(2, "behind the second call");
		check_observed(3, "reloaded behind the second call");
	}
}

void return_replaced(void)
{
	chain(from_k(traced));
}

void return_replaced_object(void)
{
	chain(from_m(traced));
}

void return_replaced_sibling(void)
{
	chain(from_m(tail_traced));
}

void long_jump(void)
{
	calls_with(from_k(outer), 2, 75, -1);
}

void long_jump_saver(void)
{
	calls_with(from_k(outer), 3, 75, -1);
}
