/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The step counter's three tiny guests: 32-bit, flat, no paging, copied to
 * ICOUNT_GUEST_CODE. The third does what could be miscounted or be disturbed by the
 * end of a slice: REP strings, software interrupts, faults with a handler, IRET,
 * STI and MOV SS shadows, taken and not taken branches.
 */
#include "kernel/icount_guest.h"

#define AT(label) (ICOUNT_GUEST_CODE + (label) - icount_guest_start)

#define VECTOR_UNDEFINED 6
#define VECTOR_SOFTWARE 0x30
#define IDT_COUNT 0x31
#define ROUNDS 60

	.section .rodata
	.balign 16
	.code32
	.global icount_guest_start, icount_guest_exit, icount_guest_loop, icount_guest_test, icount_guest_end
icount_guest_start:

icount_guest_exit:
	vmmcall

icount_guest_loop:
	incl %ecx
	jmp icount_guest_loop

icount_guest_test:
	lgdtl AT(gdt_pointer)
	/* Two gates of the IDT, in the data area. */
	movl $ICOUNT_GUEST_DATA + VECTOR_UNDEFINED * 8, %edi
	movl $AT(undefined_handler), %eax
	call write_gate
	movl $ICOUNT_GUEST_DATA + VECTOR_SOFTWARE * 8, %edi
	movl $AT(software_handler), %eax
	call write_gate
	lidtl AT(idt_pointer)
	cld
	movl $ROUNDS, %ebp
	movl $0x12345678, %eax

next_round:
	/* REP of every small count, forwards and backwards, 0 too. */
	movl $ICOUNT_GUEST_DATA + 0x1000, %esi
	movl $ICOUNT_GUEST_DATA + 0x2000, %edi
	leal -1(%ebp), %ecx
	rep movsb
	movl $ICOUNT_GUEST_DATA + 0x1000, %edi
	movl %ebp, %ecx
	rep stosl
	std
	movl $ICOUNT_GUEST_DATA + 0x3000, %edi
	movl $7, %ecx
	rep stosw
	cld
	movl $ICOUNT_GUEST_DATA + 0x1000, %edi
	movl $50, %ecx
	repne scasb
	int $VECTOR_SOFTWARE
	ud2
	sti
	nop
	cli
	movw %ss, %dx
	movw %dx, %ss
	nop
	pushl %ss
	popl %ss
	movw %dx, %ss			/* a row of shadows: only the first one counts */
	sti
	movw %dx, %ss
	cli
	movl $20, %ecx
1:	imull $1103515245, %eax, %eax
	addl $12345, %eax
	testl $0x10000, %eax
	jz 2f
	xorl %ecx, ICOUNT_GUEST_DATA + 0x800
2:	loop 1b
	pushfl
	popl %edx
	pushal
	popal
	decl %ebp
	jnz next_round
	vmmcall

undefined_handler:
	addl $2, (%esp)			/* behind UD2 */
	incl ICOUNT_GUEST_DATA + 0x804
	iretl

software_handler:
	addl %esp, ICOUNT_GUEST_DATA + 0x808
	iretl

write_gate:	/* EAX: handler, EDI: gate */
	movw %ax, (%edi)
	movw $ICOUNT_GUEST_CODE_SELECTOR, 2(%edi)
	movw $0x8e00, 4(%edi)		/* present, 32-bit interrupt gate */
	shrl $16, %eax
	movw %ax, 6(%edi)
	ret

	.balign 8
gdt:
	.quad 0
	.quad 0x00cf9b000000ffff	/* code */
	.quad 0x00cf93000000ffff	/* data */
gdt_pointer:
	.word gdt_pointer - gdt - 1
	.long AT(gdt)
idt_pointer:
	.word IDT_COUNT * 8 - 1
	.long ICOUNT_GUEST_DATA
icount_guest_end:

	.section .note.GNU-stack, "", @progbits
