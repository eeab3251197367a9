/* SPDX-License-Identifier: Apache-2.0 */
/* Booting through firmware; see firmware_boot.h. */
#include "machine/firmware_boot.h"

#include <string.h>

#include "include/assert.h"

#define LOW_COPY_SIZE (128 * KIB)
#define LOW_COPY_GPA (1 * MIB - LOW_COPY_SIZE)
#define GRANULARITY (64 * KIB)

#define JUMP_OFFSET 16 /* of the reset vector, from the end */
#define JUMP_FAR 0xea

const char *machine_firmware_check(const uint8_t *image, uint64_t image_size)
{
	if (image_size > GUEST_FIRMWARE_SIZE_MAX)
		return "too large, 1 MiB is the most";
	if (image_size < LOW_COPY_SIZE || !is_aligned(image_size, GRANULARITY))
		return "its size is not a multiple of 64 KiB from 128 KiB on";
	/* Every BIOS image ends with a jump at the reset vector. */
	if (image[image_size - JUMP_OFFSET] != JUMP_FAR)
		return "no BIOS image (no jump at its reset vector)";
	return NULL;
}

void machine_firmware_boot(const struct guest_memory *memory, const uint8_t *image, struct vcpu_state *vcpu)
{
	uint64_t size = memory->firmware_size;
	uint8_t *top = guest_memory_to_write(memory, 4 * GIB - size, size);
	uint8_t *low = guest_memory_to_write(memory, LOW_COPY_GPA, LOW_COPY_SIZE);

	ASSERT(machine_firmware_check(image, size) == NULL);
	ASSERT(top);
	ASSERT(low);
	memcpy(top, image, size);
	memcpy(low, image + size - LOW_COPY_SIZE, LOW_COPY_SIZE);
	vcpu_state_reset(vcpu);
}
