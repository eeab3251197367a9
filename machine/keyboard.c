/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 8042 and an MF2 keyboard (IBM PS/2 Hardware Interface Technical Reference). Every
 * command is answered at once, so that nobody waits for a time-out; the mouse port
 * is said to be broken, which is how systems learn that there is none.
 */
#include "machine/keyboard.h"

#include <string.h>

#include "machine/machine.h"

#define STATUS_OUTPUT_FULL 0x01
#define STATUS_SELF_TESTED 0x04
#define STATUS_COMMAND 0x08
#define STATUS_UNLOCKED 0x10

#define COMMAND_INTERRUPT 0x01
#define COMMAND_SELF_TESTED 0x04
#define COMMAND_DISABLE 0x10
#define COMMAND_TRANSLATE 0x40

#define OUTPUT_PORT 0xcf /* A20 open, not in reset */
#define RESULT_GOOD 0x55
#define RESULT_PORT_BAD 0x02
#define ANSWER_ACKNOWLEDGE 0xfa
#define ANSWER_RESEND 0xfe

/* Scan codes of set 2 to those of set 1, as the controller translates. */
static const uint8_t translation[128] = {
	0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59,
	0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b,
	0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d,
	0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f,
	0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61,
	0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76,
	0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f,
	0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54,
};

void machine_keyboard_reset(struct machine *machine)
{
	struct machine_keyboard *keyboard = &machine->keyboard;

	memset(keyboard, 0, sizeof(*keyboard));
	keyboard->command_byte = COMMAND_INTERRUPT | COMMAND_SELF_TESTED | COMMAND_TRANSLATE;
	keyboard->scanning = 1;
}

static void interrupt_update(struct machine *machine)
{
	const struct machine_keyboard *keyboard = &machine->keyboard;

	machine_irq_set(machine, MACHINE_KEYBOARD_IRQ,
			keyboard->output_full && (keyboard->command_byte & COMMAND_INTERRUPT));
}

/* An answer of the controller itself goes before the keyboard's bytes. */
static void output_put(struct machine *machine, uint8_t value)
{
	machine->keyboard.output = value;
	machine->keyboard.output_full = 1;
	interrupt_update(machine);
}

/* The keyboard's next byte; false when it was only the prefix that translation swallows. */
static bool byte_translate(struct machine_keyboard *keyboard, uint8_t *byte)
{
	if (!(keyboard->command_byte & COMMAND_TRANSLATE))
		return true;
	if (*byte == 0xf0) {
		keyboard->break_prefix = 0x80;
		return false;
	}
	if (*byte == 0x83) /* F7, beyond the table */
		*byte = 0x41 | keyboard->break_prefix;
	else if (*byte < 0x80)
		*byte = translation[*byte] | keyboard->break_prefix;
	keyboard->break_prefix = 0;
	return true;
}

/* Moves the keyboard's next byte to the output buffer, when that is empty and the line is not held. */
static void queue_advance(struct machine *machine)
{
	struct machine_keyboard *keyboard = &machine->keyboard;

	while (!keyboard->output_full && keyboard->queue_count &&
	       !(keyboard->command_byte & COMMAND_DISABLE)) {
		uint8_t byte = keyboard->queue[keyboard->queue_first];

		keyboard->queue_first = (uint8_t)((keyboard->queue_first + 1) % MACHINE_KEYBOARD_QUEUE_SIZE);
		keyboard->queue_count--;
		if (byte_translate(keyboard, &byte))
			output_put(machine, byte);
	}
}

static void queue_put(struct machine *machine, uint8_t byte)
{
	struct machine_keyboard *keyboard = &machine->keyboard;
	uint32_t at = (keyboard->queue_first + keyboard->queue_count) % MACHINE_KEYBOARD_QUEUE_SIZE;

	if (keyboard->queue_count == MACHINE_KEYBOARD_QUEUE_SIZE)
		return;
	keyboard->queue[at] = byte;
	keyboard->queue_count++;
	queue_advance(machine);
}

void machine_keyboard_keys(struct machine *machine, const uint8_t *codes, uint32_t count)
{
	if (!machine->keyboard.scanning)
		return;
	for (uint32_t i = 0; i < count; i++)
		queue_put(machine, codes[i]);
}

/* Has `command` of the keyboard a byte of its own behind it? LEDs, scan code set, repeat rate. */
static bool keyboard_command_takes_byte(uint8_t command)
{
	return command == 0xed || command == 0xf0 || command == 0xf3;
}

