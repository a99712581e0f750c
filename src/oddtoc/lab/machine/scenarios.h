/* SPDX-License-Identifier: GPL-2.0-only */
/* The scenarios, and the functions of patched.s that they call. */
#ifndef SCENARIOS_H
#define SCENARIOS_H

#include "lab.h"

extern char plain[], bare[], many[], variadic[], structure[], floating[], vectors[], cr_saver[], relay[], recursive[];
extern char even[], first[], outer[], augmented[], closing[], traced[], tail[], tail_traced[], toc_saver[];
extern char interrupted_10[], interrupted_11[];

/* calls.c */
void local(void), global_pointer(void), global_object(void), no_toc_local(void), no_toc_object(void);
void stack_arguments(void), varargs(void), structures(void), floating_point(void), vector(void), static_chain(void);
void no_reload(void), far_caller(void), delta_within(void), delta_over(void), stale_r12(void), cr_doubleword(void);

/* chains.c */
void recursion(void), mutual_recursion(void), deep_recursion(void), sibling(void), sibling_near(void);
void sibling_patched(void), stacked(void), twice(void), original(void), saves_toc(void);
void return_replaced(void), return_replaced_object(void), return_replaced_sibling(void);
void long_jump(void), long_jump_saver(void);

/* windows.c */
void enabling(void), disabling(void), signal_storm(void), signal_everywhere(void);

#endif
