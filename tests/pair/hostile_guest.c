/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that does hostile things, one after another, as its seed decides: it must
 * never harm the server. test_hostile.py makes a Linux kernel image of it; the seed is
 * the command line. It runs in 64-bit mode in the 4 GiB that the loader maps.
 *
 * Whatever a thing leads to (a fault, an interrupt, a double fault), the next one follows:
 * every gate has a stack of its own and goes there. What it did is counted in memory that a
 * reset leaves alone, so a guest that killed itself goes on. One that hangs is bitten by its
 * watchdog, and if it has lost that as well, reset by the test.
 */
#include <stdint.h>

#define STATE_GPA 0x2345670 /* no round number, since those are written to often */
#define STATE_MAGIC UINT64_C(0x656c6974736f6820)
#define SANDBOX_GPA 0x2100000
#define SANDBOX_SIZE 0x100000
#define THINGS_A_LINE 10000
#define GATE_INTERRUPT 0x8e
#define STEPS_IN_RANDOM_CODE 24

#define COM1 0x3f8
#define DEBUG_PORT 0x402
#define POWER_CONTROL 0x604 /* switches the guest off, which would be the end */
#define PCI_ADDRESS 0xcf8
#define PCI_DATA 0xcfc
#define WATCHDOG_SLOT 31
#define WATCHDOG_MS 100 /* of each of its two stages */
#define THINGS_A_PAT 64
#define VIRTIO_VENDOR 0x1af4
#define VIRTIO_SLOT_FIRST 2
#define VIRTIO_SLOT_COUNT 8

struct state {
	uint64_t magic;
	uint64_t random;
	uint64_t count;
};

struct gate {
	uint16_t offset_low, selector;
	uint8_t stack, type;
	uint16_t offset_middle;
	uint32_t offset_high, reserved;
};

static struct state *const state = (struct state *)STATE_GPA;
static uint8_t *const sandbox = (uint8_t *)SANDBOX_GPA;
static struct gate gates[256];
static uint64_t descriptors[6] = { 0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff };
static uint8_t task_state[104];
static uint8_t gate_stack[8192] __attribute__((aligned(16)));
static uint8_t main_stack[8192] __attribute__((aligned(16), used));
static uint64_t virtio_bars[VIRTIO_SLOT_COUNT];
static uint16_t virtio_ports[VIRTIO_SLOT_COUNT];
static uint32_t virtio_count;
static uint64_t watchdog_bar;
uint32_t steps_left; /* in random code, with TF set */

void next_thing(void);
void any_event(void);
void debug_event(void);
void start(uint64_t parameters);
void loop(void);

__asm__(".section .entry, \"ax\"\n"
	".org 0x200\n" /* where the boot protocol enters 64-bit kernels */
	"	leaq main_stack + 8192(%rip), %rsp\n"
	"	movq %rsi, %rdi\n"
	"	call start\n"
	"any_event:\n"
	"	xorl %eax, %eax\n"
	"	movq %rax, %dr7\n"
	"	movl $0x18, %eax\n"
	"	movl %eax, %ds\n"
	"	movl %eax, %es\n"
	"	pushq $0x18\n"
	"	leaq main_stack + 8192(%rip), %rax\n"
	"	pushq %rax\n"
	"	pushq $2\n"
	"	pushq $0x10\n"
	"	leaq next_thing(%rip), %rax\n"
	"	pushq %rax\n"
	"	iretq\n"
	"debug_event:\n"
	"	subl $1, steps_left(%rip)\n"
	"	jbe any_event\n"
	"	iretq\n"
	"next_thing:\n"
	"	cld\n"
	"	call loop\n"
	"	ud2\n"
	".text\n");

/* ---- words to the machine ---- */

static void out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}

static void out16(uint16_t port, uint16_t value)
{
	__asm__ volatile("outw %0, %1" ::"a"(value), "Nd"(port));
}

static void out32(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" ::"a"(value), "Nd"(port));
}

