// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs a BPF program that calls bpf_ktime_get_ns and then bpf_get_smp_processor_id, REPEAT times, and prints the low
 * 32 bits of the first call's result. JIT code enters helpers at the local entry, by bctrl, and does not reload r2: a
 * wrong TOC pointer after the first call breaks the second.
 */
#include <string.h>
#include "bpf.h"

int main(int count, char **arguments)
{
	struct bpf_insn program[] = {
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_ktime_get_ns },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_6, .src_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_get_smp_processor_id },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_0, .src_reg = BPF_REG_6 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	static char data[64];
	union bpf_attr attribute;

	memset(&attribute, 0, sizeof(attribute));
	attribute.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
	long loaded = bpf_load(&attribute, program, sizeof(program) / sizeof(program[0]));
	memset(&attribute, 0, sizeof(attribute));
	attribute.test.prog_fd = loaded;
	attribute.test.data_in = (unsigned long)data;
	attribute.test.data_size_in = sizeof(data);
	attribute.test.repeat = count > 1 ? atoi(arguments[1]) : 1;
	if (bpf(BPF_PROG_TEST_RUN, &attribute) < 0) {
		perror("BPF_PROG_TEST_RUN");
		return 3;
	}
	printf("%08x\n", attribute.test.retval);
	return 0;
}
