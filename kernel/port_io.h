/* SPDX-License-Identifier: Apache-2.0 */
/* x86 I/O ports. Functions so that host tests can stand in a device model. */
#ifndef KERNEL_PORT_IO_H
#define KERNEL_PORT_IO_H

#include <stdint.h>

uint8_t port_read8(uint16_t port);
uint16_t port_read16(uint16_t port);
uint32_t port_read32(uint16_t port);
void port_write8(uint16_t port, uint8_t value);
void port_write16(uint16_t port, uint16_t value);
void port_write32(uint16_t port, uint32_t value);

#endif