static uint8_t in8(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static uint32_t in32(uint16_t port)
{
	uint32_t value;

	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

/* The chip may be in any state. */
static void print(const char *text)
{
	out8(COM1 + 3, 3);
	out8(COM1 + 1, 0);
	out8(COM1 + 4, 3);
	for (; *text; text++) {
		for (uint32_t tries = 0; tries < 1000 && !(in8(COM1 + 5) & 0x20); tries++)
			;
		out8(COM1, (uint8_t)*text);
	}
}

static uint64_t random64(void)
{
	uint64_t value = state->random;

	value ^= value << 13;
	value ^= value >> 7;
	value ^= value << 17;
	return state->random = value;
}

static uint32_t below(uint32_t limit)
{
	return (uint32_t)((random64() >> 20) % limit);
}

/* Values at the edges are the interesting ones. */
static uint64_t odd_value(void)
{
	static const uint64_t edges[] = { 0,
					  1,
					  0xff,
					  0x7fff,
					  0xffff,
					  0x7fffffff,
					  0xffffffff,
					  INT64_MAX,
					  UINT64_MAX,
					  0x8000000000000000,
					  0x7fffffffffff,
					  0x800000000000 };

	switch (below(4)) {
	case 0:
		return edges[below(sizeof(edges) / sizeof(edges[0]))];
	case 1:
		return UINT64_C(1) << below(64);
	case 2:
		return random64() >> below(64);
	default:
		return random64();
	}
}

/* ---- ports ---- */

static uint16_t some_port(void)
{
	static const uint16_t known[] = { 0x20,	 0x21,	0xa0,  0xa1,  0x40,  0x41,  0x42,  0x43,
					  0x4d0, 0x4d1, 0x60,  0x64,  0x61,  0x70,  0x71,  0x3fa,
					  0x3fb, 0x3d4, 0x3d5, 0x3c0, 0x510, 0x511, 0x514, 0x518,
					  0x600, 0x602, 0x608, 0xcf8, 0xcfc, 0xcfe };

	return below(3) ? known[below(sizeof(known) / sizeof(known[0]))] : (uint16_t)random64();
}

/* Not what ends the test, or fills its console. */
static int port_is_spared(uint16_t port, uint32_t size)
{
	static const uint16_t spared[] = { COM1, DEBUG_PORT, POWER_CONTROL, POWER_CONTROL + 1 };

	for (uint32_t i = 0; i < sizeof(spared) / sizeof(spared[0]); i++)
		if (port <= spared[i] && spared[i] < port + size)
			return 1;
	return 0;
}

static void use_port(void)
{
	uint16_t port = some_port();
	uint32_t value = (uint32_t)odd_value();

	switch (below(6)) {
	case 0:
		in8(port);
		return;
	case 1:
		__asm__ volatile("inw %1, %%ax" : "+a"(value) : "d"(port));
		return;
	case 2:
		in32(port);
		return;
	default:
		break;
	}
	if (port_is_spared(port, 4))
		return;
	switch (below(3)) {
	case 0:
		out8(port, (uint8_t)value);
		return;
	case 1:
		out16(port, (uint16_t)value);
		return;
	default:
		out32(port, value);
		return;
	}
}

/* At the end of the sandbox, of memory, of all addresses. */
static uint64_t some_address(void)
{
	static const uint64_t places[] = { SANDBOX_GPA, 0xfee00000, 0xfec00000, 0xa0000,
					   0xb8000,	0xc0000,    0x3ffff00,	0x4000000,
					   0xe0000000,	0xfffc0000, 0xfffffff0 };
	uint32_t choice = below(16);

	if (choice < 11)
		return places[choice] + (below(2) ? below(0x1000) : (below(0x400) << 4));
	if (choice < 14 && virtio_count)
		return virtio_bars[below(virtio_count)] + below(0x6000);
	return odd_value();
}

static void use_string_port(void)
{
	uint64_t address = below(4) ? SANDBOX_GPA + below(SANDBOX_SIZE) : some_address();
	uint64_t count = below(9);
	uint16_t port = some_port();

	if (port_is_spared(port, 4))
		return;
	switch (below(4)) {
	case 0:
		__asm__ volatile("rep insb" : "+D"(address), "+c"(count) : "d"(port) : "memory");
		return;
	case 1:
		__asm__ volatile("rep insl" : "+D"(address), "+c"(count) : "d"(port) : "memory");
		return;
	case 2:
		__asm__ volatile("std; rep outsw; cld" : "+S"(address), "+c"(count) : "d"(port) : "memory");
		return;
	default:
		__asm__ volatile("rep outsb" : "+S"(address), "+c"(count) : "d"(port) : "memory");
		return;
	}
}

/* ---- MSRs, CPUID, registers ---- */

static void use_msr(void)
{
	static const uint32_t bases[] = { 0,	      0x200,	  0x800,      0xc0000080,
					  0xc0000100, 0xc0010000, 0xc0010110, 0x40000000 };
	uint32_t number = below(8) ? bases[below(8)] + below(0x40) : (uint32_t)odd_value();
	uint64_t value = odd_value();
	uint32_t low = (uint32_t)value;
	uint32_t high = (uint32_t)(value >> 32);

	if (below(2))
		__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(number));
	else
		__asm__ volatile("wrmsr" ::"a"(low), "d"(high), "c"(number));
}

static void use_cpuid(void)
{
	static const uint32_t bases[] = { 0, 0x40000000, 0x80000000, 0x8fffffff };
	uint32_t leaf = below(4) ? bases[below(4)] + below(0x30) : (uint32_t)odd_value();
	uint32_t subleaf = (uint32_t)odd_value();
	uint32_t ebx;
	uint32_t edx;

	__asm__ volatile("cpuid" : "+a"(leaf), "=b"(ebx), "+c"(subleaf), "=d"(edx));
}

static void use_register(void)
{
	uint64_t value = odd_value();
	uint64_t bit = UINT64_C(1) << below(32);
	uint64_t old;

	switch (below(9)) {
	case 0:
		__asm__ volatile("mov %%cr0, %0; xor %1, %0; mov %0, %%cr0" : "=&r"(old) : "r"(bit));
		return;
	case 1:
		__asm__ volatile("mov %%cr4, %0; xor %1, %0; mov %0, %%cr4" : "=&r"(old) : "r"(bit));
		return;
	case 2:
		__asm__ volatile("mov %0, %%cr8" ::"r"(value & 0x1f));
		return;
	case 3:
		__asm__ volatile("mov %0, %%dr7" ::"r"(value));
		return;
	case 4:
		__asm__ volatile("mov %0, %%dr0; mov %0, %%dr3" ::"r"(some_address()));
		return;
	case 5:
		__asm__ volatile("mov %0, %%dr6" ::"r"(value));
		return;
	case 6:
		__asm__ volatile("xsetbv" ::"a"((uint32_t)value), "d"((uint32_t)(value >> 32)),
				 "c"(below(3)));
		return;
	case 7:
		__asm__ volatile("mov %%cr3, %0; mov %0, %%cr3" : "=r"(old)::"memory");
		return;
	default:
		__asm__ volatile("invlpg (%0)" ::"r"(value) : "memory");
		return;
	}
}

static void use_instruction(void)
{
	switch (below(14)) {
	case 0:
		__asm__ volatile("wbinvd");
		return;
	case 1:
		__asm__ volatile("invd");
		return;
	case 2:
		__asm__ volatile("rdpmc" ::"c"(below(8)) : "eax", "edx");
		return;
	case 3:
		__asm__ volatile("rdtscp" ::: "eax", "ecx", "edx");
		return;
	case 4:
		__asm__ volatile("monitor; mwait" ::"a"(sandbox), "c"(0), "d"(0));
		return;
	case 5:
		__asm__ volatile("vmmcall" ::"a"(odd_value()));
		return;
	case 6:
		__asm__ volatile("vmrun" ::"a"(some_address()));
		return;
	case 7:
		__asm__ volatile("vmload" ::"a"(some_address()));
		return;
	case 8:
		__asm__ volatile("stgi; clgi; skinit" ::"a"(odd_value()));
		return;
	case 9:
		__asm__ volatile("sti; nop; nop; cli");
		return;
	case 10:
		__asm__ volatile("mov %%ss, %%eax; sti; mov %%eax, %%ss; int3" ::: "eax");
		return;
	case 11:
		__asm__ volatile("pushq %0; popfq" ::"r"(odd_value() & ~UINT64_C(0x100)) : "cc", "memory");
		return;
	case 12:
		__asm__ volatile("pushq %0; pushq %1; pushq %2; pushq %3; pushq %4; iretq" ::"r"(odd_value()),
				 "r"(odd_value()), "r"(odd_value()), "r"(odd_value() & 0xffff),
				 "r"(some_address())
				 : "memory");
		return;
	default:
		__asm__ volatile("int $0x80");
		return;
	}
}

/* ---- memory and devices in it ---- */

static void use_memory(void)
{
	uint64_t address = some_address();
	uint64_t value = odd_value();
	uint64_t count = below(5);
	uint64_t from = SANDBOX_GPA;

	switch (below(12)) {
	case 0:
		__asm__ volatile("movb (%0), %%al" ::"r"(address) : "eax");
		return;
	case 1:
		__asm__ volatile("movl (%0), %%eax" ::"r"(address) : "eax");
		return;
	case 2:
		__asm__ volatile("movq (%0), %%rax" ::"r"(address) : "rax");
		return;
	case 3:
		__asm__ volatile("movb %b1, (%0)" ::"r"(address), "r"(value) : "memory");
		return;
	case 4:
		__asm__ volatile("movw %w1, (%0)" ::"r"(address), "r"(value) : "memory");
		return;
	case 5:
	case 6:
		__asm__ volatile("movl %k1, (%0)" ::"r"(address), "r"(value) : "memory");
		return;
	case 7:
		__asm__ volatile("movq %1, (%0)" ::"r"(address), "r"(value) : "memory");
		return;
	case 8:
		__asm__ volatile("xchgl %k1, (%0)" : "+r"(address), "+r"(value)::"memory");
		return;
	case 9:
		__asm__ volatile("lock addl %k1, (%0)" ::"r"(address), "r"(value) : "memory", "cc");
		return;
	case 10:
		__asm__ volatile("rep movsb" : "+S"(from), "+D"(address), "+c"(count)::"memory");
		return;
	default:
		__asm__ volatile("pushq (%0); popq 2(%0)" ::"r"(address) : "memory");
		return;
	}
}

static uint32_t pci_read(uint32_t slot, uint32_t offset)
{
	out32(PCI_ADDRESS, 0x80000000 | slot << 11 | offset);
	return in32(PCI_DATA);
}

static void find_virtio(void)
{
	virtio_count = 0;
	for (uint32_t slot = VIRTIO_SLOT_FIRST; slot < 32 && virtio_count < VIRTIO_SLOT_COUNT; slot++) {
		if ((pci_read(slot, 0) & 0xffff) != VIRTIO_VENDOR)
			continue;
		pci_read(slot, 4);
		out32(PCI_DATA, 7); /* ports, memory and bus master */
		virtio_bars[virtio_count] = pci_read(slot, 0x10) & ~UINT32_C(15);
		virtio_ports[virtio_count++] = (uint16_t)(pci_read(slot, 0x14) & ~UINT32_C(3));
	}
}

/* 6300ESB: each write is unlocked by two others. */
static void watchdog_write(uint32_t offset, uint32_t value)
{
	volatile uint8_t *registers = (volatile uint8_t *)watchdog_bar;

	*(volatile uint16_t *)(registers + 12) = 0x80;
	*(volatile uint16_t *)(registers + 12) = 0x86;
	*(volatile uint32_t *)(registers + offset) = value;
}

static void start_watchdog(void)
{
	watchdog_bar = pci_read(WATCHDOG_SLOT, 0x10) & ~UINT32_C(15);
	pci_read(WATCHDOG_SLOT, 4);
	out32(PCI_DATA, 2);
	watchdog_write(0, WATCHDOG_MS);
	watchdog_write(4, WATCHDOG_MS);
	pci_read(WATCHDOG_SLOT, 0x68);
	out8(PCI_DATA, 3); /* on, and locked: nothing that comes can switch it off */
}

static uint64_t ring_address(void)
{
	return below(4) ? SANDBOX_GPA + below(SANDBOX_SIZE / 16) * 16 : odd_value();
}

/* Something like descriptors and rings, as hostile as they come. */
static void fill_sandbox(void)
{
	uint64_t *words = (uint64_t *)(sandbox + below(SANDBOX_SIZE - 4096) / 8 * 8);

	for (uint32_t i = 0; i < 128; i += 2) {
		words[i] = ring_address();
		words[i + 1] = (below(2) ? below(0x10000) : (uint32_t)odd_value()) |
			       (uint64_t)below(8) << 32 | (uint64_t)below(16) << 48;
	}
}

static void set_up_queue(volatile uint8_t *common)
{
	*(volatile uint16_t *)(common + 22) = (uint16_t)below(4);
	*(volatile uint16_t *)(common + 24) = (uint16_t)(below(2) ? 1U << below(10) : (uint32_t)random64());
	for (uint32_t at = 32; at < 56; at += 8) {
		uint64_t address = ring_address();

		*(volatile uint32_t *)(common + at) = (uint32_t)address;
		*(volatile uint32_t *)(common + at + 4) = (uint32_t)(address >> 32);
	}
	*(volatile uint16_t *)(common + 28) = 1;
}

/* All steps of a driver, with rings that lie anywhere. */
static void use_virtio(void)
{
	volatile uint8_t *common;
	uint32_t index;

	if (below(64) == 0 || virtio_count == 0)
		find_virtio();
	if (virtio_count == 0)
		return;
	index = below(virtio_count);
	common = (volatile uint8_t *)virtio_bars[index];
	common[20] = below(4) ? 0 : (uint8_t)random64();
	common[20] = 3;
	for (uint32_t half = 0; half < 2; half++) {
		*(volatile uint32_t *)(common + 8) = half;
		*(volatile uint32_t *)(common + 12) = below(2) ? half : (uint32_t)odd_value();
	}
	common[20] = 11;
	for (uint32_t i = below(4); i > 0; i--)
		set_up_queue(common);
	common[20] = 15;
	fill_sandbox();
	for (uint32_t i = below(6); i > 0; i--)
		out16((uint16_t)(virtio_ports[index] + below(4) * 4), (uint16_t)below(4));
}

/* ---- code ---- */

/* Up to STEPS_IN_RANDOM_CODE instructions of random bytes, which may lie across two pages and change themselves. */
static void run_random_code(void)
{
	uint8_t *code = sandbox + 0x1000 * (1 + below(64)) - below(16);

	for (uint32_t i = 0; i < 64; i++) {
		code[i] = (uint8_t)random64();
		if (code[i] == 0xf4) /* HLT would only wait for the test's patience */
			code[i] = 0x90;
	}
	if (below(2)) { /* movb $random, next byte but one (%rip) */
		code[0] = 0xc6;
		code[1] = 0x05;
		*(uint32_t *)(code + 2) = below(8);
		code[6] = (uint8_t)random64();
	}
	steps_left = STEPS_IN_RANDOM_CODE;
	__asm__ volatile("pushfq; orl $0x100, (%%rsp); popfq; jmp *%0" ::"a"(code), "b"(some_address()),
			 "c"(odd_value()), "d"(odd_value()), "S"(some_address()), "D"(some_address())
			 : "memory");
}

/* A fault while a fault is delivered: a gate that is not there. Now and then nothing is there, and that is a triple one. */
static void fault_twice(void)
{
	static const struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) nothing = { 0, 0 };
	uint8_t vector = below(2) ? 13 : 6;

	if (below(200) == 0)
		__asm__ volatile("lidt %0; ud2" ::"m"(nothing));
	gates[vector].type = 0;
	if (vector == 6)
		__asm__ volatile("ud2");
	__asm__ volatile("movq (%0), %%rax" ::"r"(UINT64_C(0x8000000000000000)) : "rax");
}

