/* SPDX-License-Identifier: Apache-2.0 */
/*
 * I/O APIC (Intel 82093AA datasheet 290566). Edges at a masked pin are lost, as in
 * the chip. A level-triggered pin sends one message and then waits, remote IRR
 * set, for the end of interrupt; if it is still asserted then, it sends another.
 */
#include "machine/ioapic.h"

#include <string.h>

#include "machine/machine.h"

#define OFFSET_INDEX 0x00
#define OFFSET_WINDOW 0x10

#define REGISTER_ID 0x00
#define REGISTER_VERSION 0x01
#define REGISTER_ARBITRATION 0x02
#define REGISTER_REDIRECTION 0x10

#define VERSION (UINT32_C(0x11) | (MACHINE_IOAPIC_PIN_COUNT - 1) << 16)

#define ENTRY_VECTOR(entry) ((uint8_t)(entry))
#define ENTRY_MODE(entry) ((enum machine_delivery_mode)(((entry) >> 8) & 7))
#define ENTRY_LOGICAL BIT(11)
#define ENTRY_REMOTE_IRR BIT(14)
#define ENTRY_LEVEL BIT(15)
#define ENTRY_MASKED BIT(16)
#define ENTRY_DESTINATION(entry) ((uint32_t)((entry) >> 56))
#define ENTRY_WRITABLE (UINT64_C(0xff0000000001ffff) & ~(ENTRY_REMOTE_IRR | BIT(12)))

void machine_ioapic_reset(struct machine *machine)
{
	struct machine_ioapic *ioapic = &machine->ioapic;
	uint32_t lines = ioapic->lines;

	memset(ioapic, 0, sizeof(*ioapic));
	ioapic->lines = lines; /* the devices drive them, not we */
	for (uint32_t i = 0; i < MACHINE_IOAPIC_PIN_COUNT; i++)
		ioapic->redirections[i] = ENTRY_MASKED;
}

static void pin_send(struct machine *machine, uint32_t pin)
{
	uint64_t *entry = &machine->ioapic.redirections[pin];
	bool is_level = (*entry & ENTRY_LEVEL) != 0;

	if (is_level)
		*entry |= ENTRY_REMOTE_IRR;
	machine_lapic_message(machine, ENTRY_DESTINATION(*entry), (*entry & ENTRY_LOGICAL) != 0,
			      ENTRY_MODE(*entry), ENTRY_VECTOR(*entry), is_level);
}

/* A level-triggered pin: is there something to send? */
static void pin_level_check(struct machine *machine, uint32_t pin)
{
	uint64_t entry = machine->ioapic.redirections[pin];

	if ((entry & ENTRY_LEVEL) && !(entry & (ENTRY_MASKED | ENTRY_REMOTE_IRR)) &&
	    (machine->ioapic.lines & BIT(pin)))
		pin_send(machine, pin);
}

void machine_ioapic_pin_set(struct machine *machine, uint32_t pin, bool level)
{
	struct machine_ioapic *ioapic = &machine->ioapic;
	uint32_t bit = (uint32_t)BIT(pin);
	bool rises = level && !(ioapic->lines & bit);
	uint64_t entry = ioapic->redirections[pin];

	ioapic->lines = level ? ioapic->lines | bit : ioapic->lines & ~bit;
	if (entry & ENTRY_LEVEL)
		pin_level_check(machine, pin);
	else if (rises && !(entry & ENTRY_MASKED))
		pin_send(machine, pin);
}

void machine_ioapic_end_of_interrupt(struct machine *machine, uint8_t vector)
{
	for (uint32_t pin = 0; pin < MACHINE_IOAPIC_PIN_COUNT; pin++) {
		uint64_t *entry = &machine->ioapic.redirections[pin];

		if (!(*entry & ENTRY_REMOTE_IRR) || ENTRY_VECTOR(*entry) != vector)
			continue;
		*entry &= ~ENTRY_REMOTE_IRR;
		pin_level_check(machine, pin);
	}
}

static uint32_t register_read(const struct machine_ioapic *ioapic)
{
	uint32_t pin = (ioapic->index - REGISTER_REDIRECTION) / 2;

	if (ioapic->index == REGISTER_ID || ioapic->index == REGISTER_ARBITRATION)
		return ioapic->id;
	if (ioapic->index == REGISTER_VERSION)
		return VERSION;
	if (ioapic->index < REGISTER_REDIRECTION || pin >= MACHINE_IOAPIC_PIN_COUNT)
		return 0;
	return (uint32_t)(ioapic->redirections[pin] >> (ioapic->index & 1) * 32);
}

static void register_write(struct machine *machine, uint32_t value)
{
	struct machine_ioapic *ioapic = &machine->ioapic;
	uint32_t pin = (ioapic->index - REGISTER_REDIRECTION) / 2;
	uint32_t shift = (ioapic->index & 1) * 32;
	uint64_t mask = (UINT64_C(0xffffffff) << shift) & ENTRY_WRITABLE;
	uint64_t *entry;

	if (ioapic->index == REGISTER_ID)
		ioapic->id = value & 0x0f000000;
	if (ioapic->index < REGISTER_REDIRECTION || pin >= MACHINE_IOAPIC_PIN_COUNT)
		return;
	entry = &ioapic->redirections[pin];
	*entry = (*entry & ~mask) | ((uint64_t)value << shift & mask);
	/* Making a pin edge triggered clears remote IRR: Linux ends stuck interrupts so. */
	if (!(*entry & ENTRY_LEVEL))
		*entry &= ~ENTRY_REMOTE_IRR;
	pin_level_check(machine, pin);
}

uint32_t machine_ioapic_read(struct machine *machine, uint32_t offset)
{
	if (offset == OFFSET_INDEX)
		return machine->ioapic.index;
	return offset == OFFSET_WINDOW ? register_read(&machine->ioapic) : 0;
}

void machine_ioapic_write(struct machine *machine, uint32_t offset, uint32_t value)
{
	if (offset == OFFSET_INDEX)
		machine->ioapic.index = value & 0xff;
	else if (offset == OFFSET_WINDOW)
		register_write(machine, value);
}
