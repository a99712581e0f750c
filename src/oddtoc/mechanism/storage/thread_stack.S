/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A stack of return states that belongs to the thread; it grows upwards, and its pointer stands behind the newest
 * entry. In a kernel the pointer is found from the running task (thread_info.livepatch_sp where CONFIG_LIVEPATCH
 * reserves it), in a process from the thread pointer.
 */

/* Take room: r12 becomes the pointer, already moved by `size` bytes. r0 (and, in a kernel, XER's carry) is used. */
.macro RESERVE size
#ifdef KERNEL
	ld	r12,oddtoc_current(r13)
	ld	r0,oddtoc_thread_stack(r12)
	addic	r0,r0,\size		/* addi can't: r0 there is the number 0 */
	std	r0,oddtoc_thread_stack(r12)
	mr	r12,r0
#else
	ld	r12,oddtoc_thread_stack(r13)
	addi	r12,r12,\size
	std	r12,oddtoc_thread_stack(r13)
#endif
.endm

/* r2 becomes the pointer. r12 is used in a kernel. */
.macro TOP
#ifdef KERNEL
	ld	r12,oddtoc_current(r13)
	ld	r2,oddtoc_thread_stack(r12)
#else
	ld	r2,oddtoc_thread_stack(r13)
#endif
.endm

/* Give `size` bytes back: r2, which was the pointer, and the pointer itself. r12 is used in a kernel. */
.macro RELEASE size
	addi	r2,r2,-\size
#ifdef KERNEL
	ld	r12,oddtoc_current(r13)
	std	r2,oddtoc_thread_stack(r12)
#else
	std	r2,oddtoc_thread_stack(r13)
#endif
.endm
