# Entry shapes that no compiler flag asks for, with what they should come to beside them.
	.abiversion 2

	.section .data
	.globl real_toc
real_toc:
	.quad .TOC.

	.text
	.balign 16
	.quad .TOC.-loaded			# far set-up: the doubleword before the entry holds the distance
	.globl loaded
	.type loaded, @function
loaded:
	ld 2, -8(12)
	add 2, 2, 12
	.localentry loaded, .-loaded
patch_loaded:
	nop
	nop
	blr
	.size loaded, .-loaded

	.balign 16
	.globl single
	.type single, @function
single:						# no TOC set-up
patch_single:
	nop
	nop
	blr
	.size single, .-single

	.balign 16
	.globl short
	.type short, @function
short:						# too short to reach the site of the next function
	addis 2, 12, .TOC.-short@ha
	addi 2, 2, .TOC.-short@l
	.localentry short, .-short
	b single
	.size short, .-short

	.type next, @function
next:
patch_next:
	nop
	nop
	blr
	.size next, .-next

	.globl wide
	.type wide, @function
wide:						# 16 bytes between the entries
	addis 2, 12, .TOC.-wide@ha
	addi 2, 2, .TOC.-wide@l
	nop
	nop
	.localentry wide, .-wide
	blr
	.size wide, .-wide

	.globl outer
	.type outer, @function
outer:						# holds another function, which has a second name without a size
	nop
	.type inner, @function
	.type alias, @function
alias:
inner:
	nop
	.size inner, .-inner
behind_inner:
	nop
	.size outer, .-outer

	.section __patchable_function_entries, "aw", @progbits
	.quad patch_loaded, patch_single, patch_next
	.section .note.GNU-stack, "", @progbits
