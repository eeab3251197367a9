/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 6300ESB watchdog timer (Intel datasheet 300641, chapter 16), watchdog mode: two
 * stages count down one after the other; the first may interrupt, the second pulls
 * the reset line. A reload starts them anew and must be unlocked by two magic writes.
 * The first stage's interrupts are not modelled: the register that selects them
 * keeps "disabled".
 */
#include "machine/watchdog.h"

#include <string.h>

#include "include/byte_order.h"
#include "machine/clock.h"
#include "machine/machine.h"

#define CONFIG_REGISTER 0x60 /* 16 bits */
#define CONFIG_FAST 0x04     /* counts microseconds instead of milliseconds */
#define CONFIG_NO_OUTPUT 0x20
#define LOCK_REGISTER 0x68
#define LOCK_LOCKED 0x01 /* nothing here changes until reset */
#define LOCK_ENABLED 0x02

enum {
	OFFSET_PRELOAD_1 = 0x0,
	OFFSET_PRELOAD_2 = 0x4,
	OFFSET_INTERRUPT = 0x8,
	OFFSET_RELOAD = 0xc,
};

#define PRELOAD_MASK UINT32_C(0xfffff)
#define RELOAD_COUNT 0x100
#define RELOAD_TIMED_OUT 0x200
#define UNLOCK_1 0x80
#define UNLOCK_2 0x86

#define CLOCK_HZ UINT64_C(33000000)
#define SCALE_SLOW 15 /* clock / 2^15 */
#define SCALE_FAST 5

static struct machine_pci_function *function_of(struct machine *machine)
{
	return &machine->pci.functions[machine->watchdog.function];
}

void machine_watchdog_reset(struct machine *machine)
{
	const struct machine_pci_identity identity = {
		.vendor = 0x8086, .device = 0x25ab, .class_code = 0x088000, .revision = 2
	};
	struct machine_watchdog *watchdog = &machine->watchdog;
	uint8_t timed_out = watchdog->timed_out; /* kept, so that the guest can see why it was reset */

	memset(watchdog, 0, sizeof(*watchdog));
	watchdog->timed_out = timed_out;
	watchdog->deadline_ns = MACHINE_NO_DEADLINE;
	watchdog->preload[0] = PRELOAD_MASK;
	watchdog->preload[1] = PRELOAD_MASK;
	if (!machine->config.has_watchdog)
		return;
	watchdog->function =
		machine_pci_function_add(machine, MACHINE_PCI_DEVFN(MACHINE_WATCHDOG_SLOT, 0), &identity);
	machine_pci_bar_add(machine, watchdog->function, 0, 16, false);
	machine_pci_config_allow(machine, watchdog->function, CONFIG_REGISTER, 0x27);
	machine_pci_config_allow(machine, watchdog->function, LOCK_REGISTER, 0x07);
}

static uint64_t stage_ns(struct machine *machine, uint32_t stage)
{
	uint32_t scale =
		(function_of(machine)->config[CONFIG_REGISTER] & CONFIG_FAST) ? SCALE_FAST : SCALE_SLOW;

	return clock_ns((uint64_t)machine->watchdog.preload[stage] << scale, CLOCK_HZ);
}

static void stage_start(struct machine *machine, uint32_t stage)
{
	machine->watchdog.stage = (uint8_t)stage;
	machine->watchdog.deadline_ns = machine->now_ns + stage_ns(machine, stage);
}

bool machine_watchdog_config_reads_time(const struct machine *machine, uint32_t function, uint32_t offset)
{
	return machine->config.has_watchdog && function == machine->watchdog.function &&
	       (offset & ~UINT32_C(3)) == LOCK_REGISTER;
}

void machine_watchdog_config_written(struct machine *machine, uint32_t function, uint32_t offset)
{
	struct machine_pci_function *pci;
	uint8_t lock;

	if (!machine->config.has_watchdog || function != machine->watchdog.function ||
	    offset != LOCK_REGISTER)
		return;
	machine_changed(machine);
	pci = function_of(machine);
	lock = pci->config[LOCK_REGISTER];
	if (lock & LOCK_LOCKED) { /* write once */
		pci->writable[LOCK_REGISTER] = 0;
		pci->writable[CONFIG_REGISTER] = 0;
	}
	if (lock & LOCK_ENABLED)
		stage_start(machine, 0);
	else
		machine->watchdog.deadline_ns = MACHINE_NO_DEADLINE;
}

uint64_t machine_watchdog_read(const struct machine *machine, uint32_t offset)
{
	const struct machine_watchdog *watchdog = &machine->watchdog;

	switch (offset) {
	case OFFSET_PRELOAD_1:
		return watchdog->preload[0];
	case OFFSET_PRELOAD_2:
		return watchdog->preload[1];
	case OFFSET_RELOAD:
		return watchdog->timed_out ? RELOAD_TIMED_OUT : 0;
	default:
		return 0;
	}
}

static void reload_write(struct machine *machine, uint64_t value)
{
	struct machine_watchdog *watchdog = &machine->watchdog;

	machine_changed(machine);
	if (value & RELOAD_TIMED_OUT)
		watchdog->timed_out = 0;
	if ((value & RELOAD_COUNT) && watchdog->deadline_ns != MACHINE_NO_DEADLINE)
		stage_start(machine, 0);
}

void machine_watchdog_write(struct machine *machine, uint32_t offset, uint32_t size, uint64_t value)
{
	struct machine_watchdog *watchdog = &machine->watchdog;
	bool unlocked = watchdog->unlock == 2;

	if (offset == OFFSET_RELOAD && !unlocked) {
		if (value == UNLOCK_1)
			watchdog->unlock = 1;
		else
			watchdog->unlock = value == UNLOCK_2 && watchdog->unlock == 1 ? 2 : 0;
		return;
	}
	watchdog->unlock = 0;
	if (!unlocked)
		return;
	if (offset == OFFSET_RELOAD)
		reload_write(machine, value);
	else if (offset <= OFFSET_PRELOAD_2 && size == 4)
		watchdog->preload[offset / 4 & 1] = (uint32_t)value & PRELOAD_MASK;
}

void machine_watchdog_time_set(struct machine *machine)
{
	struct machine_watchdog *watchdog = &machine->watchdog;

	if (machine->now_ns < watchdog->deadline_ns)
		return;
	if (watchdog->stage == 0) {
		/* The second stage begins where the first ended, however late we are told. */
		watchdog->stage = 1;
		watchdog->deadline_ns += stage_ns(machine, 1);
		if (machine->now_ns < watchdog->deadline_ns)
			return;
	}
	watchdog->deadline_ns = MACHINE_NO_DEADLINE;
	watchdog->timed_out = 1;
	if (!(function_of(machine)->config[CONFIG_REGISTER] & CONFIG_NO_OUTPUT))
		machine_power_request(machine, MACHINE_POWER_WATCHDOG);
}

uint64_t machine_watchdog_deadline_ns(const struct machine *machine)
{
	return machine->watchdog.deadline_ns;
}
