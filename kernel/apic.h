/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's own local APIC: its one-shot timer, which ends guest slices and the
 * main loop's sleep. No other interrupt is ever let in: the two 8259 are masked.
 * APM 2, chapter 16.
 */
#ifndef KERNEL_APIC_H
#define KERNEL_APIC_H

#include "include/bits.h"

/* Switches the local APIC on. After paging_init. Returns 0, -ENOMEM, or -ENODEV when there is none. */
int apic_init(void);

/*
 * The timer: writing a count starts it, 0 stops it. When it has counted down, in bus
 * clocks, TRAP_VECTOR_APIC_TIMER comes; the handler only acknowledges. After apic_init().
 */
volatile uint32_t *apic_timer_register(void);

#endif
