/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Broken on purpose, one way a test: each must end in a fail-stop that says so
 * (exit status 5); tests/pair/test_kernel.py reads the dump. Returning is failure.
 */
#include <string.h>

#include "include/assert.h"
#include "include/memory_layout.h"
#include "include/trace.h"
#include "kernel/fail_stop.h"
#include "kernel/paging.h"
#include "kernel/self_test.h"
#include "kernel/trap.h"

TRACE_FILE("test", TRACE_DEBUG);

extern char kernel_start[];
void fault_read_null(volatile const uint64_t *address);
uint64_t fault_recurse(uint64_t depth);
void fault_interrupted(void);

/* Not inlined and not static, so that the backtrace must name it. */
__attribute__((noinline)) void fault_read_null(volatile const uint64_t *address)
{
	(void)*address;
}

SELF_TEST(fault_null)
{
	trace(TRACE_INFO, "about to read a null pointer");
	fault_read_null((const uint64_t *)8);
	return -1;
}

SELF_TEST(fault_write_code)
{
	*(volatile char *)kernel_start = 0;
	return -1;
}

SELF_TEST(fault_write_code_alias)
{
	uint64_t physical;
	uint64_t rights;

	SELF_TEST_CHECK(paging_lookup((uint64_t)kernel_start, &physical, &rights));
	*(volatile char *)(DIRECT_MAP_BASE + physical) = 0;
	return -1;
}

SELF_TEST(fault_execute_data)
{
	static uint8_t code[16] = { 0xc3 }; /* ret */
	void (*function)(void);
	void *address = code;

	memcpy(&function, &address, sizeof(function));
	function();
	return -1;
}

__attribute__((noinline)) uint64_t fault_recurse(uint64_t depth)
{
	volatile uint64_t filler[64];

	filler[depth % 64] = depth;
	if (depth == UINT64_MAX)
		return 0;
	return fault_recurse(depth + 1) + filler[(depth + 1) % 64];
}

SELF_TEST(fault_stack_overflow)
{
	return (int)fault_recurse(0);
}

SELF_TEST(fault_assert)
{
	trace(TRACE_INFO, "about to break an invariant");
	ASSERT(1 + 1 == 3);
	return -1;
}

SELF_TEST(fault_invalid_opcode)
{
	__asm__ volatile("ud2");
	return -1;
}

/* The last vector before the spurious interrupt's: nobody else's. */
#define HANDLER_VECTOR 0xfe

static void fault_handler(const struct trap_frame *frame)
{
	(void)frame;
	__asm__ volatile("ud2");
}

__attribute__((noinline)) void fault_interrupted(void)
{
	__asm__ volatile("int %0" ::"i"(HANDLER_VECTOR));
}

/* The backtrace goes through the handler, which has a stack of its own, to what it interrupted. */
SELF_TEST(fault_in_handler)
{
	trap_set_handler(HANDLER_VECTOR, fault_handler);
	fault_interrupted();
	return -1;
}

/* A stack pointer that leads nowhere: only the double fault's own stack can tell it. */
SELF_TEST(fault_no_stack)
{
	__asm__ volatile("movq $0x1000, %rsp; pushq %rax");
	return -1;
}
