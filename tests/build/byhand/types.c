/* Types of one kernel, of its own type information. */
#include "vmlinux.h"
#include <oddtoc.h>

void seq_printf(struct seq_file *file, const char *format, ...);
register struct paca_struct *paca __asm__("r13");

static int my_cmdline_proc_show(struct seq_file *file, void *data)
{
	struct task_struct *leader = paca->__current->group_leader;

	seq_printf(file, "comm=%s pid=%d nice=%d threads=%d\n", leader->comm, leader->pid,
		   leader->static_prio - 120, leader->signal->nr_threads);
	return 0;
}

ODDTOC_REPLACE(vmlinux, cmdline_proc_show, my_cmdline_proc_show);
