/* SPDX-License-Identifier: GPL-2.0-only */
#include <oddtoc.h>

long long sqlite3_last_insert_rowid(void *base);
typeof(sqlite3_last_insert_rowid) ODDTOC_ORIGINAL(sqlite3_last_insert_rowid);

static long long more = 1000;

static long long my_row(void *base)
{
	return ODDTOC_ORIGINAL(sqlite3_last_insert_rowid)(base) + more;
}

ODDTOC_REPLACE(libsqlite3.so.0, sqlite3_last_insert_rowid, my_row);
