/* A module's functions with types, inline functions and macros of the headers: the module's own ones, too. */
#include <linux/module.h>
#include <linux/fs.h>
#include <linux/seq_file.h>
#include <linux/statfs.h>
#include <linux/sched.h>
#include <linux/ctype.h>
#include <oddtoc_callbacks.h>
#include "fat.h"

static atomic_long_t asked;

int ODDTOC_ORIGINAL(fat_statfs)(struct dentry *dentry, struct kstatfs *buf);

static noinline long read_user(const char __user *from)
{
	char one;

	return get_user(one, from);
}

static int my_statfs(struct dentry *dentry, struct kstatfs *buf)
{
	struct msdos_sb_info *sbi = MSDOS_SB(dentry->d_sb);
	int error = ODDTOC_ORIGINAL(fat_statfs)(dentry, buf);

	WARN(!atomic_long_read(&asked), "asked for the first time\n");
	pr_info("by hand: %s of %s, %d bits, %lu clusters, fault %ld, counted %d\n", current->comm, THIS_MODULE->name,
		sbi->fat_bits, sbi->max_cluster, read_user((const char __user *)16), fat_count_free_clusters(dentry->d_sb));
	buf->f_blocks = 4700 + atomic_long_inc_return(&asked);
	return error;
}
ODDTOC_REPLACE(fat.ko, fat_statfs, my_statfs);

/* static in fs/fat/inode.c */
static int my_show_options(struct seq_file *m, struct dentry *root)
{
	seq_puts(m, ",by-hand");
	return 0;
}
ODDTOC_REPLACE(fat.ko, fat_show_options, my_show_options);

static int before(void)
{
	pr_info("by hand: before, %s is %s\n", THIS_MODULE->name, module_is_live(THIS_MODULE) ? "live" : "not live");
	return 0;
}
ODDTOC_CALLBACK(pre_patch, before);
