/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Part of every patch that has a __bug_table or an __ex_table.
 *
 * The kernel looks for what to do about a trap or a fault in its own tables and in those of its modules. These two
 * replacements look into the patches first: the tables of all patches are registered in `oddtoc_tables`, memory that
 * all patches share (oddtoc.live.tables). Whichever patch is on top answers for all of them.
 *
 * Layouts: include/asm-generic/bug.h and include/asm-generic/extable.h, relative forms.
 */
#include <oddtoc.h>

struct bug_entry {
	int address;
	int file;
	unsigned short line;
	unsigned short flags;
};

struct exception_table_entry {
	int address;
	int fixup;
};

struct oddtoc_tables {
	unsigned long start, end;			/* the code of a patch */
	struct exception_table_entry *faults, *faults_end;
	struct bug_entry *bugs, *bugs_end;
};

extern struct oddtoc_tables oddtoc_tables[];
#define ODDTOC_TABLES 64

struct bug_entry *find_bug(unsigned long address);
const struct exception_table_entry *search_module_extables(unsigned long address);
typeof(find_bug) ODDTOC_ORIGINAL(find_bug);
typeof(search_module_extables) ODDTOC_ORIGINAL(search_module_extables);

static struct oddtoc_tables *tables_for(unsigned long address)
{
	int i;

	for (i = 0; i < ODDTOC_TABLES; i++)
		if (address >= oddtoc_tables[i].start && address < oddtoc_tables[i].end)
			return &oddtoc_tables[i];
	return 0;
}

static struct bug_entry *oddtoc_find_bug(unsigned long address)
{
	struct oddtoc_tables *tables = tables_for(address);
	struct bug_entry *entry;

	if (tables)
		for (entry = tables->bugs; entry < tables->bugs_end; entry++)
			if ((unsigned long)&entry->address + entry->address == address)
				return entry;
	return oddtoc_original_find_bug(address);
}

static const struct exception_table_entry *oddtoc_search_extables(unsigned long address)
{
	struct oddtoc_tables *tables = tables_for(address);
	struct exception_table_entry *entry;

	if (tables)
		for (entry = tables->faults; entry < tables->faults_end; entry++)
			if ((unsigned long)&entry->address + entry->address == address)
				return entry;
	return oddtoc_original_search_module_extables(address);
}

ODDTOC_REPLACE(vmlinux, find_bug, oddtoc_find_bug);
ODDTOC_REPLACE(vmlinux, search_module_extables, oddtoc_search_extables);
