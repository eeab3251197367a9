/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's watchdog: an Intel 6300ESB timer (PCI 8086:25ab), which Linux drives
 * with i6300esb. There when the configuration says so. When both its stages have run out
 * it is an output; restart or stop is the policy of whoever takes that.
 */
#ifndef MACHINE_WATCHDOG_H
#define MACHINE_WATCHDOG_H

#include "include/bits.h"

struct machine;

#define MACHINE_WATCHDOG_SLOT 31

struct machine_watchdog {
	uint64_t deadline_ns; /* MACHINE_NO_DEADLINE: not running */
	uint32_t preload[2];  /* ticks of each stage */
	uint32_t function;    /* in machine_pci; only when the configuration has one */
	uint8_t unlock;	      /* 0, 1: 0x80 was written, 2: 0x86 too */
	uint8_t stage;
	uint8_t timed_out; /* the status that survives a reset by it */
	uint8_t reserved;
};

/* After machine_pci_init(). */
void machine_watchdog_reset(struct machine *machine);

/* The guest changed the byte at `offset` of a function's configuration space. */
void machine_watchdog_config_written(struct machine *machine, uint32_t function, uint32_t offset);
/* Does a write there start the timer, so that it needs the time? */
bool machine_watchdog_config_reads_time(const struct machine *machine, uint32_t function, uint32_t offset);

/* BAR 0: all writes may start the timer. */
uint64_t machine_watchdog_read(const struct machine *machine, uint32_t offset);
void machine_watchdog_write(struct machine *machine, uint32_t offset, uint32_t size, uint64_t value);

void machine_watchdog_time_set(struct machine *machine);
uint64_t machine_watchdog_deadline_ns(const struct machine *machine);

#endif
