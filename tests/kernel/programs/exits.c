// SPDX-License-Identifier: GPL-2.0-only
/* exits: processes that make others which exit at once, more than there are processors. */
#include <signal.h>
#include <unistd.h>

int main(void)
{
	signal(SIGCHLD, SIG_IGN);	/* a child that ends is released by itself and not by its parent */
	for (int process = 0; process < 8; process++)
		if (!fork())
			for (;;)
				if (!vfork())
					_exit(0);
	for (;;)
		pause();
}
