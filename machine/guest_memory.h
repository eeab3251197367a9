/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's memory, passed beside `struct machine` and never pointed to from it.
 * One run of host memory holds, one behind the other:
 *
 *     guest-physical                                  at base +
 *     [0, low_size)               RAM                 0
 *     [4 GiB, 4 GiB + high_size)  RAM                 low_size
 *     [4 GiB - firmware_size, 4 GiB)  boot firmware   low_size + high_size
 *
 * All of [0, low_size) is plain memory, the VGA window and the BIOS area too.
 * Everything else is a device or nothing, and exits. Addresses come from the
 * guest: each access is checked here, against wrap-around too.
 */
#ifndef MACHINE_GUEST_MEMORY_H
#define MACHINE_GUEST_MEMORY_H

#include "include/bits.h"

#define GUEST_MEMORY_LOW_MAX (3 * GIB) /* above it, up to 4 GiB, are devices */
#define GUEST_MEMORY_HIGH_BASE (4 * GIB)
#define GUEST_FIRMWARE_SIZE_MAX (1 * MIB)

struct guest_memory {
	uint8_t *base;		/* ours; low_size + high_size + firmware_size bytes */
	uint64_t low_size;	/* bytes, multiple of 2 MiB, 1..GUEST_MEMORY_LOW_MAX */
	uint64_t high_size;	/* bytes, multiple of 2 MiB, may be 0 */
	uint64_t firmware_size; /* bytes, multiple of 4 KiB, may be 0 */
	/*
	 * Owner's memory, a bit for each 4 KiB from `base` on: set where we, and not the guest's
	 * processor, write. NULL: nobody asks. For a join, which looks for changed pages.
	 */
	uint64_t *written;
};

#define GUEST_MEMORY_PAGE_SIZE (4 * KIB)

/*
 * Splits `size` bytes of RAM (a multiple of 2 MiB, at least 16 MiB) into low and
 * high and fills `memory`, with `base` set to `base`.
 */
void guest_memory_init(struct guest_memory *memory, uint8_t *base, uint64_t size, uint64_t firmware_size);

/* All bytes at `base`. */
static inline uint64_t guest_memory_total(const struct guest_memory *memory)
{
	return memory->low_size + memory->high_size + memory->firmware_size;
}

/* Of addresses above the low memory. */
uint8_t *guest_memory_address_above(const struct guest_memory *memory, uint64_t gpa, uint64_t size);
/* Notes that [at, at + size), of which there is something, is written. */
void guest_memory_note(const struct guest_memory *memory, const uint8_t *at, uint64_t size);

/* For the two below. Inline: each descriptor and each segment asks, and most memory is low. */
static inline uint8_t *guest_memory_address(const struct guest_memory *memory, uint64_t gpa, uint64_t size)
{
	if (range_fits(gpa, size, memory->low_size))
		return memory->base + gpa;
	return guest_memory_address_above(memory, gpa, size);
}

/*
 * Our address of guest-physical [gpa, gpa + size), or NULL when any byte of it is
 * no memory or it spans two regions. `size` 0 asks for the address alone. To be read;
 * what is written through the second is noted as written at the call.
 */
static inline const uint8_t *guest_memory_at(const struct guest_memory *memory, uint64_t gpa, uint64_t size)
{
	return guest_memory_address(memory, gpa, size);
}

static inline uint8_t *guest_memory_to_write(const struct guest_memory *memory, uint64_t gpa, uint64_t size)
{
	uint8_t *at = guest_memory_address(memory, gpa, size);

	if (memory->written && at && size > 0)
		guest_memory_note(memory, at, size);
	return at;
}

/* The guest-physical address of the byte at base + offset; offset < guest_memory_total(). */
uint64_t guest_memory_gpa(const struct guest_memory *memory, uint64_t offset);

/* Copy between us and the guest; false, with nothing copied, when the range is not all memory. */
bool guest_memory_read(const struct guest_memory *memory, uint64_t gpa, void *to, uint64_t size);
bool guest_memory_write(const struct guest_memory *memory, uint64_t gpa, const void *from, uint64_t size);

#endif
