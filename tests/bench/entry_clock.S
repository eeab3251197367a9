/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A "kernel" that prints what the TSC shows when the firmware enters it, in hex at COM1,
 * and ends QEMU by isa-debug-exit. Begins like a bzImage (Documentation/x86/boot.rst of
 * Linux) as far as QEMU's -kernel looks; nothing but its 16-bit setup code ever runs.
 *	gcc -c, ld -Ttext 0 --oformat binary
 */
#define SETUP_SECTORS 1
#define SECTOR 512
#define COM1 0x3f8
#define COM1_STATUS (COM1 + 5)
#define TRANSMITTER_EMPTY 0x20
#define DEBUG_EXIT 0xf4

	.code16
	.globl _start
_start:
	.org 0x1f1
	.byte SETUP_SECTORS
	.org 0x1f4
	.long 1				/* size of the 32-bit part, in paragraphs */
	.org 0x1fe
	.word 0xaa55
	jmp setup			/* entered here; its distance tells where the header ends */
	.ascii "HdrS"
	.word 0x0206			/* protocol */
	.org 0x211
	.byte 1				/* loaded high */
	.org 0x22c
	.long 0x37ffffff		/* initrd anywhere */
	.org 0x268
setup:
	rdtsc
	movl %eax, %ebx
	movl %edx, %eax
	call print_hex
	movl %ebx, %eax
	call print_hex
	movb $'\n', %al
	call print
	movw $DEBUG_EXIT, %dx
	xorl %eax, %eax
	outl %eax, %dx
1:	hlt
	jmp 1b

print_hex:				/* EAX, eight digits */
	movl %eax, %esi
	movw $8, %di
1:	roll $4, %esi
	movw %si, %ax
	andb $15, %al
	addb $'0', %al
	cmpb $'9', %al
	jbe 2f
	addb $'a' - '9' - 1, %al
2:	call print
	decw %di
	jnz 1b
	ret

print:					/* AL */
	movb %al, %cl
	movw $COM1_STATUS, %dx
1:	inb %dx, %al
	testb $TRANSMITTER_EMPTY, %al
	jz 1b
	movb %cl, %al
	movw $COM1, %dx
	outb %al, %dx
	ret

	.org (SETUP_SECTORS + 1) * SECTOR + 16
	.section .note.GNU-stack, "", @progbits
