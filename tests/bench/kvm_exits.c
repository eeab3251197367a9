/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In a Linux host with KVM: what exits of a virtual machine cost there, in TSC ticks, which
 * under QEMU's icount are instructions. The guest is one loop in real mode around one
 * instruction; a loop around none is taken off. Interrupt controller and 8254 are the
 * kernel's; a port that nobody knows goes to this program, as to any user of KVM.
 * Documentation/virt/kvm/api.rst of Linux.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <x86intrin.h>

#define ROUNDS 1000
#define MEMORY_SIZE 0x10000
#define CODE 0x1000
#define END_PORT 0x10

/* What the loop is around; SI counts. */
static const struct body {
	const char *what; /* as in tests/guest/exits.c; NULL: the loop alone */
	uint8_t size;
	uint8_t bytes[8];
} bodies[] = {
	{ NULL, 1, { 0x90 } },					/* nop */
	{ "CPUID", 8, { 0x66, 0xb8, 1, 0, 0, 0, 0x0f, 0xa2 } }, /* movl $1, %eax; cpuid */
	{ "IN of the 8254, with the time", 2, { 0xe4, 0x61 } }, /* inb $0x61, %al */
	{ "OUT to nothing", 2, { 0xe6, 0x80 } },		/* outb %al, $0x80 */
	{ "IN of the 8259's mask", 2, { 0xe4, 0x21 } },		/* inb $0x21, %al */
	{ "RDMSR of the APIC base",
	  8,
	  { 0x66, 0xb9, 0x1b, 0, 0, 0, 0x0f, 0x32 } }, /* movl $0x1b, %ecx; rdmsr */
};

static struct kvm_run *run;
static uint8_t *memory;
static int vcpu;

static int call(int file, unsigned long request, const void *argument)
{
	int result = ioctl(file, request, argument);

	if (result < 0) {
		perror("ioctl");
		exit(1);
	}
	return result;
}

static void make_machine(void)
{
	int kvm = open("/dev/kvm", O_RDWR);
	int machine = call(kvm, KVM_CREATE_VM, NULL);
	struct kvm_userspace_memory_region region = { .memory_size = MEMORY_SIZE };
	struct kvm_pit_config pit = { 0 };

	memory = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	region.userspace_addr = (uintptr_t)memory;
	call(machine, KVM_SET_TSS_ADDR, (void *)0xfffbd000);
	call(machine, KVM_SET_USER_MEMORY_REGION, &region);
	call(machine, KVM_CREATE_IRQCHIP, NULL);
	call(machine, KVM_CREATE_PIT2, &pit);
	vcpu = call(machine, KVM_CREATE_VCPU, NULL);
	run = mmap(NULL, (size_t)call(kvm, KVM_GET_VCPU_MMAP_SIZE, NULL), PROT_READ | PROT_WRITE, MAP_SHARED,
		   vcpu, 0);
}

static void load(const struct body *body)
{
	struct kvm_regs registers = { .rip = CODE, .rflags = 2 };
	struct kvm_sregs segments;
	uint8_t *at = memory + CODE;

	*at++ = 0xbe; /* mov $ROUNDS, %si */
	*at++ = ROUNDS & 0xff;
	*at++ = ROUNDS >> 8;
	memcpy(at, body->bytes, body->size);
	at += body->size;
	*at++ = 0x4e; /* dec %si */
	*at++ = 0x75; /* jnz to the body */
	*at++ = (uint8_t)(-3 - body->size);
	*at++ = 0xe6; /* outb %al, $END_PORT */
	*at++ = END_PORT;
	call(vcpu, KVM_GET_SREGS, &segments);
	segments.cs.base = 0;
	segments.cs.selector = 0;
	call(vcpu, KVM_SET_SREGS, &segments);
	call(vcpu, KVM_SET_REGS, &registers);
}

/* Ticks for all rounds. Twice, for the first run brings pages in. */
static uint64_t measure(const struct body *body)
{
	uint64_t start = 0;

	for (int i = 0; i < 2; i++) {
		load(body);
		start = __rdtsc();
		do {
			call(vcpu, KVM_RUN, NULL);
			if (run->exit_reason != KVM_EXIT_IO)
				exit(2);
		} while (run->io.port != END_PORT);
	}
	return __rdtsc() - start;
}

int main(void)
{
	uint64_t alone = 0;

	make_machine();
	for (unsigned int i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		uint64_t ticks = measure(&bodies[i]);

		if (!bodies[i].what)
			alone = ticks;
		else
			printf("@@ %s: %llu\n", bodies[i].what, (unsigned long long)(ticks - alone) / ROUNDS);
	}
	return 0;
}
