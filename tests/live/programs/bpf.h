/* SPDX-License-Identifier: GPL-2.0-only */
/* What every program here needs that uses BPF. */
#ifndef BPF_H
#define BPF_H
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline long bpf(int command, union bpf_attr *attribute)
{
	return syscall(__NR_bpf, command, attribute, sizeof(*attribute));
}

/*
 * Machine code for every program from now on. Without it (the default of Debian's 6.1) an interpreter calls helpers through
 * pointers, at their global entries; machine code enters them at the local ones and does not reload r2.
 */
static inline void bpf_use_jit(void)
{
	int file = open("/proc/sys/net/core/bpf_jit_enable", O_WRONLY);

	if (file < 0 || write(file, "1", 1) != 1) {
		perror("bpf_jit_enable");
		exit(2);
	}
	close(file);
}

/* The file descriptor of a program; `attribute` has its type. Ends with the verifier's words if it is refused. */
static inline long bpf_load(union bpf_attr *attribute, const struct bpf_insn *program, unsigned int count)
{
	static char log[65536];

	bpf_use_jit();
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
