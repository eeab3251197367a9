/* SPDX-License-Identifier: Apache-2.0 */
/* Which device answers at which port. */
#ifndef MACHINE_PORTS_H
#define MACHINE_PORTS_H

#include "include/bits.h"

struct machine;

/* machine_reads_time() for ports. */
bool machine_port_reads_time(const struct machine *machine, uint16_t port, uint32_t size, bool is_write);

#endif
