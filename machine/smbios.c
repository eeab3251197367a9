/* SPDX-License-Identifier: Apache-2.0 */
/* SMBIOS structures (DMTF DSP0134): BIOS, system, chassis, end. */
#include "machine/smbios.h"

#include <string.h>

#include "include/assert.h"
#include "include/byte_order.h"
#include "machine/machine.h"

#define ANCHOR_CHECKSUM 4
#define ANCHOR_INTERMEDIATE 16
#define ANCHOR_INTERMEDIATE_CHECKSUM 21

struct builder {
	uint8_t *tables;
	uint32_t at;
	uint32_t count;
	uint32_t size_max; /* of one structure */
};

/* A structure: header, `body_size` bytes, then its strings, each with NUL, and one more NUL. */
static void structure_add(struct builder *builder, uint8_t type, const void *body, uint32_t body_size,
			  const char *strings, uint32_t strings_size)
{
	uint8_t *at = builder->tables + builder->at;
	uint32_t size = 4 + body_size + strings_size + 1;

	ASSERT(size <= MACHINE_SMBIOS_SIZE_MAX - builder->at);
	at[0] = type;
	at[1] = (uint8_t)(4 + body_size);
	store_le16(at + 2, (uint16_t)(0x100 + builder->count));
	if (body_size)
		memcpy(at + 4, body, body_size);
	memcpy(at + 4 + body_size, strings, strings_size);
	at[size - 1] = 0;
	builder->at += size;
	builder->count++;
	builder->size_max = (uint32_t)max_u64(builder->size_max, size);
}

#define STRINGS(text) (text), sizeof(text)

uint32_t machine_smbios_build(const struct machine *machine, uint8_t *tables, uint8_t *anchor)
{
	struct builder builder = { .tables = tables };
	/* 7.1: vendor 1, version 2, segment 0xe800, date 3; 64 KiB; "characteristics unknown". */
	uint8_t bios[20] = { 1, 2, 0x00, 0xe8, 3, 0, 0x08 };
	/* 7.2: manufacturer 1, product 2, UUID, woken by the power switch. */
	uint8_t system[23] = { 1, 2 };
	/* 7.4: manufacturer 1, "other" type, states safe. */
	uint8_t chassis[9] = { 1, 1, 0, 0, 0, 3, 3, 3, 2 };

	memset(tables, 0, MACHINE_SMBIOS_SIZE_MAX);
	memcpy(system + 4, machine->config.uuid, MACHINE_UUID_SIZE);
	system[20] = 6;
	structure_add(&builder, 0, bios, sizeof(bios), STRINGS("Yoke\0001\00001/01/2026"));
	structure_add(&builder, 1, system, sizeof(system), STRINGS("Yoke\0Virtual server"));
	structure_add(&builder, 3, chassis, sizeof(chassis), STRINGS("Yoke"));
	structure_add(&builder, 127, NULL, 0, STRINGS(""));

	memset(anchor, 0, MACHINE_SMBIOS_ANCHOR_SIZE);
	memcpy(anchor, "_SM_", 4);
	anchor[5] = MACHINE_SMBIOS_ANCHOR_SIZE;
	anchor[6] = 2;
	anchor[7] = 8;
	store_le16(anchor + 8, (uint16_t)builder.size_max);
	memcpy(anchor + ANCHOR_INTERMEDIATE, "_DMI_", 5);
	store_le16(anchor + 22, (uint16_t)builder.at);
	store_le16(anchor + 28, (uint16_t)builder.count);
	anchor[30] = 0x28;
	return builder.at;
}

static uint8_t checksum(const uint8_t *bytes, uint32_t size)
{
	uint8_t sum = 0;

	for (uint32_t i = 0; i < size; i++)
		sum = (uint8_t)(sum + bytes[i]);
	return (uint8_t)-sum;
}

void machine_smbios_place(uint8_t *anchor, uint32_t gpa)
{
	store_le32(anchor + MACHINE_SMBIOS_ANCHOR_ADDRESS, gpa);
	anchor[ANCHOR_INTERMEDIATE_CHECKSUM] = 0;
	anchor[ANCHOR_INTERMEDIATE_CHECKSUM] = checksum(anchor + ANCHOR_INTERMEDIATE, 15);
	anchor[ANCHOR_CHECKSUM] = 0;
	anchor[ANCHOR_CHECKSUM] = checksum(anchor, MACHINE_SMBIOS_ANCHOR_SIZE);
}
