# SPDX-License-Identifier: GPL-2.0-only
# Callers 2 GiB below the patched object's TOC pointer, to the byte: linked so that edge_over_back is there. The
# distance r2 - LR is 0x80000000 at the first and does not fit 32 bits, 0x7ffffff8 at the second and does.
	.abiversion 2
	.include "registers.s"
	.include "sites.s"
	.text
	.globl	edge_over, edge_over_back, edge_within, edge_within_back
edge_over:
	bctrl
edge_over_back:
	b	after
edge_within:
	bctrl
edge_within_back:
	b	after
	AFTER
