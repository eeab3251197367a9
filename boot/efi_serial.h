/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The UEFI loader's words on COM1, for servers whose firmware keeps its console
 * off the serial port. A firmware that drives serial ports itself writes its
 * console there already: then these functions leave the port alone.
 */
#ifndef BOOT_EFI_SERIAL_H
#define BOOT_EFI_SERIAL_H

#include <efi.h>

/* Looks whether there is a port to write to. Call once, before boot services exit. */
void efi_serial_init(void);

/*
 * Takes the port from the firmware, which is gone, or was left half-way through
 * its exit: what is written from here on comes out here.
 */
void efi_serial_take(void);

/* Writes a text, other characters than ASCII as `?`; bounded waits. */
void efi_serial_write(const CHAR16 *text);

#endif
