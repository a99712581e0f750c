/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Part of every patch of a process: a replacement of its own, in the C library.
 *
 * Who unwinds a stack (an exception, pthread_cancel, backtrace) asks the C library where the unwind information for an
 * address is (glibc since 2.35, libgcc since 12). The replacement looks among the patches first: the code of all
 * patches is registered in `oddtoc_frames`, memory that all patches share (oddtoc.live.frames). Whichever patch is on
 * top answers for all of them. For everything else an answer is that for the object that the patch changes.
 */
#include <oddtoc.h>

/* glibc's manual, "Dynamic Linker Introspection"; on Power without dlfo_eh_dbase. More may follow. */
struct dl_find_object {
	unsigned long long dlfo_flags;
	void *dlfo_map_start, *dlfo_map_end;
	struct link_map *dlfo_link_map;
	void *dlfo_eh_frame;
};

int _dl_find_object(void *address, struct dl_find_object *found);

struct oddtoc_frames {
	unsigned long start, size;	/* the code of a patch */
	void *header;			/* its .eh_frame_hdr */
	void *object;			/* an address in what it changes */
};

extern struct oddtoc_frames oddtoc_frames[];
#define ODDTOC_FRAMES 32

typeof(_dl_find_object) ODDTOC_ORIGINAL(_dl_find_object);

static int oddtoc_find_object(void *address, struct dl_find_object *found)
{
	const struct oddtoc_frames *one;
	int result;

	for (one = oddtoc_frames; one < oddtoc_frames + ODDTOC_FRAMES; one++) {
		if ((unsigned long)address - one->start >= one->size)
			continue;
		result = oddtoc_original__dl_find_object(one->object, found);
		if (!result) {
			found->dlfo_map_start = (void *)one->start;
			found->dlfo_map_end = (void *)(one->start + one->size);
			found->dlfo_eh_frame = one->header;
		}
		return result;
	}
	return oddtoc_original__dl_find_object(address, found);
}

ODDTOC_REPLACE(libc.so.6, _dl_find_object, oddtoc_find_object);
