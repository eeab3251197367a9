/* SPDX-License-Identifier: Apache-2.0 */
/* Soft-off and reset: ACPI 6.4, 4.8.3.2 (PM1 control) and 4.8.3.6 (reset register). */
#include "kernel/power.h"

#include "include/trace.h"
#include "kernel/console.h"
#include "kernel/cpu.h"
#include "kernel/debug_exit.h"
#include "kernel/mmio.h"
#include "kernel/paging.h"
#include "kernel/port_io.h"
#include "kernel/time.h"

TRACE_FILE("power", TRACE_INFO);

#define PM1_SCI_ENABLED BIT(0)
#define PM1_SLEEP_TYPE(type) ((uint16_t)((type) << 10))
#define PM1_SLEEP_TYPE_MASK 0x1c00
#define PM1_SLEEP_ENABLE 0x2000

#define CHIPSET_RESET 0xcf9
#define CHIPSET_RESET_PREPARE 0x02
#define CHIPSET_RESET_NOW 0x06
#define KEYBOARD_COMMAND 0x64
#define KEYBOARD_RESET 0xfe
#define WAIT_US 50000
#define ACPI_MODE_TIMEOUT_MS 300

static const struct acpi_info *tables;
static struct mmio reset_register; /* size 0: not in memory */

void power_init(const struct acpi_info *acpi)
{
	tables = acpi;
	if (acpi->has_reset && acpi->reset.space == ACPI_SPACE_MEMORY)
		paging_map_mmio(acpi->reset.address, 1, &reset_register);
}

/* Without ACPI mode the PM1 registers may be dead (4.8.2.5). */
static bool enter_acpi_mode(void)
{
	uint64_t deadline_ns = time_now_ns() + ACPI_MODE_TIMEOUT_MS * NS_PER_MS;

	if (tables->smi_command_port == 0 || tables->acpi_enable == 0)
		return true;
	if (port_read16(tables->pm1a_control_port) & PM1_SCI_ENABLED)
		return true;
	port_write8(tables->smi_command_port, tables->acpi_enable);
	while (!(port_read16(tables->pm1a_control_port) & PM1_SCI_ENABLED))
		if (time_reached(deadline_ns))
			return false;
	return true;
}

static void write_sleep(uint16_t port, uint8_t type)
{
	uint16_t control = port_read16(port) & (uint16_t)~PM1_SLEEP_TYPE_MASK;

	port_write16(port, (uint16_t)(control | PM1_SLEEP_TYPE(type) | PM1_SLEEP_ENABLE));
}

void power_off(void)
{
	trace(TRACE_INFO, "power off");
	console_flush();
	debug_exit(DEBUG_EXIT_SUCCESS);
	if (!tables->has_soft_off || tables->pm1a_control_port == 0 || !enter_acpi_mode()) {
		console_printf("power off: the firmware offers no way\n");
		return;
	}
	write_sleep(tables->pm1a_control_port, tables->soft_off_type_a);
	if (tables->pm1b_control_port != 0)
		write_sleep(tables->pm1b_control_port, tables->soft_off_type_b);
	time_delay_us(WAIT_US);
	console_printf("power off: the firmware's way does not work\n");
}

_Noreturn void power_reset(void)
{
	static const struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) no_interrupts = { 0, 0 };

	trace(TRACE_INFO, "reset");
	console_flush();
	if (reset_register.size > 0)
		mmio_write8(&reset_register, 0, tables->reset_value);
	else if (tables->has_reset && tables->reset.space == ACPI_SPACE_PORT)
		port_write8((uint16_t)tables->reset.address, tables->reset_value);
	time_delay_us(WAIT_US);
	port_write8(CHIPSET_RESET, CHIPSET_RESET_PREPARE);
	port_write8(CHIPSET_RESET, CHIPSET_RESET_NOW);
	time_delay_us(WAIT_US);
	port_write8(KEYBOARD_COMMAND, KEYBOARD_RESET);
	time_delay_us(WAIT_US);
	__asm__ volatile("lidt %0; int3" : : "m"(no_interrupts));
	cpu_halt();
}
