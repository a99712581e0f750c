/* SPDX-License-Identifier: GPL-2.0-only */
/* libslow.so.1: being loaded and unloaded, it waits for a byte each, with the dynamic loader's lock held. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static void wait_for_byte(const char *state)
{
	char byte;
	int pipe;

	puts(state);
	fflush(stdout);
	pipe = open("/tmp/slow", O_RDONLY);
	if (read(pipe, &byte, 1) != 1)
		_exit(1);
	close(pipe);
}

__attribute__((constructor)) static void loaded(void)
{
	wait_for_byte("loading");
}

__attribute__((destructor)) static void unloaded(void)
{
	wait_for_byte("unloading");
}
