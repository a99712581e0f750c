/* A module's functions: one that the kernel calls by pointer, one that another module calls, one called from inside. */
#include <oddtoc.h>

struct dentry;
struct super_block;
struct msdos_dir_entry;
struct msdos_sb_info;
struct inode;
struct timespec64 {
	long seconds;
	long nanoseconds;
};
struct kstatfs {
	long type;
	long block_size;
	unsigned long blocks;
};

int _printk(const char *format, ...);
int ODDTOC_ORIGINAL(fat_statfs)(struct dentry *, struct kstatfs *);
struct inode *ODDTOC_ORIGINAL(fat_build_inode)(struct super_block *, struct msdos_dir_entry *, long);

static int my_statfs(struct dentry *dentry, struct kstatfs *found)
{
	int result = ODDTOC_ORIGINAL(fat_statfs)(dentry, found);

	found->blocks = 4711;
	return result;
}

static struct inode *my_build_inode(struct super_block *block, struct msdos_dir_entry *entry, long place)
{
	static int count;

	_printk("built by %s: %d\n", "the patch", ++count);
	return ODDTOC_ORIGINAL(fat_build_inode)(block, entry, place);
}

static void my_time(struct msdos_sb_info *info, struct timespec64 *found, unsigned short time, unsigned short date,
		    unsigned char hundredths)
{
	found->seconds = 1000000000;
	found->nanoseconds = 0;
}

ODDTOC_REPLACE(fat.ko, fat_statfs, my_statfs);
ODDTOC_REPLACE(fat.ko, fat_build_inode, my_build_inode);
ODDTOC_REPLACE(fat.ko, fat_time_fat2unix, my_time);
