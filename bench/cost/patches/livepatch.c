// SPDX-License-Identifier: GPL-2.0-only
/* The replacements as a module for upstream's livepatch. */
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/seq_file.h>

#include "replacements.h"

#define TEXT_OF(name) #name
#define ROW(function, replacement) { .old_name = TEXT_OF(function), .new_func = replacement },

static struct klp_func functions[] = { REPLACED(ROW) {} };
static struct klp_object objects[] = { { .funcs = functions }, {} };
static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objects };

static int __init start(void)
{
	return klp_enable_patch(&patch);
}

static void __exit stop(void)
{
}

module_init(start);
module_exit(stop);
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
