/* SPDX-License-Identifier: Apache-2.0 */
/* VGA registers as memory; see vga.h. Names as in IBM's PS/2 Hardware Interface reference. */
#include "machine/vga.h"

#include <string.h>

#include "machine/machine.h"

enum {
	OFFSET_ATTRIBUTE = 0x00,
	OFFSET_ATTRIBUTE_READ = 0x01,
	OFFSET_MISC_WRITE = 0x02, /* read: status 0 */
	OFFSET_SEQUENCER_INDEX = 0x04,
	OFFSET_SEQUENCER = 0x05,
	OFFSET_PALETTE_MASK = 0x06,
	OFFSET_PALETTE_READ = 0x07, /* read: state */
	OFFSET_PALETTE_WRITE = 0x08,
	OFFSET_PALETTE = 0x09,
	OFFSET_FEATURE_READ = 0x0a,
	OFFSET_MISC_READ = 0x0c,
	OFFSET_GRAPHICS_INDEX = 0x0e,
	OFFSET_GRAPHICS = 0x0f,
	OFFSET_CONTROLLER_INDEX = 0x14,
	OFFSET_CONTROLLER = 0x15,
	OFFSET_STATUS = 0x1a, /* written: feature control */
};

#define MISC_RESET 0x67 /* colour addresses, memory on */
#define STATUS_RETRACE 0x09

void machine_vga_reset(struct machine *machine)
{
	/* 80 by 25 characters, as firmware would set it. */
	static const uint8_t controller[] = { 0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00,
					      0x4f, 0x0d, 0x0e, 0x00, 0x00, 0x00, 0x00, 0x9c, 0x8e,
					      0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff };
	struct machine_vga *vga = &machine->vga;

	memset(vga, 0, sizeof(*vga));
	vga->misc = MISC_RESET;
	vga->palette_mask = 0xff;
	memcpy(vga->controller, controller, sizeof(controller));
}

/* One component of one colour, then the next. */
static uint8_t *palette_step(struct machine_vga *vga, uint8_t *index)
{
	uint8_t *at = &vga->palette[*index * 3 + vga->palette_component];

	vga->palette_component = (uint8_t)((vga->palette_component + 1) % 3);
	if (vga->palette_component == 0)
		(*index)++;
	return at;
}

uint8_t machine_vga_port_read(struct machine *machine, uint32_t offset)
{
	struct machine_vga *vga = &machine->vga;

	switch (offset) {
	case OFFSET_ATTRIBUTE:
		return vga->attribute_index;
	case OFFSET_ATTRIBUTE_READ:
		return vga->attribute[vga->attribute_index & 31];
	case OFFSET_MISC_WRITE:
		return 0x10; /* a colour monitor */
	case OFFSET_SEQUENCER_INDEX:
		return vga->sequencer_index;
	case OFFSET_SEQUENCER:
		return vga->sequencer[vga->sequencer_index & 7];
	case OFFSET_PALETTE_MASK:
		return vga->palette_mask;
	case OFFSET_PALETTE_WRITE:
		return vga->palette_write_index;
	case OFFSET_PALETTE:
		return *palette_step(vga, &vga->palette_read_index);
	case OFFSET_FEATURE_READ:
		return vga->feature;
	case OFFSET_MISC_READ:
		return vga->misc;
	case OFFSET_GRAPHICS_INDEX:
		return vga->graphics_index;
	case OFFSET_GRAPHICS:
		return vga->graphics[vga->graphics_index & 15];
	case OFFSET_CONTROLLER_INDEX:
		return vga->controller_index;
	case OFFSET_CONTROLLER:
		return vga->controller[vga->controller_index & 31];
	case OFFSET_STATUS: /* in retrace every other time, for those who wait for it */
		vga->attribute_data = 0;
		vga->retrace ^= STATUS_RETRACE;
		return vga->retrace;
	default:
		return 0xff;
	}
}

static void attribute_write(struct machine_vga *vga, uint8_t value)
{
	if (vga->attribute_data)
		vga->attribute[vga->attribute_index & 31] = value;
	else
		vga->attribute_index = value & 0x3f;
	vga->attribute_data ^= 1;
}

void machine_vga_port_write(struct machine *machine, uint32_t offset, uint8_t value)
{
	struct machine_vga *vga = &machine->vga;

	switch (offset) {
	case OFFSET_ATTRIBUTE:
		attribute_write(vga, value);
		break;
	case OFFSET_MISC_WRITE:
		vga->misc = value;
		break;
	case OFFSET_SEQUENCER_INDEX:
		vga->sequencer_index = value;
		break;
	case OFFSET_SEQUENCER:
		vga->sequencer[vga->sequencer_index & 7] = value;
		break;
	case OFFSET_PALETTE_MASK:
		vga->palette_mask = value;
		break;
	case OFFSET_PALETTE_READ:
		vga->palette_read_index = value;
		vga->palette_component = 0;
		break;
	case OFFSET_PALETTE_WRITE:
		vga->palette_write_index = value;
		vga->palette_component = 0;
		break;
	case OFFSET_PALETTE:
		*palette_step(vga, &vga->palette_write_index) = value;
		break;
	case OFFSET_GRAPHICS_INDEX:
		vga->graphics_index = value;
		break;
	case OFFSET_GRAPHICS:
		vga->graphics[vga->graphics_index & 15] = value;
		break;
	case OFFSET_CONTROLLER_INDEX:
		vga->controller_index = value;
		break;
	case OFFSET_CONTROLLER:
		vga->controller[vga->controller_index & 31] = value;
		break;
	case OFFSET_STATUS:
		vga->feature = value;
		break;
	default:
		break;
	}
}
