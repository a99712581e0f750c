/* SPDX-License-Identifier: GPL-2.0-only */
/* libslow.so.1: being loaded and unloaded, it waits for a byte each, with the dynamic loader's lock held. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static void wait_for_byte(const char *state)
{
	char byte;
	ssize_t got;
	int pipe;

	puts(state);
	fflush(stdout);
	do {
		pipe = open("/tmp/slow", O_RDONLY);
		got = read(pipe, &byte, 1);
		close(pipe);
		/* none from whoever wrote the byte before and had not closed the pipe yet */
	} while (!got);
	if (got != 1)
		_exit(1);
}

__attribute__((constructor)) static void loaded(void)
{
	wait_for_byte("loading");
}

__attribute__((destructor)) static void unloaded(void)
{
	wait_for_byte("unloading");
}
