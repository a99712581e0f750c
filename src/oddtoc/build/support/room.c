/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * room.c: has the kernel give memory near its modules, for the payloads of patches of modules.
 *
 * Part of every such patch, as an object of its own in the section .oddtoc.room. oddtoc runs its callback the first
 * time that a module is patched, and when what was given before is too far from a module. The layout of the memory is
 * that of src/oddtoc/kernel/arena.py.
 */
#include <oddtoc_callbacks.h>

#define CODE_SIZE (256 << 10)
#define DATA_SIZE (64 << 10)
#define MAGIC "oddtoc-arena\n\0\0\1"
#define ENOMEM 12

struct arena {
	char magic[16];
	struct arena *next;
};

/* in the room that all patches share; oddtoc has put the kernel's page size there */
extern struct {
	struct arena *first;
	unsigned long page_size;
} oddtoc_arenas;

/* one or the other is there: memory for the code of modules (Linux 6.10 on, and before) */
void *execmem_alloc(int type, unsigned long size) __attribute__((weak));
void *module_alloc(unsigned long size) __attribute__((weak));
#define EXECMEM_MODULE_TEXT 0

/* arch/powerpc/mm/pageattr.c */
int change_memory_attr(unsigned long address, int pages, long action);
#define SET_MEMORY_RO 0
#define SET_MEMORY_X 3

void *memset(void *to, int value, unsigned long size);
void *memcpy(void *to, const void *from, unsigned long size);

static void *allocate(unsigned long size)
{
	void *(*by_type)(int, unsigned long) = execmem_alloc;
	void *(*plain)(unsigned long) = module_alloc;

	/* what is not there can't be called directly */
	__asm__("" : "+r"(by_type), "+r"(plain));
	return by_type ? by_type(EXECMEM_MODULE_TEXT, size) : plain ? plain(size) : 0;
}

static int make_room(void)
{
	struct arena *arena = allocate(CODE_SIZE + DATA_SIZE);
	int pages = CODE_SIZE / oddtoc_arenas.page_size;
	int error;

	if (!arena)
		return -ENOMEM;
	memset(arena, 0, CODE_SIZE + DATA_SIZE);
	memcpy(arena->magic, MAGIC, sizeof(arena->magic));
	arena->next = oddtoc_arenas.first;
	error = change_memory_attr((unsigned long)arena, pages, SET_MEMORY_RO);
	if (!error)
		error = change_memory_attr((unsigned long)arena, pages, SET_MEMORY_X);
	/* what can't be used is not given back either: nobody knows in which state it is */
	if (!error)
		oddtoc_arenas.first = arena;
	return error;
}

ODDTOC_CALLBACK(pre_patch, make_room);
