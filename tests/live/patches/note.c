/* SPDX-License-Identifier: GPL-2.0-only */
/* What an interrupt that nothing can mask is to run: it notes where it came. It stands for a system call that nobody uses. */
#include <oddtoc.h>

struct pt_regs {		/* its beginning: arch/powerpc/include/uapi/asm/ptrace.h */
	unsigned long gpr[32], nip;
};

static volatile unsigned long place = 1;	/* all there is in the data of the payload */

static void note(struct pt_regs *registers)
{
	place = registers->nip;
}

ODDTOC_REPLACE(vmlinux, sys_vhangup, note);
