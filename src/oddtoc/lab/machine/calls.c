// SPDX-License-Identifier: GPL-2.0-only
/* Scenarios of a single call: who calls, and what is passed. */
#include "scenarios.h"

void local(void)
{
	struct call call = from_k(plain);

	call.site = (u64)k_direct;
	call.returns = (u64)k_direct_back;
	prepare();
	perform(&call);
	check_arguments();
	check_result(plain_result());
}

static void one(struct call call)
{
	prepare();
	perform(&call);
	check_arguments();
	check_result(plain_result());
}

void global_pointer(void)
{
	one((struct call){ SITE(k_reload), image.fact[K_TOC], (u64)plain, (u64)plain, HEADER, 0 });
}

void global_object(void)
{
	one(from_m(plain));
}

void no_toc_local(void)
{
	struct call call = from_k(bare);

	call.target = (u64)bare;
	one(call);
}

void no_toc_object(void)
{
	one(from_m(bare));
}

void no_reload(void)
{
	struct call call = from_k(plain);

	call.target = call.r12 = (u64)plain;
	one(call);
}

void far_caller(void)
{
	one((struct call){ SITE(f_plain), image.fact[K_TOC], LOCAL(plain), LOCAL(plain), HEADER, 0 });
}

void delta_within(void)
{
	one((struct call){ SITE(edge_within), image.fact[K_TOC], LOCAL(plain), LOCAL(plain), HEADER, 0 });
}

void delta_over(void)
{
	one((struct call){ SITE(edge_over), image.fact[K_TOC], LOCAL(plain), LOCAL(plain), HEADER, 0 });
}

void stale_r12(void)
{
	struct call call = from_k(plain);

	call.r12 = (u64)plain;
	one(call);
}

void static_chain(void)
{
	struct call call = from_k(plain);

	prepare();
	context->in.gpr[11] = (u64)&call;
	perform(&call);
	check_arguments();
}

void cr_doubleword(void)
{
	one(from_k(cr_saver));
}

void stack_arguments(void)
{
	struct call calls[] = { from_k(many), from_m(many) };

	for (int i = 0; i < 2; i++) {
		u64 expected;

		calls[i].frame_owned = PARAMETERS(12);
		prepare();
		expected = plain_result();
		for (int n = 8; n < 12; n++) {
			put_parameter(n, context->in.gpr[n] + 1);
			expected = mix(expected, context->in.gpr[n] + 1);
		}
		perform(&calls[i]);
		check_arguments();
		check_result(expected);
	}
}

void varargs(void)
{
	struct call calls[] = { from_k(variadic), from_m(variadic) };

	for (int i = 0; i < 2; i++) {
		u64 expected = 11;

		calls[i].frame_owned = PARAMETERS(12);
		prepare();
		context->in.gpr[3] = 11;
		for (int n = 1; n < 8; n++)
			expected = mix(expected, context->in.gpr[3 + n]);
		for (int n = 8; n < 12; n++) {
			put_parameter(n, context->in.gpr[n] + 2);
			expected = mix(expected, context->in.gpr[n] + 2);
		}
		perform(&calls[i]);
		check_arguments();
		check_result(expected);
	}
}

void structures(void)
{
	static struct words returned;
	struct call calls[] = { from_k(structure), from_m(structure) };

	for (int i = 0; i < 2; i++) {
		calls[i].frame_owned = PARAMETERS(13);
		prepare();
		context->in.gpr[3] = (u64)&returned;
		for (int n = 8; n < 13; n++)
			put_parameter(n, context->in.gpr[14 + n] + 3);
		perform(&calls[i]);
		check_arguments();
		check_result((u64)&returned);
		for (int n = 0; n < 12; n++) {
			u64 sent = n < 7 ? context->in.gpr[4 + n] : context->in.gpr[15 + n] + 3;

			if (returned.word[11 - n] != sent)
				finish("lost argument", "a structure's member", returned.word[11 - n], sent);
		}
	}
}

union number {
	double value;
	u64 bits;
};

void floating_point(void)
{
	struct call calls[] = { from_k(floating), from_m(floating) };

	for (int i = 0; i < 2; i++) {
		union number sums[2] = { { 0 }, { 0 } };

		calls[i].frame_owned = PARAMETERS(13);
		prepare();
		for (int n = 1; n <= 13; n++) {
			union number sent = { (double)(context->in.gpr[n % 8 + 3] & 0xffffff) };

			context->in.fpr[n] = sent.bits;
			sums[n > 7].value += sent.value;
		}
		perform(&calls[i]);
		check_arguments();
		for (int n = 0; n < 2; n++)
			if (context->out.fpr[1 + n] != sums[n].bits)
				finish("lost argument", "a floating-point result", context->out.fpr[1 + n],
				       sums[n].bits);
	}
}

void vector(void)
{
	struct call calls[] = { from_k(vectors), from_m(vectors) };

	for (int i = 0; i < 2; i++) {
		union { vector_t all; u64 halves[2]; } expected;
		vector_t *v = (vector_t *)context->in.vr;

		calls[i].frame_owned = PARAMETERS(24);
		prepare();
		expected.all = (v[2] ^ (v[3] + v[4])) + (v[5] ^ (v[6] + v[7])) + (v[8] ^ (v[9] + v[10])) +
			       (v[11] ^ (v[12] + v[13]));
		perform(&calls[i]);
		check_arguments();
		for (int n = 0; n < 2; n++)
			if (context->out.vr[2][n] != expected.halves[n])
				finish("lost argument", "a vector result", context->out.vr[2][n], expected.halves[n]);
	}
}
