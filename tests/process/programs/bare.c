/* SPDX-License-Identifier: GPL-2.0-only */
/* A program with an unwinder's library, and without the C library that the unwinder would ask. */
static volatile long visits;

__attribute__((noinline)) long visit(void (*what)(void))
{
	visits += !what;
	return 1;
}

void _start(void)
{
	register long call __asm__("r0");

	for (;;) {
		visit(0);
		call = 29; /* pause, arch/powerpc/kernel/syscalls/syscall.tbl */
		__asm__ volatile("sc" : "+r"(call)::"memory", "cr0", "ctr", "lr", "r3", "r4", "r5", "r6", "r7", "r8", "r9",
				 "r10", "r11", "r12");
	}
}
