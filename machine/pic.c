/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 8259A (Intel datasheet 231468) as a PC/AT wires two of them. Pins are edge
 * triggered unless ELCR says level (PIIX3 datasheet, 0x4d0/0x4d1). Not modelled:
 * MCS-80 mode and the buffered modes, which no PC uses.
 */
#include "machine/pic.h"

#include <string.h>

#include "machine/machine.h"

#define PIN_CASCADE 2
#define PIN_SPURIOUS 7

#define ICW1_INIT 0x10
#define ICW1_NEEDS_ICW4 0x01
#define ICW4_AUTO_EOI 0x02
#define ICW4_SPECIAL_FULLY_NESTED 0x10
#define OCW3_SELECT 0x08
#define OCW3_POLL 0x04

/* IRQ 0, 1, 2, 8 and 13 cannot be level triggered. */
static const uint8_t elcr_writable[2] = { 0xf8, 0xde };

void machine_pic_reset(struct machine *machine)
{
	memset(&machine->pic, 0, sizeof(machine->pic));
}

static uint8_t rotate_right(uint8_t bits, uint32_t count)
{
	return (uint8_t)((uint32_t)bits << (8 - count) | (uint32_t)bits >> count);
}

/* Distance of the most important pin in `bits` from the top of the order; 8: none. */
static uint32_t chip_priority(const struct machine_pic_chip *chip, uint8_t bits)
{
	if (bits == 0)
		return 8;
	return (uint32_t)__builtin_ctz(rotate_right(bits, chip->first));
}

static uint32_t chip_pin(const struct machine_pic_chip *chip, uint32_t priority)
{
	return (priority + chip->first) & 7;
}

/* The pin that the chip asks for, or -1. `request` is its IRR with the cascade's state. */
static int chip_pending(const struct machine_pic_chip *chip, uint8_t request)
{
	uint8_t in_service = chip->in_service;
	uint32_t priority = chip_priority(chip, (uint8_t)(request & ~chip->mask));

	if (chip->special_mask)
		in_service &= (uint8_t)~chip->mask;
	if (chip->special_fully_nested)
		in_service &= (uint8_t)~BIT(PIN_CASCADE);
	if (priority == 8 || priority >= chip_priority(chip, in_service))
		return -1;
	return (int)chip_pin(chip, priority);
}

/* The master's IRR: its pin 2 is the slave's output. */
static uint8_t master_request(const struct machine_pic *pic)
{
	uint8_t request = pic->chips[0].request & (uint8_t)~BIT(PIN_CASCADE);

	if (chip_pending(&pic->chips[1], pic->chips[1].request) >= 0)
		request |= (uint8_t)BIT(PIN_CASCADE);
	return request;
}

void machine_pic_irq_set(struct machine *machine, uint32_t irq, bool level)
{
	struct machine_pic_chip *chip = &machine->pic.chips[(irq >> 3) & 1];
	uint8_t bit = (uint8_t)BIT(irq & 7);
	uint8_t request = chip->request;

	if (irq == PIN_CASCADE)
		return;
	if (level && (!(chip->lines & bit) || (chip->level_triggered & bit)))
		chip->request |= bit;
	if (!level && (chip->level_triggered & bit))
		chip->request &= (uint8_t)~bit;
	chip->lines = (uint8_t)(level ? chip->lines | bit : chip->lines & ~bit);
	if (chip->request != request)
		machine_lines_changed(machine);
}

bool machine_pic_pending(const struct machine *machine, uint8_t *vector)
{
	const struct machine_pic *pic = &machine->pic;
	int pin;

	/* Nothing requested anywhere is by far the commonest case. */
	if (!(pic->chips[0].request | pic->chips[1].request))
		return false;
	pin = chip_pending(&pic->chips[0], master_request(pic));
	if (pin < 0)
		return false;
	if (pin != PIN_CASCADE) {
		*vector = (uint8_t)(pic->chips[0].vector_base + pin);
		return true;
	}
	pin = chip_pending(&pic->chips[1], pic->chips[1].request);
	*vector = (uint8_t)(pic->chips[1].vector_base + pin);
	return true;
}

static void chip_acknowledge(struct machine_pic_chip *chip, uint32_t pin)
{
	/* A cascade request means that a slave's pin is pending, so `pin` is one; the analyser cannot know.
	 */
	/* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult) */
	uint8_t bit = (uint8_t)BIT(pin);

	if (!chip->auto_eoi)
		chip->in_service |= bit;
	else if (chip->rotate_on_auto_eoi)
		chip->first = (pin + 1) & 7;
	if (!(chip->level_triggered & bit))
		chip->request &= (uint8_t)~bit;
}

