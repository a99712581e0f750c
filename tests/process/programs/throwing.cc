/* SPDX-License-Identifier: GPL-2.0-only */
/* libthrowing.so.1: C++ functions that throw, catch, wait and look at their own stack, beneath and above `middle`. */
#include <unistd.h>
#include <unwind.h>

extern "C" {
int destroyed, wait_end = -1;
long bottom(long value), middle(long value), caller(long value), seen(void);
}

struct Guard {
	long *variable;

	explicit Guard(long *counted) : variable(counted) {}
	~Guard()
	{
		__asm__ volatile("");
		destroyed++;
	}
};

static long functions[3];

static _Unwind_Reason_Code look(struct _Unwind_Context *context, void *)
{
	void *const known[] = { (void *)middle, (void *)caller, (void *)seen };
	void *found = _Unwind_FindEnclosingFunction((void *)_Unwind_GetIP(context));

	for (int n = 0; n < 3; n++)
		functions[n] += found == known[n];
	return _URC_NO_REASON;
}

/* throws a number below 0; waits for a byte at 0; looks at its stack at 1 */
__attribute__((noinline)) long bottom(long value)
{
	char byte;

	if (value < 0)
		throw value;
	if (!value && read(wait_end, &byte, 1) != 1)
		return -1;
	if (value == 1)
		_Unwind_Backtrace(look, nullptr);
	return value;
}

__attribute__((noinline)) long middle(long value)
{
	return bottom(value) + 1;
}

/* calls through a pointer before and after, so that it keeps its TOC pointer on the stack */
__attribute__((noinline)) long caller(long value)
{
	long result, (*volatile pointer)(long) = bottom;
	destroyed = 0;
	Guard guard(&result);

	try {
		result = pointer(2);
		Guard another(&result);
		result += middle(value);
	} catch (long thrown) {
		result = 100 + thrown + pointer(3);
	}
	return result + pointer(4) + destroyed;
}

/* which of the callers of `bottom` are on its stack, seen from there, as digits: middle, caller, and this one */
__attribute__((noinline)) long seen(void)
{
	for (long &one : functions)
		one = 0;
	caller(1);
	return functions[0] * 100 + functions[1] * 10 + functions[2];
}
