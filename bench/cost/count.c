/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A QEMU plugin that counts executed instructions, exactly, per vCPU, and logs the count at watched addresses.
 *
 *     -plugin count.so,out=FILE,watch=START[-END],watch=...,limit=EVENTS
 *
 * Addresses are hexadecimal; END is not included and is START + 4 where it is left out. Each time a vCPU is about to
 * execute a watched instruction, FILE gets a line "vCPU address count": decimal, hexadecimal, decimal. `count` is the
 * number of instructions that this vCPU has begun to execute before, so the difference of two lines of a vCPU is what
 * it executed from the first (included) up to the second (not included). An instruction that faults and is executed
 * again counts twice. After `limit` lines (a million if not given) nothing more is written.
 *
 * Debian ships no qemu-plugin.h: what is needed of version 1 of the interface (QEMU 4.2 to 9) is declared here.
 */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define NO_REGISTERS 0
#define MOST_CPUS 64
#define MOST_WATCHES 256

struct qemu_plugin_tb;
struct qemu_plugin_insn;
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*callback)(uint64_t id, struct qemu_plugin_tb *block));
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t index);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *instruction);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *instruction,
					    void (*callback)(unsigned int cpu, void *data), int flags, void *data);

EXPORT int qemu_plugin_version = 1;

/* One cache line each: a vCPU is a thread of QEMU and the only one that touches its counter. */
static struct { uint64_t count; } __attribute__((aligned(64))) executed[MOST_CPUS];
static struct { uint64_t start, end; } watches[MOST_WATCHES];
static int watch_count;
static atomic_long lines_left = 1000000;
static FILE *out;

static void count(unsigned int cpu, void *data)
{
	(void)data;
	executed[cpu % MOST_CPUS].count++;
}

static void count_and_log(unsigned int cpu, void *address)
{
	if (atomic_fetch_sub(&lines_left, 1) > 0)
		fprintf(out, "%u %" PRIxPTR " %" PRIu64 "\n", cpu, (uintptr_t)address,
			executed[cpu % MOST_CPUS].count);
	count(cpu, NULL);
}

static int is_watched(uint64_t address)
{
	for (int i = 0; i < watch_count; i++)
		if (address >= watches[i].start && address < watches[i].end)
			return 1;
	return 0;
}

static void translated(uint64_t id, struct qemu_plugin_tb *block)
{
	(void)id;
	for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++) {
		struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(block, i);
		uint64_t address = qemu_plugin_insn_vaddr(instruction);

		qemu_plugin_register_vcpu_insn_exec_cb(instruction, is_watched(address) ? count_and_log : count,
						       NO_REGISTERS, (void *)(uintptr_t)address);
	}
}

static int add_watch(const char *text)
{
	char *rest;
	uint64_t start = strtoull(text, &rest, 16);
	uint64_t end = *rest == '-' ? strtoull(rest + 1, &rest, 16) : start + 4;

	if (rest == text || *rest || start >= end || watch_count == MOST_WATCHES)
		return -1;
	watches[watch_count].start = start;
	watches[watch_count++].end = end;
	return 0;
}

EXPORT int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
	(void)info;
	for (int i = 0; i < argc; i++) {
		int understood = 1;

		if (!strncmp(argv[i], "out=", 4))
			out = fopen(argv[i] + 4, "w");
		else if (!strncmp(argv[i], "watch=", 6))
			understood = !add_watch(argv[i] + 6);
		else if (!strncmp(argv[i], "limit=", 6))
			lines_left = atol(argv[i] + 6);
		else
			understood = 0;
		if (!understood) {
			fprintf(stderr, "count: can't understand %s\n", argv[i]);
			return -1;
		}
	}
	if (!out) {
		fprintf(stderr, "count: out=FILE is missing or can't be written\n");
		return -1;
	}
	setvbuf(out, NULL, _IOLBF, 1 << 12);
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}
