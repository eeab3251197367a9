/* SPDX-License-Identifier: Apache-2.0 */
/* The 8042 keyboard controller (ports 0x60 and 0x64, IRQ 1) with a keyboard and no mouse. */
#ifndef MACHINE_KEYBOARD_H
#define MACHINE_KEYBOARD_H

#include "include/bits.h"

struct machine;

#define MACHINE_KEYBOARD_IRQ 1
#define MACHINE_KEYBOARD_QUEUE_SIZE 32

struct machine_keyboard {
	uint8_t command_byte;
	uint8_t controller_command; /* that waits for its byte at port 0x60; 0: none */
	uint8_t keyboard_command;   /* the same, of the keyboard */
	uint8_t scanning;	    /* keys are reported */
	uint8_t output;		    /* what port 0x60 gives */
	uint8_t output_full;
	uint8_t break_prefix; /* 0xf0 came, its key comes next */
	uint8_t queue_first;
	uint8_t queue_count;
	uint8_t reserved[7];
	uint8_t queue[MACHINE_KEYBOARD_QUEUE_SIZE]; /* bytes of the keyboard that are still to come */
};

void machine_keyboard_reset(struct machine *machine);

uint8_t machine_keyboard_port_read(struct machine *machine, uint16_t port);
void machine_keyboard_port_write(struct machine *machine, uint16_t port, uint8_t value);

/* Keys, as scan codes of set 2; lost when the guest does not read and the keyboard's memory is full. */
void machine_keyboard_keys(struct machine *machine, const uint8_t *codes, uint32_t count);

#endif
