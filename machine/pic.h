/* SPDX-License-Identifier: Apache-2.0 */
/* The pair of 8259A interrupt controllers with the PC's level/edge registers (ELCR). */
#ifndef MACHINE_PIC_H
#define MACHINE_PIC_H

#include "include/bits.h"

struct machine;

struct machine_pic_chip {
	uint8_t request;	 /* IRR */
	uint8_t in_service;	 /* ISR */
	uint8_t mask;		 /* IMR */
	uint8_t lines;		 /* levels at the pins */
	uint8_t level_triggered; /* ELCR */
	uint8_t vector_base;	 /* ICW2 */
	uint8_t first;		 /* pin of highest priority: rotation */
	uint8_t init_step;	 /* next ICW: 2, 3, 4; 0: none is due */
	uint8_t init_wants_icw4;
	uint8_t auto_eoi;
	uint8_t rotate_on_auto_eoi;
	uint8_t special_mask;
	uint8_t special_fully_nested;
	uint8_t read_in_service; /* OCW3: what a read of the first port gives */
	uint8_t poll;		 /* OCW3: the next read acknowledges */
	uint8_t reserved;
};

struct machine_pic {
	struct machine_pic_chip chips[2]; /* master, slave at the master's pin 2 */
};

void machine_pic_reset(struct machine *machine);

/* Level of ISA interrupt 0..15; 2 is the cascade and stays untouched. */
void machine_pic_irq_set(struct machine *machine, uint32_t irq, bool level);

/* Is INTR raised, and for which vector? Nothing changes. */
bool machine_pic_pending(const struct machine *machine, uint8_t *vector);

/* The processor's interrupt acknowledge cycle; returns the vector, a spurious one when nothing is pending. */
uint8_t machine_pic_acknowledge(struct machine *machine);

/* Ports 0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1. */
uint8_t machine_pic_port_read(struct machine *machine, uint16_t port);
void machine_pic_port_write(struct machine *machine, uint16_t port, uint8_t value);

#endif
