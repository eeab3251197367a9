/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Traps: every exception is a fault of ours and ends in a fail-stop, except the
 * few that report hardware (NMI, machine check). Interrupts only end a guest
 * slice or the main loop's sleep; they are counted and acknowledged, no more.
 * Each class runs on a stack of its own (IST), so that a broken stack pointer
 * can still be told.
 */
#ifndef KERNEL_TRAP_H
#define KERNEL_TRAP_H

#include "include/bits.h"

#define TRAP_VECTOR_NMI 2
#define TRAP_VECTOR_DOUBLE_FAULT 8
#define TRAP_VECTOR_PAGE_FAULT 14
#define TRAP_VECTOR_MACHINE_CHECK 18
#define TRAP_VECTOR_EXCEPTION_COUNT 32
#define TRAP_VECTOR_APIC_TIMER 0x40
#define TRAP_VECTOR_APIC_ERROR 0x41
#define TRAP_VECTOR_APIC_SPURIOUS 0xff

/* As trap.S pushes it: the lowest address first. */
struct trap_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
	uint64_t rbp, rdi, rsi, rdx, rcx, rbx, rax;
	uint64_t vector;
	uint64_t error_code; /* 0 where the processor pushes none */
	uint64_t rip, cs, rflags, rsp, ss;
};
BUILD_ASSERT(sizeof(struct trap_frame) == 22 * 8);

/* Loads GDT, TSS and IDT, with small stacks in the image. First thing in kernel_main. */
void trap_init(void);

/* Moves the trap stacks to ones with guard pages. After paging_init. Returns 0 or -ENOMEM. */
int trap_init_stacks(void);

/* Who answers a machine check or an interrupt; set at start-up. They run with interrupts off. */
typedef void trap_handler(const struct trap_frame *frame);
void trap_set_handler(uint8_t vector, trap_handler *handler);

/* Interrupts taken by `vector` so far. */
uint64_t trap_count(uint8_t vector);

/* "page fault" ... for an exception's vector. */
const char *trap_name(uint64_t vector);

/* trap.S: fills `frame` with the caller's registers, as if it had trapped right there. */
void trap_capture(struct trap_frame *frame);

/* trap.S: goes on in `function` on the stack that ends at `top`. */
_Noreturn void trap_switch_stack(void *top, void (*function)(void));

#endif
