/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A "kernel" of nothing but exits, each kind many times in a row, so that what one
 * costs the hypervisor can be told. Begins like a bzImage (Documentation/x86/boot.rst
 * of Linux) as far as the direct boot looks; entered in 64-bit mode.
 */
#include "tests/guest/exits_guest.h"

#define ROUNDS EXITS_GUEST_ROUNDS
#define SETUP_SECTORS 1
#define SECTOR 512

	.section .rodata
	.balign 4096
	.code64
	.global exits_guest_image, exits_guest_image_end
exits_guest_image:
	.org exits_guest_image + 0x1f1
	.byte SETUP_SECTORS
	.org exits_guest_image + 0x1f4
	.long (exits_guest_image_end - exits_guest_code) / 16	/* syssize, in paragraphs */
	.org exits_guest_image + 0x1fe
	.word 0xaa55
	.byte 0xeb, 0x66			/* jump; its distance tells where the header ends */
	.ascii "HdrS"
	.word 0x020f				/* protocol */
	.org exits_guest_image + 0x211
	.byte 1					/* loaded high */
	.org exits_guest_image + 0x22c
	.long 0x7fffffff			/* initrd anywhere */
	.long 0x200000				/* alignment */
	.byte 1, 21				/* relocatable, minimum alignment */
	.word 1					/* has a 64-bit entry */
	.long 2047				/* command line */
	.org exits_guest_image + 0x258
	.quad 0x1000000				/* where it wants to be */
	.long 0x100000				/* and how much there */

	.org exits_guest_image + (SETUP_SECTORS + 1) * SECTOR
exits_guest_code:
	.org exits_guest_code + 0x200		/* the 64-bit entry */
	/* One kind after the other, a HLT behind each: exits.c looks then, and sends us on. */
	.macro cpuid_features
	movl $1, %eax
	cpuid
	.endm

	.macro rounds instructions:vararg
	movl $ROUNDS, %ebp
1:	\instructions
	decl %ebp
	jnz 1b
	hlt
	.endm

	cli
	rounds cpuid_features
	rounds rdtsc
	rounds inb $0x61, %al			/* 8254: shows the time */
	rounds outb %al, $0x80			/* nothing */
	movl $0x3fd, %edx			/* COM1's line status */
	rounds inb %dx, %al
	rounds inb $0x21, %al			/* 8259's mask */
	movl $0x1b, %ecx			/* APIC base */
	rounds rdmsr
	movl $0xfe, %ecx			/* MTRR capability */
	rounds rdmsr
	movl $0xfee00030, %ebx			/* local APIC version */
	rounds movl (%rbx), %eax
	movl $EXITS_GUEST_DRIVER + 2, %ebx	/* one chain more is available ... */
	movl $EXITS_GUEST_PORT_BAR + 4, %edx	/* ... and the bell of queue 1 */
	.macro ring_bell
	incw (%rbx)
	outw %ax, %dx
	.endm
	rounds ring_bell
	movl $0x1b, %ecx
	movl $0xfee00c00, %eax			/* x2APIC */
	xorl %edx, %edx
	wrmsr
	movl $0x80b, %ecx			/* end of interrupt */
	xorl %eax, %eax
	rounds wrmsr
1:	hlt
	jmp 1b
	.balign 16
exits_guest_image_end:

	.section .note.GNU-stack, "", @progbits
