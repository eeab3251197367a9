/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tracking.c: 32-bit, flat, without paging. Adds pseudo-random numbers (EAX) to
 * pseudo-random words of the 4 MiB behind the first 2 MiB, ECX times.
 */
	.section .rodata
	.global tracking_guest_start
	.global tracking_guest_end
	.code32
tracking_guest_start:
	imull $1664525, %eax, %eax
	addl $1013904223, %eax
	movl %eax, %ebx
	shrl $8, %ebx
	andl $0x3ffffc, %ebx
	addl %eax, 0x200000(%ebx)
	decl %ecx
	jnz tracking_guest_start
	vmmcall
tracking_guest_end:
	.code64

	.section .note.GNU-stack, "", @progbits
