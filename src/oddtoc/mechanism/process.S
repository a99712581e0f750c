/* SPDX-License-Identifier: GPL-2.0-only */
/* The templates for a process: r13 is the thread pointer, and the TOC pointer is a number. */
#include "matrix.h"
