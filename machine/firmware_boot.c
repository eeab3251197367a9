/* SPDX-License-Identifier: Apache-2.0 */
/* Booting through firmware; see firmware_boot.h. */
#include "machine/firmware_boot.h"

#include <string.h>

#include "include/assert.h"

#define LOW_COPY_SIZE (128 * KIB)
#define LOW_COPY_GPA (1 * MIB - LOW_COPY_SIZE)

const char *machine_firmware_boot(const struct guest_memory *memory, const uint8_t *image,
				  uint64_t image_size, struct vcpu_state *vcpu)
{
	uint8_t *top = guest_memory_to_write(memory, 4 * GIB - memory->firmware_size, memory->firmware_size);
	uint8_t *low = guest_memory_to_write(memory, LOW_COPY_GPA, LOW_COPY_SIZE);

	if (image_size < LOW_COPY_SIZE || !is_aligned(image_size, 64 * KIB))
		return "firmware: its size is not a multiple of 64 KiB from 128 KiB on";
	if (image_size != memory->firmware_size)
		return "firmware: it does not have the size that the guest's memory has room for";
	/* Every BIOS image ends with a jump at the reset vector. */
	if (image[image_size - 16] != 0xea)
		return "firmware: the file is no BIOS image (no jump at its reset vector)";
	ASSERT(top);
	ASSERT(low);
	memcpy(top, image, image_size);
	memcpy(low, image + image_size - LOW_COPY_SIZE, LOW_COPY_SIZE);
	vcpu_state_reset(vcpu);
	return NULL;
}
