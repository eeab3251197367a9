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

/* Writes a text, other characters than ASCII as `?`; bounded waits. */
void efi_serial_write(const CHAR16 *text);

#endif
