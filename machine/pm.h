/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Power: the ACPI fixed registers at 0x600 (event, control, timer), soft-off, the
 * reset registers 0xcf9 and 0x92, and the power button. System control interrupt
 * is IRQ 9, level.
 */
#ifndef MACHINE_PM_H
#define MACHINE_PM_H

#include "include/bits.h"

struct machine;

#define MACHINE_PM_PORT 0x600
#define MACHINE_PM_PORT_COUNT 16
#define MACHINE_PM_EVENT_OFFSET 0
#define MACHINE_PM_CONTROL_OFFSET 4
#define MACHINE_PM_TIMER_OFFSET 8
#define MACHINE_PM_TIMER_HZ 3579545
#define MACHINE_PM_IRQ 9
#define MACHINE_PM_SLEEP_TYPE_S5 5
#define MACHINE_RESET_PORT 0xcf9
#define MACHINE_RESET_VALUE 0x06
#define MACHINE_FAST_RESET_PORT 0x92

struct machine_pm {
	uint16_t status;  /* PM1_STS */
	uint16_t enable;  /* PM1_EN */
	uint16_t control; /* PM1_CNT */
	uint8_t reset_control;
	uint8_t fast_reset;   /* port 0x92: A20 and reset */
	uint64_t timer_carry; /* half turns of the timer that were told */
};

void machine_pm_reset(struct machine *machine);

/* Ports 0x600..0x60f by offset, `size` 1, 2 or 4, within the block. */
uint32_t machine_pm_port_read(struct machine *machine, uint32_t offset, uint32_t size);
void machine_pm_port_write(struct machine *machine, uint32_t offset, uint32_t size, uint32_t value);
bool machine_pm_reads_time(uint32_t offset, uint32_t size, bool is_write);

/* Ports 0xcf9 and 0x92. */
uint8_t machine_pm_reset_read(struct machine *machine, uint16_t port);
void machine_pm_reset_write(struct machine *machine, uint16_t port, uint8_t value);

void machine_pm_power_button(struct machine *machine);

void machine_pm_time_set(struct machine *machine);
uint64_t machine_pm_deadline_ns(const struct machine *machine);

#endif
