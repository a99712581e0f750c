/* SPDX-License-Identifier: GPL-2.0-only */
/* What a patcher that called into the process would call itself. mmap fails from now on. */
#define _GNU_SOURCE
#include <link.h>
#include <oddtoc.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

typeof(malloc) ODDTOC_ORIGINAL(malloc);
typeof(free) ODDTOC_ORIGINAL(free);
typeof(pthread_mutex_lock) ODDTOC_ORIGINAL(pthread_mutex_lock);
typeof(dl_iterate_phdr) ODDTOC_ORIGINAL(dl_iterate_phdr);

static unsigned long calls;

static void *my_malloc(size_t size)
{
	calls++;
	return ODDTOC_ORIGINAL(malloc)(size);
}

static void my_free(void *memory)
{
	calls++;
	ODDTOC_ORIGINAL(free)(memory);
}

static int my_lock(pthread_mutex_t *mutex)
{
	calls++;
	return ODDTOC_ORIGINAL(pthread_mutex_lock)(mutex);
}

static int my_iterate(int (*callback)(struct dl_phdr_info *, size_t, void *), void *data)
{
	calls++;
	return ODDTOC_ORIGINAL(dl_iterate_phdr)(callback, data);
}

static void *my_mmap(void *address, size_t size, int protection, int flags, int file, off_t offset)
{
	calls++;
	return MAP_FAILED;
}

ODDTOC_REPLACE(libc.so.6, malloc, my_malloc);
ODDTOC_REPLACE(libc.so.6, free, my_free);
ODDTOC_REPLACE(libc.so.6, pthread_mutex_lock, my_lock);
ODDTOC_REPLACE(libc.so.6, dl_iterate_phdr, my_iterate);
ODDTOC_REPLACE(libc.so.6, mmap, my_mmap);
