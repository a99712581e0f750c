/* SPDX-License-Identifier: GPL-2.0-only */
/* A program that may read and write, and is ended for any other system call. */
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(void)
{
	char byte;
	int ends[2];

	if (pipe(ends) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT))
		return 1;
	return read(ends[0], &byte, 1) != 1;
}
