/* SPDX-License-Identifier: GPL-2.0-only */
/* Redis answers PING with another word. */
#include <oddtoc.h>

struct client;
void addReplyStatus(struct client *client, const char *status);

static void my_ping(struct client *client)
{
	addReplyStatus(client, "PATCHED");
}

ODDTOC_REPLACE(redis-server, pingCommand, my_ping);
