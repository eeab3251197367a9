/* SPDX-License-Identifier: Apache-2.0 */
/* Checked access to the guest's memory; see guest_memory.h for the picture. */
#include "machine/guest_memory.h"

#include <string.h>

#include "include/assert.h"

void guest_memory_init(struct guest_memory *memory, uint8_t *base, uint64_t size, uint64_t firmware_size)
{
	ASSERT(is_aligned(size, 2 * MIB));
	ASSERT(size >= 16 * MIB);
	ASSERT(is_aligned(firmware_size, 4 * KIB));
	ASSERT(firmware_size <= GUEST_FIRMWARE_SIZE_MAX);
	memory->base = base;
	memory->low_size = min_u64(size, GUEST_MEMORY_LOW_MAX);
	memory->high_size = size - memory->low_size;
	memory->firmware_size = firmware_size;
	memory->written = NULL;
}

uint8_t *guest_memory_address_above(const struct guest_memory *memory, uint64_t gpa, uint64_t size)
{
	if (gpa >= GUEST_MEMORY_HIGH_BASE) {
		uint64_t offset = gpa - GUEST_MEMORY_HIGH_BASE;

		if (!range_fits(offset, size, memory->high_size))
			return NULL;
		return memory->base + memory->low_size + offset;
	}
	if (gpa >= GUEST_MEMORY_HIGH_BASE - memory->firmware_size) {
		uint64_t offset = gpa - (GUEST_MEMORY_HIGH_BASE - memory->firmware_size);

		if (!range_fits(offset, size, memory->firmware_size))
			return NULL;
		return memory->base + memory->low_size + memory->high_size + offset;
	}
	return NULL;
}

void guest_memory_note(const struct guest_memory *memory, const uint8_t *at, uint64_t size)
{
	uint64_t first = (uint64_t)(at - memory->base) / GUEST_MEMORY_PAGE_SIZE;
	uint64_t last = ((uint64_t)(at - memory->base) + size - 1) / GUEST_MEMORY_PAGE_SIZE;

	for (uint64_t page = first; page <= last; page++)
		memory->written[page / 64] |= BIT(page % 64);
}

uint64_t guest_memory_gpa(const struct guest_memory *memory, uint64_t offset)
{
	ASSERT(offset < guest_memory_total(memory));
	if (offset < memory->low_size)
		return offset;
	offset -= memory->low_size;
	if (offset < memory->high_size)
		return GUEST_MEMORY_HIGH_BASE + offset;
	offset -= memory->high_size;
	return GUEST_MEMORY_HIGH_BASE - memory->firmware_size + offset;
}

bool guest_memory_read(const struct guest_memory *memory, uint64_t gpa, void *to, uint64_t size)
{
	const uint8_t *from = guest_memory_at(memory, gpa, size);

	if (!from)
		return false;
	memcpy(to, from, size);
	return true;
}

bool guest_memory_write(const struct guest_memory *memory, uint64_t gpa, const void *from, uint64_t size)
{
	uint8_t *to = guest_memory_to_write(memory, gpa, size);

	if (!to)
		return false;
	memcpy(to, from, size);
	return true;
}
