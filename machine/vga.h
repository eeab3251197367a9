/* SPDX-License-Identifier: Apache-2.0 */
/*
 * As much of a VGA as text mode needs: the screen is plain memory at 0xb8000, and
 * the registers at 0x3c0..0x3df keep what is written. The cursor and the start
 * address are there for whoever shows the screen.
 */
#ifndef MACHINE_VGA_H
#define MACHINE_VGA_H

#include "include/bits.h"

struct machine;

#define MACHINE_VGA_PORT 0x3c0
#define MACHINE_VGA_PORT_COUNT 32
#define MACHINE_VGA_TEXT_GPA UINT64_C(0xb8000)

struct machine_vga {
	uint8_t attribute_index;
	uint8_t attribute_data; /* is the next write to 0x3c0 data? */
	uint8_t sequencer_index;
	uint8_t graphics_index;
	uint8_t controller_index; /* CRTC */
	uint8_t misc;
	uint8_t feature;
	uint8_t retrace; /* toggles with each read of the status */
	uint8_t palette_mask;
	uint8_t palette_read_index;
	uint8_t palette_write_index;
	uint8_t palette_component; /* 0..2: red, green, blue */
	uint8_t reserved[4];
	uint8_t attribute[32];
	uint8_t sequencer[8];
	uint8_t graphics[16];
	uint8_t controller[32];
	uint8_t palette[768];
};

void machine_vga_reset(struct machine *machine);

/* Ports 0x3c0..0x3df by offset. */
uint8_t machine_vga_port_read(struct machine *machine, uint32_t offset);
void machine_vga_port_write(struct machine *machine, uint32_t offset, uint8_t value);

#endif
