/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entry of the image. Two ways in:
 *
 *   start32  Multiboot 1 or 2 (GRUB on BIOS, QEMU -kernel, iPXE on BIOS): 32-bit
 *            protected mode, no paging, EAX = magic, EBX = physical address of
 *            the loader's information. Builds page tables, enters 64-bit mode,
 *            turns the information into a struct boot_info (multiboot.c).
 *   start64  Our own UEFI loader: see include/kernel_header.h.
 *
 * Both end in kernel_main(const struct boot_info *) on the boot stack.
 *
 * Multiboot loaders put the image at KERNEL_PHYSICAL_DEFAULT, so 32-bit code
 * reaches a symbol at PHYSICAL(symbol).
 */
#include "include/memory_layout.h"

#define PHYSICAL(symbol) ((symbol) - KERNEL_VIRTUAL_BASE + KERNEL_PHYSICAL_DEFAULT)

#define MULTIBOOT1_MAGIC 0x1badb002
#define MULTIBOOT1_FLAGS 0x00000003 /* modules on page boundaries, memory map */
#define MULTIBOOT2_MAGIC 0xe85250d6

#define CR0_PE	  0x00000001
#define CR0_WP	  0x00010000
#define CR0_PG	  0x80000000
#define CR4_PAE	  0x00000020
#define MSR_EFER  0xc0000080
#define EFER_LME  0x00000100
#define EFER_NXE  0x00000800
#define CPUID_EXTENDED		0x80000001
#define CPUID_EDX_LONG_MODE	29
#define CPUID_EDX_NX		20

#define TEXT_SCREEN	  0xb8000 /* 16-bit cells: character, colour */
#define TEXT_SCREEN_WHITE 0x0f

#define PAGE_PRESENT 0x001
#define PAGE_WRITE   0x002
#define PAGE_LARGE   0x080

#define CODE64_SELECTOR 0x08
#define DATA_SELECTOR	0x10

	.section .header, "ax"
	.balign 8
kernel_header:
	.quad 0x4e52454b454b4f59 /* KERNEL_HEADER_MAGIC */
	.quad 1			 /* BOOT_INFO_VERSION */
	.quad start64
	.quad kernel_memory_size

	.balign 8
multiboot1_header:
	.long MULTIBOOT1_MAGIC
	.long MULTIBOOT1_FLAGS
	.long -(MULTIBOOT1_MAGIC + MULTIBOOT1_FLAGS)

	.balign 8
multiboot2_header:
	.long MULTIBOOT2_MAGIC
	.long 0 /* i386 protected mode */
	.long multiboot2_header_end - multiboot2_header
	.long -(MULTIBOOT2_MAGIC + 0 + (multiboot2_header_end - multiboot2_header))
	/* Tag 6: modules on page boundaries. */
	.balign 8
	.word 6, 0
	.long 8
	/* Tag 0: end. */
	.balign 8
	.word 0, 0
	.long 8
multiboot2_header_end:

	.section .boot, "ax"
	.code32
	.global start32
start32:
	cli
	cld
	movl %eax, %ebp			/* loader's magic */
	rdtsc
	movl %eax, PHYSICAL(start_tsc)
	movl %edx, PHYSICAL(start_tsc) + 4
	movl %ebx, PHYSICAL(start_information)
	movl $PHYSICAL(boot_stack_top), %esp

	/* Long mode and no-execute pages are there on every CPU that has SVM or VMX. */
	movl $0x80000000, %eax
	cpuid
	cmpl $CPUID_EXTENDED, %eax
	jb refuse_no_long_mode
	movl $CPUID_EXTENDED, %eax
	cpuid
	btl $CPUID_EDX_LONG_MODE, %edx
	jnc refuse_no_long_mode
	btl $CPUID_EDX_NX, %edx
	jnc refuse_no_nx

	/*
	 * Page tables until paging.c builds the real ones: RAM below 4 GiB in 2 MiB
	 * pages, seen at 0 (while we run here) and at DIRECT_MAP_BASE; the image's
	 * first GiB at KERNEL_VIRTUAL_BASE, moved down by KERNEL_PHYSICAL_DEFAULT.
	 */
	movl $PHYSICAL(boot_pml4), %edi
	movl $PHYSICAL(boot_pdpt) + PAGE_PRESENT + PAGE_WRITE, %eax
	movl %eax, (%edi)			/* entry 0 */
	movl %eax, 256 * 8(%edi)		/* DIRECT_MAP_BASE */
	movl $PHYSICAL(boot_pdpt_image) + PAGE_PRESENT + PAGE_WRITE, %eax
	movl %eax, 511 * 8(%edi)		/* KERNEL_VIRTUAL_BASE ... */
	movl $PHYSICAL(boot_pd_image) + PAGE_PRESENT + PAGE_WRITE, %eax
	movl %eax, PHYSICAL(boot_pdpt_image) + 510 * 8

	movl $PHYSICAL(boot_pdpt), %edi
	movl $PHYSICAL(boot_pd) + PAGE_PRESENT + PAGE_WRITE, %eax
	movl $4, %ecx
