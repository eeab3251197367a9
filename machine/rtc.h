/* SPDX-License-Identifier: Apache-2.0 */
/* The MC146818 real-time clock and its 128 bytes of CMOS memory, ports 0x70 and 0x71, IRQ 8. */
#ifndef MACHINE_RTC_H
#define MACHINE_RTC_H

#include "include/bits.h"

struct machine;

#define MACHINE_RTC_IRQ 8
#define MACHINE_CMOS_SIZE 128

struct machine_rtc {
	int64_t offset_ns;	/* the clock is epoch + now_ns + offset_ns while it runs */
	uint64_t periodic_tick; /* ticks of the periodic rate that were told */
	uint64_t second;	/* since 1970: updates up to here were told */
	uint8_t index;		/* port 0x70 */
	uint8_t reserved[7];
	uint8_t cmos[MACHINE_CMOS_SIZE]; /* 0..9 and the century are stale while the clock runs */
};

void machine_rtc_init(struct machine *machine);	 /* power-on */
void machine_rtc_reset(struct machine *machine); /* the battery keeps clock and CMOS */

uint8_t machine_rtc_port_read(struct machine *machine, uint16_t port);
void machine_rtc_port_write(struct machine *machine, uint16_t port, uint8_t value);
bool machine_rtc_reads_time(const struct machine *machine, uint16_t port, bool is_write);

/* From outside: the clock shows `second` (UTC, since 1970) now. A clock that the guest holds stays as it is. */
void machine_rtc_set(struct machine *machine, uint64_t second);
void machine_rtc_time_set(struct machine *machine);
uint64_t machine_rtc_deadline_ns(const struct machine *machine);

#endif
