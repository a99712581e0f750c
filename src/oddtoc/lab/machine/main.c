// SPDX-License-Identifier: GPL-2.0-only
/* laboratory IMAGE CALLS SECONDS SCENARIO...: one line for each, as far as the first that fails. */
#include "scenarios.h"

static const char *running = "?";

static const struct scenario {
	const char *name;
	void (*round)(void);
} all[] = {
	{ "local", local },
	{ "global-pointer", global_pointer },
	{ "global-object", global_object },
	{ "no-toc-local", no_toc_local },
	{ "no-toc-object", no_toc_object },
	{ "recursion", recursion },
	{ "mutual-recursion", mutual_recursion },
	{ "deep-recursion", deep_recursion },
	{ "stack-arguments", stack_arguments },
	{ "varargs", varargs },
	{ "structure", structures },
	{ "floating-point", floating_point },
	{ "vector", vector },
	{ "static-chain", static_chain },
	{ "sibling", sibling },
	{ "sibling-near", sibling_near },
	{ "sibling-patched", sibling_patched },
	{ "stacked", stacked },
	{ "twice", twice },
	{ "original", original },
	{ "saves-toc", saves_toc },
	{ "no-reload", no_reload },
	{ "stale-r12", stale_r12 },
	{ "far-caller", far_caller },
	{ "delta-within", delta_within },
	{ "delta-over", delta_over },
	{ "return-replaced", return_replaced },
	{ "return-replaced-object", return_replaced_object },
	{ "return-replaced-sibling", return_replaced_sibling },
	{ "longjmp", long_jump },
	{ "longjmp-saver", long_jump_saver },
	{ "cr-doubleword", cr_doubleword },
	{ "signal-storm", signal_storm },
	{ "signal-everywhere", signal_everywhere },
	{ "enabling", enabling },
	{ "disabling", disabling },
};

static void tell(const char *outcome)
{
	say(running);
	say("\t");
	say(outcome);
	say("\t");
	say_number(context->calls);
	say("\t");
}

void finish(const char *outcome, const char *detail, u64 value, u64 expected)
{
	tell(outcome);
	say(detail);
	say(": ");
	say_hex(value);
	if (expected) {
		say(", not ");
		say_hex(expected);
	}
	say("\n");
	leave(0);
}

static void run(const struct scenario *scenario, u64 calls, u64 seconds)
{
	running = scenario->name;
	*context = (struct context){ .toc = image.fact[K_TOC], .current = context };
	make_thread_stack();
	watch(seconds);
	do
		scenario->round();
	while (context->calls < calls);
	tell("ok");
	say("\n");
}

static u64 number(const char *text)
{
	u64 value = 0;

	while (*text)
		value = 10 * value + (*text++ - '0');
	return value;
}

void laboratory(u64 *arguments)
{
	u64 count = arguments[0];
	char **argument = (char **)arguments + 1;

	if (count < 5)
		leave(2);
	load(argument[1]);
	for (u64 i = 4; i < count; i++)
		for (u64 n = 0; n < sizeof all / sizeof *all; n++)
			if (equal(argument[i], all[n].name))
				run(&all[n], number(argument[2]), number(argument[3]));
	leave(0);
}
