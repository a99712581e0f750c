// SPDX-License-Identifier: GPL-2.0-only
/* A process with six threads that wait for ever. */
#include <pthread.h>
#include <unistd.h>

static void *wait_for_ever(void *unused)
{
	for (;;)
		pause();
	return unused;
}

int main(void)
{
	pthread_t threads[5];

	for (int i = 0; i < 5; i++)
		if (pthread_create(&threads[i], NULL, wait_for_ever, NULL))
			return 1;
	wait_for_ever(NULL);
	return 0;
}
