/* SPDX-License-Identifier: GPL-2.0-only */
/* The loop of a program that answers each line that it is asked in /tmp/ask, in /tmp/answer (user.py). */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static void answer_for_ever(void (*answer)(const char *line, FILE *out))
{
	char line[100];
	FILE *in, *out;

	mkfifo("/tmp/ask", 0600);
	for (;;) {
		in = fopen("/tmp/ask", "r");
		if (!in || !fgets(line, sizeof(line), in))
			continue;
		fclose(in);
		line[strcspn(line, "\n")] = 0;
		out = fopen("/tmp/answer.new", "w");
		answer(line, out);
		fclose(out);
		rename("/tmp/answer.new", "/tmp/answer");
	}
}
