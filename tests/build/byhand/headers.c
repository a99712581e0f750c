/* Types, inline functions and macros of one kernel's own headers, also of the replaced function's folder; a fault in user space, a warning, a static key. */
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/uaccess.h>
#include <linux/jump_label.h>
#include <oddtoc.h>
#include "internal.h"

extern struct static_key_false sched_schedstats;
static unsigned long shown;

static noinline long read_user(const char __user *from)
{
	char one;

	return get_user(one, from);
}

static int my_cmdline_proc_show(struct seq_file *file, void *data)
{
	struct task_struct *leader = current->group_leader;

	seq_printf(file, "comm=%s pid=%d nice=%d threads=%d thread=%d shown=%lu fault=%ld keyed=%d name=%d\n", leader->comm,
		   task_pid_nr(leader), task_nice(leader), get_nr_threads(leader), !!(leader->flags & PF_KTHREAD), ++shown,
		   read_user((const char __user *)16), static_branch_unlikely(&sched_schedstats) ? 1 : 0,
		   PDE(file_inode(file->file))->namelen);
	WARN(shown == 1, "shown for the first time\n");
	return 0;
}

ODDTOC_REPLACE(vmlinux, cmdline_proc_show, my_cmdline_proc_show);
