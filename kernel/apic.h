/* SPDX-License-Identifier: Apache-2.0 */
/*
 * This processor's local APIC: one timer, which ends a guest slice or the main
 * loop's sleep, and nothing else. All other sources are masked, the 8259 pair
 * too; NMI stays with the pin of that name.
 */
#ifndef KERNEL_APIC_H
#define KERNEL_APIC_H

#include "include/bits.h"

/*
 * Takes the APIC over, in xAPIC mode: its registers in memory are what a guest
 * slice's way in reaches with one store. After clock_init() and paging_init().
 * Returns 0; -ENODEV when the processor has none, does not leave x2APIC mode, or
 * its timer does not count; -ENOMEM.
 */
int apic_init(void);

uint32_t apic_id(void);

/* Counts of the timer in one second (divider 1). */
uint64_t apic_timer_hz(void);

/*
 * One interrupt (TRAP_VECTOR_APIC_TIMER, acknowledged by its handler) after
 * `count` timer counts; 0 disarms. A running one is replaced.
 */
void apic_timer_start(uint32_t count);

/* The register behind apic_timer_start(), for assembly that arms a slice. After apic_init(). */
volatile uint32_t *apic_timer_register(void);

/* The same in nanoseconds, cut to what the counter holds; at least one count. */
void apic_timer_start_ns(uint64_t delay_ns);

/* Counts that are left; 0: it has fired or is disarmed. */
uint32_t apic_timer_left(void);

/* Timer interrupts taken so far. */
uint64_t apic_timer_count(void);

/* Tells the APIC that the interrupt in service is done. For handlers only. */
void apic_acknowledge(void);

#endif
