/* SPDX-License-Identifier: GPL-2.0-only */
/* Redis answers PING with another word, which is on the stack: memory is given back when nobody can have its address. */
#include <oddtoc.h>

struct client;
void addReplyStatus(struct client *client, const char *status);

static void my_ping(struct client *client)
{
	char word[8] = "PATCHED";

	addReplyStatus(client, word);
}

ODDTOC_REPLACE(redis-server, pingCommand, my_ping);
