/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guest's firmware writes to its debug port, as trace lines of the category
 * "firmware", level debug: where a start from disk has got to, when nothing else tells.
 */
#ifndef KERNEL_GUEST_DEBUG_PORT_H
#define KERNEL_GUEST_DEBUG_PORT_H

#include "include/bits.h"

void guest_debug_port_take(const uint8_t *bytes, uint64_t size);

#endif