1:	movl %eax, (%edi)
	addl $4096, %eax
	addl $8, %edi
	loop 1b

	movl $PHYSICAL(boot_pd), %edi
	movl $PAGE_PRESENT + PAGE_WRITE + PAGE_LARGE, %eax
	movl $4 * 512, %ecx
2:	movl %eax, (%edi)
	addl $0x200000, %eax
	addl $8, %edi
	loop 2b

	movl $PHYSICAL(boot_pd_image), %edi
	movl $KERNEL_PHYSICAL_DEFAULT + PAGE_PRESENT + PAGE_WRITE + PAGE_LARGE, %eax
	movl $32, %ecx				/* 64 MiB: far more than the image */
3:	movl %eax, (%edi)
	addl $0x200000, %eax
	addl $8, %edi
	loop 3b

	movl %cr4, %eax
	orl $CR4_PAE, %eax
	movl %eax, %cr4
	movl $PHYSICAL(boot_pml4), %eax
	movl %eax, %cr3
	movl $MSR_EFER, %ecx
	rdmsr
	orl $EFER_LME + EFER_NXE, %eax
	wrmsr
	movl %cr0, %eax
	orl $CR0_PG + CR0_WP + CR0_PE, %eax
	movl %eax, %cr0
	lgdtl PHYSICAL(boot_gdt_pointer)
	ljmpl $CODE64_SELECTOR, $PHYSICAL(start64_low)

refuse_no_long_mode:
	movl $PHYSICAL(text_no_long_mode), %esi
	jmp refuse
refuse_no_nx:
	movl $PHYSICAL(text_no_nx), %esi
refuse:	/* Says why on COM1, bounded waits, and on the text screen, and stops: no C runs on this CPU. */
	movl $TEXT_SCREEN, %edi
0:	movb (%esi), %bl
	testb %bl, %bl
	jz 3f
	movb %bl, (%edi)
	movb $TEXT_SCREEN_WHITE, 1(%edi)
	addl $2, %edi
	movl $100000, %ecx
1:	movw $0x3fd, %dx
	inb %dx, %al
	testb $0x20, %al
	jnz 2f
	loop 1b
2:	movw $0x3f8, %dx
	movb %bl, %al
	outb %al, %dx
	incl %esi
	jmp 0b
3:	hlt
	jmp 3b

	.code64
start64_low:
	movabsq $start64_multiboot, %rax
	jmp *%rax

	.text
start64_multiboot:
	movw $DATA_SELECTOR, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	xorl %eax, %eax
	movw %ax, %fs
	movw %ax, %gs
	movq $boot_stack_top, %rsp
	movl %ebp, %edi
	movl start_information(%rip), %esi
	movq start_tsc(%rip), %rdx
	xorl %ebp, %ebp			/* end of the backtrace */
	call multiboot_boot_info
	movq %rax, %rdi
	call kernel_main
1:	hlt
	jmp 1b

	.global start64
start64:
	cli
	cld
	movq $boot_stack_top, %rsp
	lgdt boot_gdt_pointer64(%rip)
	pushq $CODE64_SELECTOR
	leaq 1f(%rip), %rax
	pushq %rax
	lretq
1:	movw $DATA_SELECTOR, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	xorl %eax, %eax
	movw %ax, %fs
	movw %ax, %gs
	movabsq $DIRECT_MAP_BASE, %rax
	addq %rax, %rdi
	xorl %ebp, %ebp
	call kernel_main
2:	hlt
	jmp 2b

	.section .rodata
	.balign 8
boot_gdt:
	.quad 0
	.quad 0x00af9b000000ffff /* 64-bit code */
	.quad 0x00cf93000000ffff /* data */
boot_gdt_end:
boot_gdt_pointer:
	.word boot_gdt_end - boot_gdt - 1
	.long PHYSICAL(boot_gdt)
	.balign 8
boot_gdt_pointer64:
	.word boot_gdt_end - boot_gdt - 1
	.quad boot_gdt

text_no_long_mode:
	.asciz "yoke: refused: this CPU has no long mode\r\n"
text_no_nx:
	.asciz "yoke: refused: this CPU has no no-execute pages\r\n"

	.data
	.balign 8
start_tsc:
	.quad 0
start_information:
	.long 0

	.bss
	.balign 4096
boot_pml4:	 .skip 4096
boot_pdpt:	 .skip 4096
boot_pd:	 .skip 4 * 4096
boot_pdpt_image: .skip 4096
boot_pd_image:	 .skip 4096
boot_stack:	 .skip 16384
	.global boot_stack_top
boot_stack_top:

	.section .note.GNU-stack, "", @progbits