static void keyboard_write(struct machine *machine, uint8_t value)
{
	struct machine_keyboard *keyboard = &machine->keyboard;
	uint8_t command = keyboard->keyboard_command;

	if (command) {
		keyboard->keyboard_command = 0;
		queue_put(machine, ANSWER_ACKNOWLEDGE);
		if (command == 0xf0 && value == 0) /* which set? */
			queue_put(machine, 2);
		return;
	}
	if (keyboard_command_takes_byte(value)) {
		keyboard->keyboard_command = value;
		queue_put(machine, ANSWER_ACKNOWLEDGE);
		return;
	}
	switch (value) {
	case 0xee: /* echo */
		queue_put(machine, value);
		return;
	case 0xf2: /* identify */
		queue_put(machine, ANSWER_ACKNOWLEDGE);
		queue_put(machine, 0xab);
		queue_put(machine, 0x83);
		return;
	case 0xf4:
	case 0xf5:
	case 0xf6:
		keyboard->scanning = value != 0xf5;
		queue_put(machine, ANSWER_ACKNOWLEDGE);
		return;
	case 0xff: /* reset and self-test */
		keyboard->scanning = 1;
		queue_put(machine, ANSWER_ACKNOWLEDGE);
		queue_put(machine, 0xaa);
		return;
	default:
		queue_put(machine, ANSWER_RESEND);
	}
}

/* The byte that a command of the controller waited for. */
static void controller_byte(struct machine *machine, uint8_t command, uint8_t value)
{
	switch (command) {
	case 0x60:
		machine->keyboard.command_byte = value;
		interrupt_update(machine);
		queue_advance(machine);
		break;
	case 0xd1: /* output port: bit 0 low resets the processor */
		if (!(value & 1))
			machine_power_request(machine, MACHINE_POWER_RESET);
		break;
	case 0xd2: /* as if the keyboard had sent it */
	case 0xd3: /* the mouse's loop comes out on the wrong side: no mouse */
		output_put(machine, value);
		break;
	default: /* 0xd4: to a mouse that is not there */
		break;
	}
}

static void controller_command(struct machine *machine, uint8_t command)
{
	struct machine_keyboard *keyboard = &machine->keyboard;

	switch (command) {
	case 0x20:
		output_put(machine, keyboard->command_byte);
		break;
	case 0x60:
	case 0xd1 ... 0xd4:
		keyboard->controller_command = command;
		break;
	case 0xa9: /* test of the mouse port */
		output_put(machine, RESULT_PORT_BAD);
		break;
	case 0xaa:
		keyboard->command_byte |= COMMAND_SELF_TESTED;
		output_put(machine, RESULT_GOOD);
		break;
	case 0xab:
		output_put(machine, 0);
		break;
	case 0xad:
		keyboard->command_byte |= COMMAND_DISABLE;
		break;
	case 0xae:
		keyboard->command_byte &= (uint8_t)~COMMAND_DISABLE;
		queue_advance(machine);
		break;
	case 0xd0:
		output_put(machine, OUTPUT_PORT);
		break;
	case 0xf0 ... 0xff: /* pulses low the lines whose bits are 0; line 0 is the reset */
		if (!(command & 1))
			machine_power_request(machine, MACHINE_POWER_RESET);
		break;
	default:
		break;
	}
}

uint8_t machine_keyboard_port_read(struct machine *machine, uint16_t port)
{
	struct machine_keyboard *keyboard = &machine->keyboard;
	uint8_t value = keyboard->output;

	if (port == 0x64)
		return (uint8_t)(STATUS_UNLOCKED | (keyboard->output_full ? STATUS_OUTPUT_FULL : 0) |
				 ((keyboard->command_byte & COMMAND_SELF_TESTED) ? STATUS_SELF_TESTED : 0) |
				 (keyboard->controller_command ? STATUS_COMMAND : 0));
	keyboard->output_full = 0;
	interrupt_update(machine);
	queue_advance(machine);
	return value;
}

void machine_keyboard_port_write(struct machine *machine, uint16_t port, uint8_t value)
{
	struct machine_keyboard *keyboard = &machine->keyboard;
	uint8_t command = keyboard->controller_command;

	keyboard->controller_command = 0;
	if (port == 0x64)
		controller_command(machine, value);
	else if (command)
		controller_byte(machine, command, value);
	else {
		/* Talking to the keyboard switches its line on. */
		keyboard->command_byte &= (uint8_t)~COMMAND_DISABLE;
		keyboard_write(machine, value);
	}
}
