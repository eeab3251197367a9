/* SPDX-License-Identifier: Apache-2.0 */
/*
 * svm_run, `run` in RSI: into the guest and back. APM 2, 15.5 and 15.17. Leaves no
 * register but RBP and RSP as it was: svm.c calls it with all of them declared lost,
 * so that they are saved once, by the function around.
 *
 * The path from the timer's write and from the first RDTSC to VMRUN, and from the
 * exit to the second RDTSC, is straight: kernel/icount.c measures its length once
 * and takes it off. RAX, RSP, RIP, RFLAGS travel in the VMCB. FPU, DR0..DR3 and XCR0
 * are the guest's all the time: the hypervisor does not touch them.
 *
 * GIF is off from before STI until the host's own state is back, so an interrupt
 * finds us only inside the guest (an exit) or at STGI, with IF off: in the C code
 * that takes it deliberately.
 */
#define RUN_GPR		  0		/* uint64_t *: VCPU_RAX ... */
#define RUN_VMCB	  8		/* physical */
#define RUN_HOST_VMCB	  16		/* physical */
#define RUN_TIMER	  24		/* volatile uint32_t *: the local APIC's initial count */
#define RUN_TIMER_COUNT	  32		/* 0: leave the timer as it is */
#define RUN_TSC_ENTRY	  40
#define RUN_TSC_EXIT	  48

	.text
	.global svm_run
svm_run:
	pushq %rbp
	pushq %rsi

	movq RUN_TIMER(%rsi), %rdi
	movl RUN_TIMER_COUNT(%rsi), %ecx
	clgi
	testl %ecx, %ecx
	jz 1f
	movl %ecx, (%rdi)
1:	rdtsc
	movl %eax, RUN_TSC_ENTRY(%rsi)
	movl %edx, RUN_TSC_ENTRY + 4(%rsi)
	sti				/* physical interrupts leave the guest; V_INTR_MASKING */
	movq RUN_VMCB(%rsi), %rax
	movq RUN_GPR(%rsi), %rdi
	movq 1 * 8(%rdi), %rcx
	movq 2 * 8(%rdi), %rdx
	movq 3 * 8(%rdi), %rbx
	movq 5 * 8(%rdi), %rbp
	movq 6 * 8(%rdi), %rsi
	movq 8 * 8(%rdi), %r8
	movq 9 * 8(%rdi), %r9
	movq 10 * 8(%rdi), %r10
	movq 11 * 8(%rdi), %r11
	movq 12 * 8(%rdi), %r12
	movq 13 * 8(%rdi), %r13
	movq 14 * 8(%rdi), %r14
	movq 15 * 8(%rdi), %r15
	movq 7 * 8(%rdi), %rdi
	vmload %rax
	vmrun %rax
	vmsave %rax			/* RAX and RSP are ours again, the rest is the guest's */

	pushq %rdi
	movq 8(%rsp), %rdi		/* run */
	movq RUN_GPR(%rdi), %rdi
	movq %rcx, 1 * 8(%rdi)
	movq %rdx, 2 * 8(%rdi)
	movq %rbx, 3 * 8(%rdi)
	movq %rbp, 5 * 8(%rdi)
	movq %rsi, 6 * 8(%rdi)
	movq %r8, 8 * 8(%rdi)
	movq %r9, 9 * 8(%rdi)
	movq %r10, 10 * 8(%rdi)
	movq %r11, 11 * 8(%rdi)
	movq %r12, 12 * 8(%rdi)
	movq %r13, 13 * 8(%rdi)
	movq %r14, 14 * 8(%rdi)
	movq %r15, 15 * 8(%rdi)
	popq %rax
	movq %rax, 7 * 8(%rdi)
	popq %rsi			/* run */
	rdtsc
	movl %eax, RUN_TSC_EXIT(%rsi)
	movl %edx, RUN_TSC_EXIT + 4(%rsi)
	movq RUN_HOST_VMCB(%rsi), %rax
	vmload %rax			/* FS, GS, TR, LDTR, SYSCALL MSRs: before any trap may come */
	cli
	stgi
	cld
	popq %rbp
	ret

	.section .note.GNU-stack, "", @progbits