uint8_t machine_pic_acknowledge(struct machine *machine)
{
	struct machine_pic *pic = &machine->pic;
	int pin = chip_pending(&pic->chips[0], master_request(pic));
	int slave_pin;

	if (pin < 0)
		return (uint8_t)(pic->chips[0].vector_base + PIN_SPURIOUS);
	slave_pin = chip_pending(&pic->chips[1], pic->chips[1].request);
	chip_acknowledge(&pic->chips[0], (uint32_t)pin);
	if (pin != PIN_CASCADE)
		return (uint8_t)(pic->chips[0].vector_base + pin);
	chip_acknowledge(&pic->chips[1], (uint32_t)slave_pin);
	return (uint8_t)(pic->chips[1].vector_base + slave_pin);
}

static void chip_init_start(struct machine_pic_chip *chip, uint8_t icw1)
{
	uint8_t lines = chip->lines;
	uint8_t level_triggered = chip->level_triggered;

	memset(chip, 0, sizeof(*chip));
	chip->lines = lines;
	chip->level_triggered = level_triggered;
	chip->request = lines & level_triggered;
	chip->init_step = 2;
	chip->init_wants_icw4 = icw1 & ICW1_NEEDS_ICW4;
}

static void chip_init_continue(struct machine_pic_chip *chip, uint8_t value)
{
	switch (chip->init_step) {
	case 2:
		chip->vector_base = value & 0xf8;
		chip->init_step = 3;
		return;
	case 3: /* how the two are wired is fixed */
		chip->init_step = chip->init_wants_icw4 ? 4 : 0;
		return;
	default:
		chip->auto_eoi = (value & ICW4_AUTO_EOI) != 0;
		chip->special_fully_nested = (value & ICW4_SPECIAL_FULLY_NESTED) != 0;
		chip->init_step = 0;
	}
}

/* OCW2: end of interrupt and rotation; `command` is its upper three bits. */
static void chip_end_of_interrupt(struct machine_pic_chip *chip, uint32_t command, uint32_t pin)
{
	uint32_t priority = chip_priority(chip, chip->in_service);

	switch (command) {
	case 0:
	case 4:
		chip->rotate_on_auto_eoi = command == 4;
		return;
	case 1: /* the most important one in service */
	case 5:
		if (priority == 8)
			return;
		pin = chip_pin(chip, priority);
		break;
	case 3:
	case 7: /* the one named */
		break;
	case 6:
		chip->first = (pin + 1) & 7;
		return;
	default:
		return;
	}
	chip->in_service &= (uint8_t)~BIT(pin);
	if (command & 4)
		chip->first = (pin + 1) & 7;
}

static void chip_command(struct machine_pic_chip *chip, uint8_t value)
{
	if (value & ICW1_INIT) {
		chip_init_start(chip, value);
	} else if (value & OCW3_SELECT) {
		if (value & OCW3_POLL)
			chip->poll = 1;
		if (value & 0x02)
			chip->read_in_service = value & 1;
		if (value & 0x40)
			chip->special_mask = (value >> 5) & 1;
	} else {
		chip_end_of_interrupt(chip, value >> 5, value & 7);
	}
}

void machine_pic_port_write(struct machine *machine, uint16_t port, uint8_t value)
{
	uint32_t index = (port & 0x80) ? 1 : 0;
	struct machine_pic_chip *chip = &machine->pic.chips[index];

	machine_lines_changed(machine);
	if (port == 0x4d0 || port == 0x4d1) {
		chip = &machine->pic.chips[port & 1];
		chip->level_triggered = value & elcr_writable[port & 1];
		chip->request |= chip->lines & chip->level_triggered;
	} else if (!(port & 1)) {
		chip_command(chip, value);
	} else if (chip->init_step) {
		chip_init_continue(chip, value);
		/* Means something where a cascade comes in only. */
		machine->pic.chips[1].special_fully_nested = 0;
	} else {
		chip->mask = value;
	}
}

/* Poll mode: the read stands for the acknowledge cycle. */
static uint8_t chip_poll(struct machine_pic *pic, uint32_t index)
{
	struct machine_pic_chip *chip = &pic->chips[index];
	int pin = chip_pending(chip, index == 0 ? master_request(pic) : chip->request);

	chip->poll = 0;
	if (pin < 0)
		return 0;
	chip_acknowledge(chip, (uint32_t)pin);
	return (uint8_t)(0x80 | pin);
}

uint8_t machine_pic_port_read(struct machine *machine, uint16_t port)
{
	uint32_t index = (port & 0x80) ? 1 : 0;
	struct machine_pic_chip *chip = &machine->pic.chips[index];

	if (port == 0x4d0 || port == 0x4d1)
		return machine->pic.chips[port & 1].level_triggered;
	if (chip->poll) {
		machine_lines_changed(machine);
		return chip_poll(&machine->pic, index);
	}
	if (port & 1)
		return chip->mask;
	if (chip->read_in_service)
		return chip->in_service;
	return index == 0 ? master_request(&machine->pic) : chip->request;
}
