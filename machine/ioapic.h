/* SPDX-License-Identifier: Apache-2.0 */
/* The I/O APIC: 24 pins at 0xfec00000. Pin = global interrupt, but ISA interrupt 0 is pin 2. */
#ifndef MACHINE_IOAPIC_H
#define MACHINE_IOAPIC_H

#include "include/bits.h"

struct machine;

#define MACHINE_IOAPIC_BASE UINT64_C(0xfec00000)
#define MACHINE_IOAPIC_SIZE UINT64_C(0x1000)
#define MACHINE_IOAPIC_PIN_COUNT 24

struct machine_ioapic {
	uint32_t index; /* IOREGSEL */
	uint32_t id;
	uint32_t lines; /* levels at the pins, 1 = asserted */
	uint32_t reserved;
	uint64_t redirections[MACHINE_IOAPIC_PIN_COUNT];
};

void machine_ioapic_reset(struct machine *machine);

/* Level of `pin`, asserted or not whatever the polarity. */
void machine_ioapic_pin_set(struct machine *machine, uint32_t pin, bool level);

/* The local APIC has seen the end of a level-triggered interrupt. */
void machine_ioapic_end_of_interrupt(struct machine *machine, uint8_t vector);

/* Registers by offset from the base, 32 bits. */
uint32_t machine_ioapic_read(struct machine *machine, uint32_t offset);
void machine_ioapic_write(struct machine *machine, uint32_t offset, uint32_t value);

#endif
