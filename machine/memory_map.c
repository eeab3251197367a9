/* SPDX-License-Identifier: Apache-2.0 */
/* The memory map of the guest; see memory_map.h. */
#include "machine/memory_map.h"

#include "include/byte_order.h"
#include "machine/machine.h"

#define E820_RAM 1
#define E820_RESERVED 2

static void range_add(struct machine_memory_range *ranges, uint32_t *count, uint64_t start, uint64_t end,
		      bool is_ram)
{
	if (start < end)
		ranges[(*count)++] =
			(struct machine_memory_range){ .start = start, .end = end, .is_ram = is_ram };
}

uint32_t machine_memory_map(const struct machine *machine, enum machine_boot_way way,
			    struct machine_memory_range *ranges)
{
	uint64_t low = min_u64(machine->config.memory_size, GUEST_MEMORY_LOW_MAX);
	uint64_t high = machine->config.memory_size - low;
	uint32_t count = 0;

	if (way == MACHINE_BOOT_DIRECT) {
		range_add(ranges, &count, 0, 0x9fc00, true);
		range_add(ranges, &count, 0x9fc00, 0xa0000, false);
		range_add(ranges, &count, 0xe0000, 1 * MIB, false); /* ACPI tables */
		range_add(ranges, &count, 1 * MIB, low, true);
	} else {
		range_add(ranges, &count, 0, low, true);
	}
	range_add(ranges, &count, MACHINE_IOAPIC_BASE, MACHINE_IOAPIC_BASE + MACHINE_IOAPIC_SIZE, false);
	range_add(ranges, &count, MACHINE_LAPIC_BASE, MACHINE_LAPIC_BASE + MACHINE_LAPIC_SIZE, false);
	range_add(ranges, &count, GUEST_MEMORY_HIGH_BASE, GUEST_MEMORY_HIGH_BASE + high, true);
	return count;
}

void machine_memory_range_put(uint8_t *at, const struct machine_memory_range *range)
{
	store_le64(at, range->start);
	store_le64(at + 8, range->end - range->start);
	store_le32(at + 16, range->is_ram ? E820_RAM : E820_RESERVED);
}
