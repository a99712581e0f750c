/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A program that may read and write, and is ended for any other system call; asked with a word, one that is ended for
 * mmap alone; with two, one that is refused it.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int forbid_mmap(unsigned int answer)
{
	struct sock_filter steps[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, answer),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { sizeof(steps) / sizeof(steps[0]), steps };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
}

int main(int count, char **words)
{
	unsigned int answer = count > 2 ? SECCOMP_RET_ERRNO | EPERM : SECCOMP_RET_KILL_PROCESS;
	char byte;
	int ends[2];

	(void)words;
	if (pipe(ends) || (count > 1 ? forbid_mmap(answer) : prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT)))
		return 1;
	return read(ends[0], &byte, 1) != 1;
}
