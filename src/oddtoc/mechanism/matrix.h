/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * All templates of one flavour: detection x storage, each with its variant for a function without TOC set-up.
 *
 *   DETECT_x           tells who restores r2; calls whose caller does go on at 2
 *   SAVE_y             puts the return state away for all others
 *   bl oddtoc_new      LR becomes the return helper's address: it stands right here
 *   RETURN_y           the return helper, the first instruction of which is ld r2,24(r1) everywhere
 */
#include "trampoline.h"
#include "detection/always.S"
#include "detection/heuristic.S"
#include "detection/odd_toc.S"
#include "detection/return_site.S"
#include "detection/guarded.S"
#include "storage/thread_stack.S"
#include "storage/frame.S"
#include "storage/cr4.S"
#include "storage/slot.S"
#include "storage/lr_stack.S"
#include "storage/livepatch_stack.S"
#include "original.h"

.macro MARKED name, detection, storage
	TRAMPOLINE \name
	DETECT_\detection
	SAVE_\storage 2b
	ENTER_PAYLOAD_TOC
	bl	oddtoc_new
	RETURN_\storage
.endm

.macro UNMARKED name, detection, storage
	TRAMPOLINE \name\().unmarked
	DETECT_\detection\()_unmarked
	SAVE_\storage\()_unmarked 2f
	OBJECT_TOC r2
	ENTER_PAYLOAD_TOC
	bl	oddtoc_new
	RETURN_\storage
2:	GO_ON_unmarked
.endm

.macro MECHANISM name, detection, storage
	MARKED \name, \detection, \storage
	UNMARKED \name, \detection, \storage
.endm

	MECHANISM heuristic/frame, heuristic, frame
	MECHANISM heuristic/cr4, heuristic, cr4
	MECHANISM heuristic/slot, heuristic, slot
	MECHANISM heuristic/lr-stack, heuristic, lr_stack
	MECHANISM heuristic/livepatch-stack, heuristic, livepatch_stack
	MECHANISM odd-toc/frame, odd_toc, frame
	MECHANISM odd-toc/cr4, odd_toc, cr4
	MARKED odd-toc/slot, odd_toc, slot
	MECHANISM odd-toc/lr-stack, odd_toc, lr_stack
	MECHANISM odd-toc/livepatch-stack, odd_toc, livepatch_stack
	MECHANISM return-site/frame, return_site, frame
	MECHANISM return-site/cr4, return_site, cr4
	MECHANISM return-site/slot, return_site, slot
	MECHANISM return-site/lr-stack, return_site, lr_stack
	MECHANISM return-site/livepatch-stack, return_site, livepatch_stack
	MECHANISM guarded/frame, guarded, frame
	MECHANISM guarded/cr4, guarded, cr4
	MECHANISM guarded/slot, guarded, slot
	MECHANISM guarded/lr-stack, guarded, lr_stack
	MECHANISM guarded/livepatch-stack, guarded, livepatch_stack
	MECHANISM always/frame, always, frame
	MECHANISM always/lr-stack, always, lr_stack
	MECHANISM always/livepatch-stack, always, livepatch_stack

/*
 * shared-toc: the payload is linked against the patched object's own TOC pointer, so r2 never changes and the site
 * branches straight to the replacement. Only a function without TOC set-up needs a step in between: its r2 is the
 * caller's, and a caller in another object, which restores it behind the call, has left its own there.
 */
TRAMPOLINE shared-toc.unmarked
	OBJECT_TOC r2
	b	oddtoc_new
