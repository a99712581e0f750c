/* Called once, by the module's init function. */
#include <oddtoc.h>

static int my_cache_init(void)
{
	return -12;
}

ODDTOC_REPLACE(fat.ko, fat_cache_init, my_cache_init);
