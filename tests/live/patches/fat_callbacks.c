// SPDX-License-Identifier: GPL-2.0-only
/* A module's patch with callbacks: each counts in the patch's own data, and one calls a function of the module. */
#include <oddtoc_callbacks.h>

struct dentry;
struct inode;
struct kstatfs {
	long type;
	long block_size;
	unsigned long blocks;
};
struct timespec64 {
	long seconds;
	long nanoseconds;
};

#ifndef SAYS
#define SAYS 0
#endif

int _printk(const char *format, ...);
void fat_time_fat2unix(void *info, struct timespec64 *found, unsigned short time, unsigned short date,
		       unsigned char hundredths);
int ODDTOC_ORIGINAL(fat_statfs)(struct dentry *, struct kstatfs *);

static unsigned long count;

static int my_statfs(struct dentry *dentry, struct kstatfs *found)
{
	int result = ODDTOC_ORIGINAL(fat_statfs)(dentry, found);

	found->blocks = 4700 + count;
	return result;
}
ODDTOC_REPLACE(fat.ko, fat_statfs, my_statfs);

static int before(void)
{
	char info[1024] = { 0 };
	struct timespec64 found;

	/* the second of January 1980, in time zone 0 */
	fat_time_fat2unix(info, &found, 0, 0x22, 0);
	_printk("callback: pre_patch %lu, %ld\n", ++count, found.seconds / 86400);
	return SAYS;
}
ODDTOC_CALLBACK(pre_patch, before);

static void after(void)
{
	_printk("callback: post_patch %lu\n", ++count);
}
ODDTOC_CALLBACK(post_patch, after);

static void before_revert(void)
{
	_printk("callback: pre_unpatch %lu\n", ++count);
}
ODDTOC_CALLBACK(pre_unpatch, before_revert);

static void after_revert(void)
{
	_printk("callback: post_unpatch %lu\n", ++count);
}
ODDTOC_CALLBACK(post_unpatch, after_revert);
