/* getcpu(2) with a good address and with two bad ones: what came of each. */
#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
	unsigned cpu = 0;
	long good = syscall(SYS_getcpu, &cpu, 0, 0);
	long bad = syscall(SYS_getcpu, 8, 0, 0), why = errno;
	long kernel = syscall(SYS_getcpu, 0xc000000000000000, 0, 0);

	printf("%ld %u %ld %ld %ld %d\n", good, cpu, bad, why, kernel, errno);
	return 0;
}
