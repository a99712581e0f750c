/* Called from inside of the module by fat_statfs, for the first statfs of a file system. */
#include <oddtoc.h>

struct super_block;

void msleep(unsigned int milliseconds);
int ODDTOC_ORIGINAL(fat_count_free_clusters)(struct super_block *);

static int my_count(struct super_block *block)
{
	msleep(3000);
	return ODDTOC_ORIGINAL(fat_count_free_clusters)(block);
}

ODDTOC_REPLACE(fat.ko, fat_count_free_clusters, my_count);
