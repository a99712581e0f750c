/* SPDX-License-Identifier: GPL-2.0-only */
/* The templates for a kernel: r13 is the PACA, which holds the TOC pointer and the running task. */
#define KERNEL
#include "matrix.h"
