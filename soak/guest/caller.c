// SPDX-License-Identifier: GPL-2.0-only
/*
 * caller PROCESSES: calls the drivers (sched_yield on the kernel's TOC, munlockall on one of its own) and a BPF program that
 * checks bpf_ktime_get_ns, as fast as possible, the processes spread over the processors, until SIGTERM. Then it prints
 *
 *     patched calls of both drivers, their errors, patched calls from BPF, its errors
 */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "bpf.h"

#define PATCHED 0x0ddc0000000000LL	/* what replacements answer, plus their version */
#define CALLS 16			/* in one run of the BPF program */

struct totals {
	unsigned long patched, errors, bpf_patched, bpf_errors;
};

static volatile sig_atomic_t stopping;

static void stop(int number)
{
	(void)number;
	stopping = 1;
}

/* CALLS times: r7 += patched, r6 += neither patched nor a time; another helper in between needs the right r2. */
static int load(void)
{
	static struct bpf_insn program[16 * CALLS + 8];
	union bpf_attr attribute;
	struct bpf_insn *next = program;

#define EMIT(...) (*next++ = (struct bpf_insn){ __VA_ARGS__ })
	EMIT(.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 6, .imm = 0);
	EMIT(.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 7, .imm = 0);
	for (int call = 0; call < CALLS; call++) {
		EMIT(.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_ktime_get_ns);
		EMIT(.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 8, .src_reg = 0);
		EMIT(.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_get_smp_processor_id);
		EMIT(.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 1, .src_reg = 8);
		EMIT(.code = BPF_ALU64 | BPF_RSH | BPF_K, .dst_reg = 1, .imm = 3);
		EMIT(.code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = 2, .imm = (int)(PATCHED >> 3));
		EMIT(.imm = (int)(PATCHED >> 35));
		EMIT(.code = BPF_JMP | BPF_JNE | BPF_X, .dst_reg = 1, .src_reg = 2, .off = 2);
		EMIT(.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = 7, .imm = 1);
		EMIT(.code = BPF_JMP | BPF_JA, .off = 3);
		EMIT(.code = BPF_ALU64 | BPF_RSH | BPF_K, .dst_reg = 8, .imm = 44);	/* five hours */
		EMIT(.code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = 8, .imm = 0, .off = 1);
		EMIT(.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = 6, .imm = 1);
	}
	EMIT(.code = BPF_ALU64 | BPF_LSH | BPF_K, .dst_reg = 6, .imm = 16);
	EMIT(.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 0, .src_reg = 7);
	EMIT(.code = BPF_ALU64 | BPF_OR | BPF_X, .dst_reg = 0, .src_reg = 6);
	EMIT(.code = BPF_JMP | BPF_EXIT);
	memset(&attribute, 0, sizeof(attribute));
	attribute.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
	return bpf_load(&attribute, program, next - program);
}

static unsigned int run(int program)
{
	static char data[64];
	union bpf_attr attribute;

	memset(&attribute, 0, sizeof(attribute));
	attribute.test.prog_fd = program;
	attribute.test.data_in = (unsigned long)data;
	attribute.test.data_size_in = sizeof(data);
	attribute.test.repeat = 1;
	if (bpf(BPF_PROG_TEST_RUN, &attribute) < 0) {
		perror("BPF_PROG_TEST_RUN");
		exit(3);
	}
	return attribute.test.retval;
}

static void call(int program, int processor, struct totals *totals)
{
	cpu_set_t processors;

	CPU_ZERO(&processors);
	CPU_SET(processor, &processors);
	sched_setaffinity(0, sizeof(processors), &processors);
	while (!stopping) {
		for (int turn = 0; turn < 2; turn++) {
			unsigned long result = syscall(turn ? __NR_munlockall : __NR_sched_yield);

			totals->patched += result & 0xffffffff;
			totals->errors += result >> 32;
		}
		for (int turn = 0; turn < 64; turn++) {
			unsigned int result = run(program);

			totals->bpf_patched += result & 0xffff;
			totals->bpf_errors += result >> 16;
		}
	}
	exit(0);
}

int main(int count, char **arguments)
{
	int processes = count > 1 ? atoi(arguments[1]) : 1, program = load(), status, failed = 0;
	int processors = sysconf(_SC_NPROCESSORS_ONLN);
	struct totals sum = { 0 }, *each =
		mmap(0, processes * sizeof(*each), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	setpgid(0, 0);	/* SIGTERM for all of them is for nobody else */
	signal(SIGTERM, stop);
	for (int process = 0; process < processes; process++)
		if (!fork())
			call(program, process % processors, each + process);
	printf("calling\n");
	fflush(stdout);
	while (!stopping)
		pause();
	signal(SIGTERM, SIG_IGN);
	kill(0, SIGTERM);
	while (wait(&status) > 0)
		failed |= status;
	for (int process = 0; process < processes; process++) {
		sum.patched += each[process].patched;
		sum.errors += each[process].errors;
		sum.bpf_patched += each[process].bpf_patched;
		sum.bpf_errors += each[process].bpf_errors;
	}
	printf("%lu %lu %lu %lu\n", sum.patched, sum.errors, sum.bpf_patched, sum.bpf_errors);
	return failed != 0;
}
