// SPDX-License-Identifier: GPL-2.0-only
/* The patch of most scenarios: one replacement for every patched function of patched.s but three. */
#include <stdarg.h>
#include "replacement.h"

u64 call_recursive(u64 depth), call_even(u64 depth), call_second(u64 value), call_again(u64 depth);
u64 odd(u64 depth), catcher(u64 value), saving_catcher(u64 value);
u64 ODDTOC_ORIGINAL(augmented)(u64 value);

BODY u64 body_plain(u64 a, u64 b, u64 c, u64 d, u64 e, u64 f, u64 g, u64 h)
{
	begin();
	return end(mix(mix(mix(mix(mix(mix(mix(a, b), c), d), e), f), g), h));
}
REPLACE(plain);
REPLACE_BY(bare, plain);
REPLACE_BY(target, plain);
REPLACE_BY(relayed, plain);
REPLACE_BY(traced, plain);
REPLACE_BY(closing, plain);

BODY u64 body_many(u64 a, u64 b, u64 c, u64 d, u64 e, u64 f, u64 g, u64 h, u64 i, u64 j, u64 k, u64 l)
{
	begin();
	return end(mix(mix(mix(mix(mix(mix(mix(mix(mix(mix(mix(a, b), c), d), e), f), g), h), i), j), k), l));
}
REPLACE(many);

BODY u64 body_variadic(u64 count, ...)
{
	va_list list;
	u64 sum = count;

	begin();
	va_start(list, count);
	for (u64 i = 0; i < count; i++)
		sum = mix(sum, va_arg(list, u64));
	va_end(list);
	return end(sum);
}
REPLACE(variadic);

BODY struct words body_structure(struct words given)
{
	struct words turned;

	begin();
	for (int i = 0; i < 12; i++)
		turned.word[i] = given.word[11 - i];
	return turned;
}
REPLACE(structure);

BODY double _Complex body_floating(double a, double b, double c, double d, double e, double f, double g, double h,
				   double i, double j, double k, double l, double m)
{
	double _Complex result;

	begin();
	__real__ result = a + b + c + d + e + f + g;
	__imag__ result = h + i + j + k + l + m;
	SCRAMBLE(MORE, "r3", "fr0", "fr13", "v0", "v2", "v19");
	return result;
}
REPLACE(floating);

BODY vector_t body_vectors(vector_t a, vector_t b, vector_t c, vector_t d, vector_t e, vector_t f, vector_t g,
			   vector_t h, vector_t i, vector_t j, vector_t k, vector_t l)
{
	vector_t result = (a ^ (b + c)) + (d ^ (e + f)) + (g ^ (h + i)) + (j ^ (k + l));

	begin();
	SCRAMBLE(MORE, "r3", "fr0", "fr1", "fr13", "v0", "v13", "v19");
	return result;
}
REPLACE(vectors);

/* Saves CR with a 64-bit store, as old compilers did: the reserved word behind the CR save word goes. */
__asm__(".text\nbody_cr_saver:\n mfcr 0\n ori 0,0,1\n sldi 12,0,32\n or 0,0,12\n std 0,8(1)\n b body_plain");
REPLACE(cr_saver);

/* Ends in a sibling call that leaves the patch: the return address is still the helper's. */
__asm__(".text\nbody_relay:\n addis 12,2,passer@toc@ha\n addi 12,12,passer@toc@l\n mtctr 12\n bctr");
REPLACE(relay);

BODY u64 body_recursive(u64 depth)
{
	begin();
	return end(depth ? call_recursive(depth - 1) + 1 : 0);
}
REPLACE(recursive);

BODY u64 body_even(u64 depth)
{
	begin();
	return end(depth ? odd(depth - 1) + 1 : 0);
}
REPLACE(even);

BODY u64 body_odd(u64 depth)
{
	begin();
	return end(depth ? call_even(depth - 1) + 1 : 0);
}
REPLACE(odd);

BODY u64 body_first(u64 value)
{
	begin();
	return end(call_second(value) + 1);
}
REPLACE(first);

BODY u64 body_again(u64 value)
{
	begin();
	return end(value ? call_again(value - 1) + 1000 : 0);
}
REPLACE(again);

BODY u64 body_outer(u64 value)
{
	begin();
	return end((value & 1 ? saving_catcher(value) : catcher(value)) + 5);
}
REPLACE(outer);

/* Leaves by a longjmp: out of this call, into the function that made it. */
__asm__(".text\nbody_jumper:\n"
	" ld 0,JUMP+16(13)\n mtcr 0\n"
	" ld 0,JUMP+24(13)\n mtctr 0\n"
	" EACH 14, 31, LOAD_GPR, JUMP+32-8*14\n"
	" ld 1,JUMP(13)\n ld 2,JUMP+8(13)\n li 3,70\n bctr");
REPLACE(jumper);

BODY u64 body_augmented(u64 value)
{
	u64 result;

	begin();
	result = ODDTOC_ORIGINAL(augmented)(value);
	if (result != value + 1000)
		context->faults |= FAULT_ORIGINAL;
	begin();
	return end(result * 2);
}
REPLACE(augmented);

#define INTERRUPTED(n) REPLACE_BY(interrupted_##n, plain)
#define TEN(t) INTERRUPTED(t##0); INTERRUPTED(t##1); INTERRUPTED(t##2); INTERRUPTED(t##3); INTERRUPTED(t##4); \
	INTERRUPTED(t##5); INTERRUPTED(t##6); INTERRUPTED(t##7); INTERRUPTED(t##8); INTERRUPTED(t##9)
TEN(1); TEN(2); TEN(3); TEN(4); TEN(5); TEN(6);
