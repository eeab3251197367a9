/* SPDX-License-Identifier: Apache-2.0 */
/* Which device answers at which port. */
#ifndef MACHINE_PORTS_H
#define MACHINE_PORTS_H

#include "include/bits.h"
#include "machine/pit.h"

struct machine;

#define MACHINE_NARROW_PORT_END 0x500 /* below it all devices are 8 bits wide */
#define MACHINE_FIXED_PORT_END 0xd00  /* from here on there are port BARs only */

/* machine_reads_time() for ports: of any, and without further ado for most that are narrow. */
bool machine_port_asks_time(const struct machine *machine, uint16_t port, uint32_t size, bool is_write);
static inline bool machine_port_reads_time(const struct machine *machine, uint16_t port, uint32_t size,
					   bool is_write)
{
	if (size == 1 && port < MACHINE_NARROW_PORT_END) {
		if (port >> 6 != 1) /* the 8254 and the clock are within 0x40 to 0x7f */
			return false;
		if (port == MACHINE_PIT_SPEAKER_PORT)
			return true;
	}
	if (port >= MACHINE_FIXED_PORT_END)
		return false;
	return machine_port_asks_time(machine, port, size, is_write);
}

#endif
