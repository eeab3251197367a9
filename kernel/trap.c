/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptor tables, and what becomes of each trap. AMD64 Architecture
 * Programmer's Manual 2: 4.8 (descriptors), 8.9 (64-bit interrupts), 12.2.5 (TSS).
 */
#include "kernel/trap.h"

#include <errno.h>

#include "include/assert.h"
#include "include/trace.h"
#include "kernel/cpu.h"
#include "kernel/fail_stop.h"
#include "kernel/paging.h"

TRACE_FILE("trap", TRACE_INFO);

#define VECTOR_COUNT 256
#define STUB_SIZE 16
#define CODE_SELECTOR 0x08
#define TASK_SELECTOR 0x18

/* The stacks of the interrupt stack table; 0 would mean "the current one". */
enum trap_stack {
	STACK_FAULT = 1,
	STACK_DOUBLE_FAULT,
	STACK_NMI,
	STACK_MACHINE_CHECK,
	STACK_INTERRUPT,
	STACK_END,
};
#define EARLY_STACK_SIZE 8192
#define STACK_SIZE 16384

struct task_state {
	uint32_t reserved0;
	uint64_t rsp[3];
	uint64_t reserved1;
	uint64_t ist[7]; /* entry i is IST i + 1 */
	uint64_t reserved2;
	uint16_t reserved3;
	uint16_t io_map;
} __attribute__((packed));
BUILD_ASSERT(sizeof(struct task_state) == 104);

struct gate {
	uint16_t offset_low;
	uint16_t selector;
	uint8_t ist;
	uint8_t type;
	uint16_t offset_middle;
	uint32_t offset_high;
	uint32_t reserved;
};
BUILD_ASSERT(sizeof(struct gate) == 16);
#define GATE_INTERRUPT 0x8e /* present, ring 0, interrupts off */

struct table_pointer {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

extern char trap_stubs[];
void trap_load_tables(const void *gdt_pointer, const void *idt_pointer, uint16_t task_selector);
void trap_handle(struct trap_frame *frame);

static uint64_t gdt[5] = {
	0, UINT64_C(0x00af9b000000ffff), /* 64-bit code */
	UINT64_C(0x00cf93000000ffff),	 /* data */
};
static struct gate idt[VECTOR_COUNT];
static struct task_state task;
static uint8_t early_stacks[STACK_END - 1][EARLY_STACK_SIZE] __attribute__((aligned(16)));
static trap_handler *handlers[VECTOR_COUNT];
static uint64_t counts[VECTOR_COUNT];

static const char *const names[TRAP_VECTOR_EXCEPTION_COUNT] = {
	"divide error",
	"debug",
	"NMI",
	"breakpoint",
	"overflow",
	"bound range",
	"invalid opcode",
	"no FPU",
	"double fault",
	"coprocessor overrun",
	"invalid TSS",
	"segment not present",
	"stack fault",
	"general protection",
	"page fault",
	"exception 15",
	"x87 error",
	"alignment check",
	"machine check",
	"SIMD error",
	"exception 20",
	"control protection",
	"exception 22",
	"exception 23",
	"exception 24",
	"exception 25",
	"exception 26",
	"exception 27",
	"hypervisor injection",
	"VMM communication",
	"security",
	"exception 31",
};

const char *trap_name(uint64_t vector)
{
	return vector < TRAP_VECTOR_EXCEPTION_COUNT ? names[vector] : "interrupt";
}

static uint8_t stack_of(uint32_t vector)
{
	switch (vector) {
	case TRAP_VECTOR_NMI:
		return STACK_NMI;
	case TRAP_VECTOR_DOUBLE_FAULT:
		return STACK_DOUBLE_FAULT;
	case TRAP_VECTOR_MACHINE_CHECK:
		return STACK_MACHINE_CHECK;
	default:
		return vector < TRAP_VECTOR_EXCEPTION_COUNT ? STACK_FAULT : STACK_INTERRUPT;
	}
}

static void set_gate(uint32_t vector)
{
	uint64_t offset = (uint64_t)trap_stubs + (uint64_t)vector * STUB_SIZE;

	idt[vector] = (struct gate){
		.offset_low = (uint16_t)offset,
		.selector = CODE_SELECTOR,
		.ist = stack_of(vector),
		.type = GATE_INTERRUPT,
		.offset_middle = (uint16_t)(offset >> 16),
		.offset_high = (uint32_t)(offset >> 32),
	};
}

/* System descriptor of 16 bytes: available 64-bit TSS. */
static void set_task_descriptor(void)
{
	uint64_t base = (uint64_t)&task;

	gdt[3] = (sizeof(task) - 1) | (base & 0xffffff) << 16 | UINT64_C(0x89) << 40 |
		 (base >> 24 & 0xff) << 56;
	gdt[4] = base >> 32;
}

void trap_init(void)
{
	const struct table_pointer gdt_pointer = { sizeof(gdt) - 1, (uint64_t)gdt };
	const struct table_pointer idt_pointer = { sizeof(idt) - 1, (uint64_t)idt };

	for (int i = 0; i < STACK_END - 1; i++)
		task.ist[i] = (uint64_t)early_stacks[i] + EARLY_STACK_SIZE;
	task.io_map = sizeof(task);
	set_task_descriptor();
	for (uint32_t vector = 0; vector < VECTOR_COUNT; vector++)
		set_gate(vector);
	trap_load_tables(&gdt_pointer, &idt_pointer, TASK_SELECTOR);
}

int trap_init_stacks(void)
{
	for (int i = 0; i < STACK_END - 1; i++) {
		void *top = paging_allocate_stack(STACK_SIZE);

		if (!top)
			return trace_error(-ENOMEM);
		task.ist[i] = (uint64_t)top;
	}
	return 0;
}

void trap_set_handler(uint8_t vector, trap_handler *handler)
{
	handlers[vector] = handler;
}

uint64_t trap_count(uint8_t vector)
{
	return counts[vector];
}

void trap_handle(struct trap_frame *frame)
{
	ASSERT(frame->vector < VECTOR_COUNT);
	counts[frame->vector]++;
	if (handlers[frame->vector])
		handlers[frame->vector](frame);
	else if (frame->vector < TRAP_VECTOR_EXCEPTION_COUNT)
		fail_stop_trap(frame);
	/* An interrupt nobody asked for (a masked PIC's spurious one): counted, nothing to acknowledge. */
}
