/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ways in: one short stub a vector, which makes the processor's frames alike
 * (an error code always there) and names the vector; then all registers, then C.
 * Layout of the frame: struct trap_frame in trap.h.
 */

#define VECTOR_COUNT 256
#define CODE_SELECTOR 0x08
#define DATA_SELECTOR 0x10
#define STUB_SIZE 16

/* Exceptions with an error code: APM 2, table 8-1. */
#define HAS_ERROR_CODE(vector) ((vector) == 8 || ((vector) >= 10 && (vector) <= 14) || (vector) == 17 || \
				(vector) == 21 || (vector) == 29 || (vector) == 30)

	.text
	.balign STUB_SIZE
	.global trap_stubs
trap_stubs:
	.set vector, 0
	.rept VECTOR_COUNT
	.balign STUB_SIZE
	.if HAS_ERROR_CODE(vector)
	.else
	pushq $0
	.endif
	pushq $vector
	jmp trap_entry
	.set vector, vector + 1
	.endr

	.balign 16
trap_entry:
	pushq %rax
	pushq %rbx
	pushq %rcx
	pushq %rdx
	pushq %rsi
	pushq %rdi
	pushq %rbp
	pushq %r8
	pushq %r9
	pushq %r10
	pushq %r11
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	cld
	movq %rsp, %rdi
	movq %rsp, %rbx
	andq $-16, %rsp
	movq 136(%rdi), %rax		/* rip; one more, as a backtrace takes one off a return address */
	incq %rax
	pushq %rax
	pushq %rbp
	movq %rsp, %rbp			/* as if the trapped code had called: backtraces go on in it */
	call trap_handle
	movq %rbx, %rsp
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %r11
	popq %r10
	popq %r9
	popq %r8
	popq %rbp
	popq %rdi
	popq %rsi
	popq %rdx
	popq %rcx
	popq %rbx
	popq %rax
	addq $16, %rsp			/* vector, error code */
	iretq

/* void trap_capture(struct trap_frame *frame); offsets as in trap.h */
	.global trap_capture
trap_capture:
	movq %r15, 0(%rdi)
	movq %r14, 8(%rdi)
	movq %r13, 16(%rdi)
	movq %r12, 24(%rdi)
	movq %r11, 32(%rdi)
	movq %r10, 40(%rdi)
	movq %r9, 48(%rdi)
	movq %r8, 56(%rdi)
	movq %rbp, 64(%rdi)
	movq %rdi, 72(%rdi)
	movq %rsi, 80(%rdi)
	movq %rdx, 88(%rdi)
	movq %rcx, 96(%rdi)
	movq %rbx, 104(%rdi)
	movq %rax, 112(%rdi)
	movq $0, 120(%rdi)		/* vector */
	movq $0, 128(%rdi)		/* error code */
	movq (%rsp), %rax
	movq %rax, 136(%rdi)		/* rip: our caller */
	movq %cs, %rax
	movq %rax, 144(%rdi)
	pushfq
	popq %rax
	movq %rax, 152(%rdi)
	leaq 8(%rsp), %rax
	movq %rax, 160(%rdi)		/* rsp as the caller has it */
	movq %ss, %rax
	movq %rax, 168(%rdi)
	ret

/* void trap_switch_stack(void *top, void (*function)(void)) */
	.global trap_switch_stack
trap_switch_stack:
	movq %rdi, %rsp
	xorl %ebp, %ebp
	call *%rsi
	ud2

/* void trap_load_tables(const void *gdt_pointer, const void *idt_pointer, uint16_t task_selector) */
	.global trap_load_tables
trap_load_tables:
	lgdt (%rdi)
	lidt (%rsi)
	movw $DATA_SELECTOR, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	ltr %dx
	popq %rax
	pushq $CODE_SELECTOR
	pushq %rax
	lretq

	.section .note.GNU-stack, "", @progbits
