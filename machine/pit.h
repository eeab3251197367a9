/* SPDX-License-Identifier: Apache-2.0 */
/* The 8254 timer: channel 0 is IRQ 0, channel 2 is heard (and timed with) through port 0x61. */
#ifndef MACHINE_PIT_H
#define MACHINE_PIT_H

#include "include/bits.h"

struct machine;

#define MACHINE_PIT_HZ 1193182
#define MACHINE_PIT_SPEAKER_PORT 0x61 /* shows the time whenever it is read, and acts on it when written */

struct machine_pit_channel {
	uint64_t start_tick;  /* when counting began */
	uint64_t expire_tick; /* channel 0: the next IRQ; 0: none is due */
	uint32_t count;	      /* 1..65536 */
	uint8_t counting;     /* a whole count was written since the mode was set */
	uint8_t mode;	      /* 0..5 */
	uint8_t bcd;
	uint8_t access;	    /* 1: low byte, 2: high byte, 3: low then high */
	uint8_t write_high; /* access 3: the next write is the high byte */
	uint8_t read_high;
	uint8_t write_low_byte; /* access 3: what came first */
	uint8_t latched_bytes;	/* of latched_count still to be read */
	uint16_t latched_count;
	uint8_t status_latched;
	uint8_t latched_status;
	uint8_t gate;
	uint8_t reserved[7];
};

struct machine_pit {
	struct machine_pit_channel channels[3];
	uint8_t speaker; /* port 0x61 bit 1 */
	uint8_t reserved[7];
};

void machine_pit_reset(struct machine *machine);

/* Ports 0x40..0x43 and 0x61. */
uint8_t machine_pit_port_read(struct machine *machine, uint16_t port);
void machine_pit_port_write(struct machine *machine, uint16_t port, uint8_t value);
bool machine_pit_reads_time(const struct machine *machine, uint16_t port, bool is_write);

void machine_pit_time_set(struct machine *machine);
uint64_t machine_pit_deadline_ns(const struct machine *machine);

#endif
