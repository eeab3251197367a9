/* SPDX-License-Identifier: Apache-2.0 */
/* COM1 as a PC has it (16550): see efi_serial.h. Rate and format stay as the firmware left them. */
#include "boot/efi_serial.h"

#include <efilib.h>

#include "include/bits.h"

#define COM1_DATA 0x3f8
#define COM1_LINE_STATUS 0x3fd
#define LINE_STATUS_TRANSMITTER_FREE 0x20
#define LINE_STATUS_NO_PORT 0xff

#define POLLS_MAX 100000

static bool port_is_ours;

static uint8_t port_read8(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static void port_write8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

void efi_serial_init(void)
{
	EFI_GUID serial_io = SERIAL_IO_PROTOCOL;
	VOID *firmware_port;

	if (EFI_ERROR(LibLocateProtocol(&serial_io, &firmware_port)))
		efi_serial_take();
}

void efi_serial_take(void)
{
	port_is_ours = port_read8(COM1_LINE_STATUS) != LINE_STATUS_NO_PORT;
}

void efi_serial_write(const CHAR16 *text)
{
	if (!port_is_ours)
		return;
	for (; *text != 0; text++) {
		for (int i = 0;
		     i < POLLS_MAX && !(port_read8(COM1_LINE_STATUS) & LINE_STATUS_TRANSMITTER_FREE); i++)
			;
		port_write8(COM1_DATA, *text < 128 ? (uint8_t)*text : '?');
	}
}
