/* SPDX-License-Identifier: GPL-2.0-only */
/* An object that only calls; PREFIX names its sites. */
	.abiversion 2
	.include "registers.s"
	.include "sites.s"
	.text
	SITES	PREFIX
	AFTER
/* Makes ld give the object a TOC pointer of its own. */
	.section .toc, "aw"
	.p2align 3
	.quad	0
