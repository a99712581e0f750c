/* SPDX-License-Identifier: GPL-2.0-only */
/* What every program here needs that uses BPF. */
#ifndef BPF_H
#define BPF_H
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline long bpf(int command, union bpf_attr *attribute)
{
	return syscall(__NR_bpf, command, attribute, sizeof(*attribute));
}

/* The file descriptor of a program; `attribute` has its type. Ends with the verifier's words if it is refused. */
static inline long bpf_load(union bpf_attr *attribute, const struct bpf_insn *program, unsigned int count)
{
	static char log[65536];

	attribute->insn_cnt = count;
	attribute->insns = (unsigned long)program;
	attribute->license = (unsigned long)"GPL";
	attribute->log_buf = (unsigned long)log;
	attribute->log_size = sizeof(log);
	attribute->log_level = 1;
	long loaded = bpf(BPF_PROG_LOAD, attribute);
	if (loaded < 0) {
		perror(log);
		exit(2);
	}
	return loaded;
}

#endif
