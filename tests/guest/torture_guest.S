/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The torture guest: whatever could make two runs of one guest differ, as densely as
 * possible. R15 is a running hash that everything seen goes into; RBP counts rounds.
 * Interrupt handlers mix in where they interrupted, RCX included, so a delivery one
 * instruction or one REP iteration off shows in memory and stays there.
 */
#include "tests/guest/torture.h"

#define AT(label) (TORTURE_CODE + (label) - torture_guest_start)
#define PTE(address) (TORTURE_PT + ((address) >> 12) * 8)
#define DATA_MASK 0x3ffff

	.section .rodata
	.balign 4096
	.code64
	.global torture_guest_start, torture_guest_end, torture_guest_debug, torture_guest_breakpoint
	.global torture_guest_undefined, torture_guest_page_fault, torture_guest_software, torture_guest_external

	.macro mix register
	xorq \register, %r15
	rolq $13, %r15
	leaq (%r15, %r15, 4), %r15
	incq %r15
	.endm

torture_guest_start:
next_round:
	/* Take four data pages away, chosen by the hash. */
	movl $4, %ecx
1:	mix %rcx
	movl %r15d, %eax
	andl $TORTURE_DATA_PAGES - 1, %eax
	andb $0xfe, PTE(TORTURE_DATA)(, %rax, 8)
	shll $12, %eax
	addl $TORTURE_DATA, %eax
	invlpg (%rax)
	loop 1b

	/* REP over them, up and down, interrupts on every other round. */
	testl $1, %ebp
	jz 1f
	sti
1:	movl %r15d, %esi
	andl $0xffff, %esi
	addl $TORTURE_DATA, %esi
	movl %r15d, %edi
	shrl $16, %edi
	addl $TORTURE_DATA + 0x10000, %edi
	movl $3000, %ecx
	rep movsb
	mix %rsi
	movl $700, %ecx
	movq %r15, %rax
	rep stosq
	std
	movl $900, %ecx
	rep movsw
	cld
	movl $TORTURE_DATA + 0x30000, %edi
	movl $300, %ecx
	repne scasb
	mix %rcx
	movl $TORTURE_DATA + 0x31000, %esi
	movl $TORTURE_DATA + 0x32000, %edi
	movl $200, %ecx
	repe cmpsb
	mix %rcx
	movl $0, %ecx
	rep stosb
	cli

	/* Code that changes code: the instruction right behind, and a function. */
	movl %r15d, AT(patched_function) + 1
	call patched_function
	mix %rax
	movb %r15b, AT(patched_next) + 1
patched_next:
	movb $0, %al
	mix %rax

	/* An instruction across two pages, the second one missing. */
	andb $0xfe, PTE(TORTURE_CROSSING)
	invlpg TORTURE_CROSSING
	movl $AT(crossing_function), %eax
	call *%rax
	mix %rax

	/* Shadows, one after another and in rows; now and then with an interrupt waiting. */
	movw %ss, %dx
	outb %al, $0x80
	sti
	nop
	movw %dx, %ss
	movl $1, %eax
	movw %dx, %ss
	movw %dx, %ss
	incl %eax
	cli
	sti
	movw %dx, %ss
	cli
	sti
	cli
	pushfq
	orl $0x200, (%rsp)
	popfq				/* IF without a shadow */
	cli
	mix %rax

	/* Exits, whose answers go into the hash. */
	movl %ebp, %eax
	movl $7, %ecx
	cpuid
	mix %rax
	mix %rbx
	rdtsc
	mix %rax
	movl $TORTURE_PORT, %edx
	inl %dx, %eax
	mix %rax
	sti
	outb %al, %dx
	mix %rax
	movl $TORTURE_MSR, %ecx
	rdmsr
	mix %rdx
	rdtscp
	mix %rax
	movl $TORTURE_DEVICE, %ebx
	movl (%rbx), %eax		/* two bytes: the test knows */
	mix %rax
	sti
	outl %eax, $0x80
	cli

	/* Faults and software interrupts. */
	int $TORTURE_VECTOR_SOFTWARE
	ud2
	int3
	pushfq
	orl $0x100, (%rsp)
	popfq				/* one step with TF */
	nop
	mix %rbp

	decq %rbp
	jnz next_round
	vmmcall

patched_function:
	movl $0, %eax
	ret

torture_guest_page_fault:
	pushq %rax
	movq %cr2, %rax
	mix %rax
	shrl $12, %eax
	orb $1, TORTURE_PT(, %rax, 8)
	movq %cr2, %rax
	invlpg (%rax)
	incl TORTURE_COUNTERS + 0
	popq %rax
	addq $8, %rsp			/* error code */
	iretq

torture_guest_undefined:
	addq $2, (%rsp)
	incl TORTURE_COUNTERS + 4
	iretq

torture_guest_debug:
	andl $~0x100, 16(%rsp)
	mix (%rsp)
	incl TORTURE_COUNTERS + 8
	iretq

torture_guest_breakpoint:
torture_guest_software:
	mix (%rsp)
	incl TORTURE_COUNTERS + 12
	iretq

torture_guest_external:
	mix (%rsp)
	mix %rcx
	incl TORTURE_COUNTERS + 16
	addq %r15, TORTURE_COUNTERS + 24
	iretq

	.org TORTURE_CROSSING - TORTURE_CODE - 3
crossing_function:
	movl $0x12345678, %eax		/* five bytes, two of them on the next page */
	nop
	ret
torture_guest_end:

	.section .note.GNU-stack, "", @progbits
