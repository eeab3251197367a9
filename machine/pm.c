/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI fixed hardware (ACPI 6.4, 4.8.3): always in ACPI mode, so there is no SMI
 * command port. The timer has 24 bits. Reset control as in the PIIX3 datasheet
 * (0xcf9): bit 2 going from 0 to 1 resets.
 */
#include "machine/pm.h"

#include <string.h>

#include "machine/clock.h"
#include "machine/machine.h"

#define EVENT_TIMER UINT16_C(0x0001)
#define EVENT_GLOBAL UINT16_C(0x0020)
#define EVENT_POWER_BUTTON UINT16_C(0x0100)
/* Sleep button and clock never come, but can be enabled: systems read back what they wrote. */
#define EVENT_ENABLES (EVENT_TIMER | EVENT_GLOBAL | EVENT_POWER_BUTTON | UINT16_C(0x0600))

#define CONTROL_SCI_ENABLE UINT16_C(0x0001)
#define CONTROL_SLEEP_TYPE(control) (((control) >> 10) & 7)
#define CONTROL_SLEEP_ENABLE UINT16_C(0x2000)
#define CONTROL_WRITABLE UINT16_C(0x1c02)

#define TIMER_BITS 24
#define TIMER_HALF_TURN BIT(TIMER_BITS - 1)

#define RESET_CPU 0x04
#define FAST_RESET 0x01
#define FAST_A20 0x02

void machine_pm_reset(struct machine *machine)
{
	struct machine_pm *pm = &machine->pm;

	memset(pm, 0, sizeof(*pm));
	pm->control = CONTROL_SCI_ENABLE;
	pm->fast_reset = FAST_A20;
	pm->timer_carry = clock_ticks(machine->now_ns, MACHINE_PM_TIMER_HZ) / TIMER_HALF_TURN;
}

static void interrupt_update(struct machine *machine)
{
	machine_irq_set(machine, MACHINE_PM_IRQ,
			(machine->pm.status & machine->pm.enable & EVENT_ENABLES) != 0);
}

void machine_pm_power_button(struct machine *machine)
{
	machine->pm.status |= EVENT_POWER_BUTTON;
	interrupt_update(machine);
}

/* Sets the timer's status bit when its top bit has changed since. */
static void timer_catch_up(struct machine *machine)
{
	struct machine_pm *pm = &machine->pm;
	uint64_t carry = clock_ticks(machine->now_ns, MACHINE_PM_TIMER_HZ) / TIMER_HALF_TURN;

	if (carry == pm->timer_carry)
		return;
	machine_changed(machine);
	pm->timer_carry = carry;
	pm->status |= EVENT_TIMER;
	interrupt_update(machine);
}

void machine_pm_time_set(struct machine *machine)
{
	/* Without its interrupt the status can wait until somebody looks. */
	if (machine->pm.enable & EVENT_TIMER)
		timer_catch_up(machine);
}

uint64_t machine_pm_deadline_ns(const struct machine *machine)
{
	const struct machine_pm *pm = &machine->pm;

	if (!(pm->enable & EVENT_TIMER) || (pm->status & EVENT_TIMER))
		return MACHINE_NO_DEADLINE;
	return clock_ns((pm->timer_carry + 1) * TIMER_HALF_TURN, MACHINE_PM_TIMER_HZ);
}

bool machine_pm_reads_time(uint32_t offset, uint32_t size, bool is_write)
{
	bool timer = offset < MACHINE_PM_TIMER_OFFSET + 4 && offset + size > MACHINE_PM_TIMER_OFFSET;

	return timer && !is_write;
}

/* The block as 16 bytes, of which an access sees some. */
static uint64_t block_half(const struct machine *machine, bool upper)
{
	const struct machine_pm *pm = &machine->pm;
	uint64_t timer = clock_ticks(machine->now_ns, MACHINE_PM_TIMER_HZ) & (BIT(TIMER_BITS) - 1);

	if (upper)
		return timer;
	return (uint64_t)pm->control << 32 | (uint64_t)pm->enable << 16 | pm->status;
}

uint32_t machine_pm_port_read(struct machine *machine, uint32_t offset, uint32_t size)
{
	uint32_t value = 0;

	if (offset < MACHINE_PM_CONTROL_OFFSET)
		timer_catch_up(machine);
	for (uint32_t i = 0; i < size; i++) {
		uint64_t half = block_half(machine, offset + i >= 8);

		value |= (uint32_t)(half >> (offset + i) % 8 * 8 & 0xff) << i * 8;
	}
	return value;
}

static void control_write(struct machine *machine, uint16_t value)
{
	machine->pm.control = (value & CONTROL_WRITABLE) | CONTROL_SCI_ENABLE;
	/* S5 is the one sleep state that \_S5 in the DSDT offers. */
	if ((value & CONTROL_SLEEP_ENABLE) && CONTROL_SLEEP_TYPE(value) == MACHINE_PM_SLEEP_TYPE_S5)
		machine_power_request(machine, MACHINE_POWER_OFF);
}

void machine_pm_port_write(struct machine *machine, uint32_t offset, uint32_t size, uint32_t value)
{
	struct machine_pm *pm = &machine->pm;

	machine_changed(machine);
	timer_catch_up(machine);
	for (uint32_t i = 0; i < size; i++, value >>= 8) {
		uint32_t at = offset + i;
		uint16_t shift = at & 1 ? 8 : 0;
		uint16_t byte = (uint16_t)((value & 0xff) << shift);
		uint16_t mask = (uint16_t)(0xff << shift);

		switch (at & ~UINT32_C(1)) {
		case 0: /* write one to clear */
			pm->status &= (uint16_t)~byte;
			break;
		case 2:
			pm->enable = (uint16_t)((pm->enable & ~mask) | byte) & EVENT_ENABLES;
			break;
		case MACHINE_PM_CONTROL_OFFSET:
			control_write(machine, (uint16_t)((pm->control & ~mask) | byte));
			break;
		default:
			break;
		}
	}
	interrupt_update(machine);
}

uint8_t machine_pm_reset_read(struct machine *machine, uint16_t port)
{
	return port == MACHINE_RESET_PORT ? machine->pm.reset_control : machine->pm.fast_reset;
}

void machine_pm_reset_write(struct machine *machine, uint16_t port, uint8_t value)
{
	struct machine_pm *pm = &machine->pm;

	if (port == MACHINE_RESET_PORT) {
		if ((value & RESET_CPU) && !(pm->reset_control & RESET_CPU))
			machine_power_request(machine, MACHINE_POWER_RESET);
		pm->reset_control = value & 0x0e;
		return;
	}
	/* A20 is always open: no system that Yoke runs needs it closed. */
	if ((value & FAST_RESET) && !(pm->fast_reset & FAST_RESET))
		machine_power_request(machine, MACHINE_POWER_RESET);
	pm->fast_reset = value | FAST_A20;
}
