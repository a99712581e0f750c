// SPDX-License-Identifier: GPL-2.0-only
/* The replacements as a patch for oddtoc. */
#include <oddtoc.h>

struct seq_file;
void seq_printf(struct seq_file *file, const char *format, ...);
int seq_write(struct seq_file *file, const void *data, unsigned long length);

#include "replacements.h"

#define REPLACE(function, replacement) ODDTOC_REPLACE(vmlinux, function, replacement);
REPLACED(REPLACE)
