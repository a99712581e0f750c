// SPDX-License-Identifier: GPL-2.0-only
/* What a program without a C library needs of the kernel: words out, an image in, memory. */
#include "lab.h"

enum { EXIT_GROUP = 234, WRITE = 4, OPEN = 5, MMAP = 90, PREAD = 179, MPROTECT = 125 };
enum { PROT_READ = 1, PROT_WRITE = 2, PROT_EXEC = 4, MAP_PRIVATE = 2, MAP_FIXED = 16, MAP_ANONYMOUS = 32 };

#define PAGE 0x10000UL

struct image image;

void leave(int status)
{
	for (;;)
		system_call(EXIT_GROUP, status);
}

void say(const char *text)
{
	u64 length = 0;

	while (text[length])
		length++;
	system_call(WRITE, 1, text, length);
}

static void say_digits(u64 value, u64 base)
{
	char digits[24];
	int place = sizeof digits - 1;

	digits[place] = 0;
	do {
		digits[--place] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	say(digits + place);
}

void say_hex(u64 value)
{
	say("0x");
	say_digits(value, 16);
}

void say_number(u64 value)
{
	say_digits(value, 10);
}

int equal(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

static void demand(int good, const char *what)
{
	if (good)
		return;
	say("laboratory: ");
	say(what);
	say("\n");
	leave(3);
}

static u64 map(u64 address, u64 size, int flags)
{
	return system_call(MMAP, address, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
}

static void map_segment(long file, const struct segment *segment)
{
	u64 start = segment->address & ~(PAGE - 1);
	u64 size = ((segment->address + segment->size + PAGE - 1) & ~(PAGE - 1)) - start;

	demand(map(start, size, MAP_FIXED) == start, "no memory for a segment");
	demand(system_call(PREAD, file, segment->address, segment->size, segment->offset) == (long)segment->size,
	       "the image is cut off");
	if (segment->executable)
		demand(!system_call(MPROTECT, start, size, PROT_READ | PROT_EXEC), "no executable memory");
}

void load(const char *path)
{
	long file = system_call(OPEN, path, 0, 0);

	demand(file >= 0, "the image can't be opened");
	demand(system_call(PREAD, file, &image, sizeof image, 0) == sizeof image && image.magic == IMAGE_MAGIC,
	       "this is no image");
	for (u64 i = 0; i < image.segments; i++)
		map_segment(file, &image.segment[i]);
}

/* One page for the return states of a thread, and behind it one that can't be touched. */
void make_thread_stack(void)
{
	static u64 stack;

	if (!stack) {
		stack = map(0, 2 * PAGE, 0);
		system_call(MPROTECT, stack + PAGE, PAGE, 0);
	}
	context->thread_stack = (u64 *)(stack + PAGE - 4096);
}

/* gcc calls these two for assignments of structures; it must not find them in their own loops. */
#define LOOP __attribute__((optimize("no-tree-loop-distribute-patterns")))

LOOP void *memcpy(void *to, const void *from, u64 bytes)
{
	for (u64 i = 0; i < bytes / 8; i++)
		((u64 *)to)[i] = ((const u64 *)from)[i];
	return to;
}

LOOP void *memset(void *to, int value, u64 bytes)
{
	for (u64 i = 0; i < bytes; i++)
		((char *)to)[i] = value;
	return to;
}
