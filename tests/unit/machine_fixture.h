/* SPDX-License-Identifier: Apache-2.0 */
/* One small virtual server for the unit tests of its devices, and short words for what a guest does. */
#ifndef TESTS_UNIT_MACHINE_FIXTURE_H
#define TESTS_UNIT_MACHINE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "machine/machine.h"

#define FIXTURE_MEMORY_SIZE (16 * MIB)
#define FIXTURE_EPOCH_S UINT64_C(1700000000) /* Tue 2023-11-14 22:13:20 UTC */

static struct machine machine;
static struct guest_memory memory;

static int __attribute__((unused)) fixture_setup(void **state)
{
	struct machine_config config = { .memory_size = FIXTURE_MEMORY_SIZE,
					 .epoch_s = FIXTURE_EPOCH_S,
					 .has_avx = 1 };

	(void)state;
	machine_init(&machine, &config);
	guest_memory_init(&memory, calloc(1, FIXTURE_MEMORY_SIZE), FIXTURE_MEMORY_SIZE, 0);
	return memory.base ? 0 : -1;
}

static int __attribute__((unused)) fixture_teardown(void **state)
{
	(void)state;
	free(memory.base);
	return 0;
}

static inline uint8_t in8(uint16_t port)
{
	return (uint8_t)machine_port_read(&machine, &memory, port, 1);
}

static inline uint16_t in16(uint16_t port)
{
	return (uint16_t)machine_port_read(&machine, &memory, port, 2);
}

static inline uint32_t in32(uint16_t port)
{
	return machine_port_read(&machine, &memory, port, 4);
}

static inline void out8(uint16_t port, uint8_t value)
{
	machine_port_write(&machine, &memory, port, 1, value);
}

static inline void out16(uint16_t port, uint16_t value)
{
	machine_port_write(&machine, &memory, port, 2, value);
}

static inline void out32(uint16_t port, uint32_t value)
{
	machine_port_write(&machine, &memory, port, 4, value);
}

static inline uint32_t mmio32(uint64_t gpa)
{
	return (uint32_t)machine_mmio_read(&machine, &memory, gpa, 4);
}

static inline void mmio_put32(uint64_t gpa, uint32_t value)
{
	machine_mmio_write(&machine, &memory, gpa, 4, value);
}

/* The vector that is pending, or -1. */
static inline int pending(void)
{
	uint8_t vector;

	return machine_interrupt_pending(&machine, &vector) ? vector : -1;
}

/* Takes what is pending as the processor would; returns its vector, or -1. */
static inline int take(void)
{
	int vector = pending();

	if (vector >= 0)
		machine_interrupt_acknowledge(&machine, (uint8_t)vector);
	return vector;
}

static inline bool port_reads_time(uint16_t port, bool is_write)
{
	const struct machine_access access = {
		.kind = MACHINE_ACCESS_PORT, .size = 1, .address = port, .is_write = is_write
	};

	return machine_reads_time(&machine, &access);
}

/* The 8259s as systems set them up: vectors 0x20 and 0x28, all open. */
static inline void pic_open(void)
{
	static const uint8_t words[] = { 0x11, 0x20, 0x04, 0x01 };
	static const uint8_t slave_words[] = { 0x11, 0x28, 0x02, 0x01 };

	for (uint16_t i = 0; i < 4; i++) {
		out8(i ? 0x21 : 0x20, words[i]);
		out8(i ? 0xa1 : 0xa0, slave_words[i]);
	}
	out8(0x21, 0);
	out8(0xa1, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

#endif
