// SPDX-License-Identifier: GPL-2.0-only
/* One call, with all registers set before and looked at behind. */
#include "lab.h"

#define FRAME 128			/* doublewords of the caller's frame that are watched */

static u64 stack[1 << 18] __attribute__((aligned(128)));
static u64 expected_frame[FRAME];
static u64 random_state = 88172645463325252UL;

u64 result;

static u64 *const frame = stack + sizeof stack / sizeof *stack - FRAME - 16;

static u64 random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	return random_state ^= random_state << 17;
}

/* New patterns now and then: to make them takes longer than a call. */
void prepare(void)
{
	static u64 rounds;

	if (rounds++ % 64)
		return;
	for (u64 *word = (u64 *)&context->in; word < (u64 *)(&context->in + 1); word++)
		*word = random();
	context->in.cr &= 0xffffffff;
	context->in.xer = 0;
	for (int i = 0; i < FRAME; i++)
		frame[i] = expected_frame[i] = random();
}

struct call from_k(char *function)
{
	return (struct call){ SITE(k_plain), image.fact[K_TOC], LOCAL(function), 0x1212121212121212, HEADER, 0 };
}

struct call from_m(char *function)
{
	return (struct call){ SITE(m_reload), image.fact[M_TOC], (u64)function, (u64)function, HEADER, 0 };
}

void put_parameter(int number, u64 value)
{
	frame[HEADER / 8 + number] = value;
}

static void check_registers(void)
{
	const struct registers *in = &context->in, *out = &context->out;

	if (out->gpr[1] != in->gpr[1])
		finish("lost register", "r1", out->gpr[1], in->gpr[1]);
	for (int i = 14; i < 32; i++) {
		if (out->gpr[i] != in->gpr[i])
			finish("lost register", "a general register", out->gpr[i], in->gpr[i]);
		if (out->fpr[i] != in->fpr[i])
			finish("lost register", "a floating-point register", out->fpr[i], in->fpr[i]);
	}
	for (int i = 20; i < 32; i++)
		if (out->vr[i][0] != in->vr[i][0] || out->vr[i][1] != in->vr[i][1])
			finish("lost register", "a vector register", out->vr[i][0], in->vr[i][0]);
	if ((out->cr ^ in->cr) & 0x00fff000)
		finish("lost register", "CR2 to CR4", out->cr, in->cr);
}

/* The back chain, and everything behind what belongs to the callee */
static void check_frame(u64 owned)
{
	if (frame[0] != expected_frame[0])
		finish("broken frame", "the back chain", frame[0], expected_frame[0]);
	for (int i = owned / 8; i < FRAME; i++)
		if (frame[i] != expected_frame[i])
			finish("broken frame", "the caller's frame", frame[i], expected_frame[i]);
}

void perform(const struct call *call)
{
	context->in.gpr[1] = (u64)frame;
	context->in.gpr[2] = call->r2;
	context->in.gpr[12] = call->r12;
	context->in.ctr = call->target;
	context->in.lr = call->site;
	for (int i = 0; i < 4; i++)
		context->observed[i] = image.fact[K_TOC];
	enter();
	if (context->out.lr != call->returns)
		finish("wrong return", "the call came back to", context->out.lr, call->returns);
	if (context->out.gpr[2] != call->r2)
		finish("wrong r2", "behind the call", context->out.gpr[2], call->r2);
	if (context->faults & FAULT_DATA)
		finish("wrong r2", "the replacement did not find its data", context->seen.gpr[2], 0);
	if (call->patch >= 0 && context->seen.gpr[2] != image.fact[PATCH_TOC + call->patch])
		finish("wrong r2", "in the replacement", context->seen.gpr[2], image.fact[PATCH_TOC + call->patch]);
	check_registers();
	check_frame(call->frame_owned);
	for (u64 i = 1; i < call->frame_owned / 8; i++)
		frame[i] = expected_frame[i];
	result = context->out.gpr[3];
}

void check_arguments(void)
{
	const struct registers *in = &context->in, *seen = &context->seen;

	for (int i = 3; i <= 11; i++)
		if (seen->gpr[i] != in->gpr[i])
			finish("lost argument", i == 11 ? "the static chain" : "a general register", seen->gpr[i],
			       in->gpr[i]);
	for (int i = 1; i <= 13; i++)
		if (seen->fpr[i] != in->fpr[i])
			finish("lost argument", "a floating-point register", seen->fpr[i], in->fpr[i]);
	for (int i = 2; i <= 13; i++)
		if (seen->vr[i][0] != in->vr[i][0] || seen->vr[i][1] != in->vr[i][1])
			finish("lost argument", "a vector register", seen->vr[i][0], in->vr[i][0]);
}

void check_result(u64 expected)
{
	if (context->faults & FAULT_ORIGINAL)
		finish("lost argument", "the original gave another result", result, expected);
	if (result != expected)
		finish("lost argument", "the result", result, expected);
}

void check_observed(int number, const char *where)
{
	if (context->observed[number] != image.fact[K_TOC])
		finish("wrong r2", where, context->observed[number], image.fact[K_TOC]);
}

/* What body_plain of patch_a.c makes of the registers that were sent */
u64 plain_result(void)
{
	u64 sum = context->in.gpr[3];

	for (int i = 4; i <= 10; i++)
		sum = mix(sum, context->in.gpr[i]);
	return sum;
}