static void do_thing(void)
{
	switch (below(32)) {
	case 0 ... 7:
		use_port();
		return;
	case 8:
	case 9:
		use_string_port();
		return;
	case 10 ... 13:
		use_msr();
		return;
	case 14 ... 16:
		use_cpuid();
		return;
	case 17 ... 22:
		use_memory();
		return;
	case 23:
		use_register();
		return;
	case 24:
	case 25:
		use_instruction();
		return;
	case 26:
	case 27:
		use_virtio();
		return;
	case 28 ... 30:
		run_random_code();
		return;
	default:
		fault_twice();
		return;
	}
}

/* ---- start ---- */

static void set_gate(uint32_t vector, void (*handler)(void))
{
	uint64_t address = (uint64_t)handler;

	gates[vector] = (struct gate){ .offset_low = (uint16_t)address,
				       .offset_middle = (uint16_t)(address >> 16),
				       .offset_high = (uint32_t)(address >> 32),
				       .selector = 0x10,
				       .stack = 1,
				       .type = GATE_INTERRUPT };
}

static void set_tables(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) table = { sizeof(gates) - 1, (uint64_t)gates };
	uint64_t address = (uint64_t)task_state;

	for (uint32_t vector = 0; vector < 256; vector++)
		set_gate(vector, vector == 1 ? debug_event : any_event);
	*(uint64_t *)(task_state + 0x24) = (uint64_t)(gate_stack + sizeof(gate_stack)); /* IST1 */
	descriptors[4] = (sizeof(task_state) - 1) | (address & 0xffffff) << 16 | UINT64_C(0x89) << 40 |
			 (address >> 24 & 0xff) << 56;
	descriptors[5] = address >> 32;
	__asm__ volatile("lidt %0" ::"m"(table));
	table.limit = sizeof(descriptors) - 1;
	table.base = (uint64_t)descriptors;
	__asm__ volatile("lgdt %0; ltr %w1" ::"m"(table), "r"(0x20));
}

static uint64_t tsc(void)
{
	uint32_t low;
	uint32_t high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return low | (uint64_t)high << 32;
}

static uint64_t number(const char *text)
{
	uint64_t value = 0;

	for (; *text >= '0' && *text <= '9'; text++)
		value = value * 10 + (uint64_t)(*text - '0');
	return value;
}

void start(uint64_t parameters)
{
	if (state->magic != STATE_MAGIC || state->random == 0) {
		state->magic = STATE_MAGIC;
		state->random = number((const char *)(uint64_t) * (uint32_t *)(parameters + 0x228)) * 2 + 1;
		state->random ^= tsc() << 16; /* else a guest that spoilt its state does the same for ever */
		state->count = 0;
		print("@@ begins\n");
	}
	set_tables();
	find_virtio();
	start_watchdog();
	next_thing();
}

void loop(void)
{
	for (;;) {
		steps_left = 0;
		gates[6].type = GATE_INTERRUPT;
		gates[13].type = GATE_INTERRUPT;
		if (++state->count % THINGS_A_LINE == 0)
			print("@@ 10000 more\n");
		if (state->count % THINGS_A_PAT == 0)
			watchdog_write(12, 0x100);
		do_thing();
	}
}
