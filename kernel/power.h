/* SPDX-License-Identifier: Apache-2.0 */
/* Switching this server off and restarting it. */
#ifndef KERNEL_POWER_H
#define KERNEL_POWER_H

#include "kernel/acpi.h"

/* `acpi` tells how; it must stay valid. Once, at start-up. */
void power_init(const struct acpi_info *acpi);

/*
 * Ends QEMU when debug_exit is on; else ACPI's soft-off. Returns, having said so,
 * when the firmware offers no way or the way does not work.
 */
void power_off(void);

/* ACPI's reset register, then the chipset's, then the keyboard controller, then a triple fault. */
_Noreturn void power_reset(void);

#endif
