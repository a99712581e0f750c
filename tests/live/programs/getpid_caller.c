// SPDX-License-Identifier: GPL-2.0-only
/* Calls getpid as fast as it can until /tmp/enough exists; prints how many answers were old, new and wrong. */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
	long pid = syscall(SYS_getpid), old = 0, new = 0, wrong = 0;

	while (access("/tmp/enough", F_OK))
		for (int i = 0; i < 1000; i++) {
			long answer = syscall(SYS_getpid);

			old += answer == pid;
			new += answer == pid + 1000000;
			wrong += answer != pid && answer != pid + 1000000;
		}
	printf("%ld %ld %ld\n", old, new, wrong);
	return 0;
}
