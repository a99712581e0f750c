/* Called once, by the module's init function. */
#include <oddtoc.h>

int _printk(const char *format, ...);
int ODDTOC_ORIGINAL(fat_cache_init)(void);

static int my_cache_init(void)
{
	_printk("%s\n", "fat begins in the patch");
	return ODDTOC_ORIGINAL(fat_cache_init)();
}

ODDTOC_REPLACE(fat.ko, fat_cache_init, my_cache_init);
