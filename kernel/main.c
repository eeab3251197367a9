/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The boot as a table of contents, and the one file that knows everybody.
 */
#include <stdio.h>
#include <string.h>

#include "drivers/disk.h"
#include "drivers/net.h"
#include "drivers/uart.h"
#include "include/boot_info.h"
#include "include/trace.h"
#include "kernel/acpi.h"
#include "kernel/apic.h"
#include "kernel/boot_info.h"
#include "kernel/clock.h"
#include "kernel/console.h"
#include "kernel/cpu.h"
#include "kernel/debug_exit.h"
#include "kernel/dma_pool.h"
#include "kernel/pages.h"
#include "kernel/paging.h"
#include "kernel/pci.h"
#include "kernel/pci_scan.h"
#include "kernel/self_test.h"
#include "kernel/time.h"
#include "kernel/trap.h"

TRACE_FILE("boot", TRACE_INFO);

#define CONSOLE_PORT_DEFAULT 0x3f8
#define CONSOLE_RATE_DEFAULT_BAUD 115200
#define MAIN_STACK_SIZE (64 * KIB)

extern const char yoke_version[];
void kernel_main(const struct boot_info *from_loader);

static struct boot_info boot;
static struct acpi_info acpi;
static struct uart console_uart;

/* A start-up that cannot go on: says why, and nothing else happens on this server. */
_Noreturn static void refuse(const char *reason)
{
	console_printf("yoke: refused: %s\n", reason);
	console_flush();
	debug_exit(DEBUG_EXIT_REFUSED);
	cpu_halt();
}

static void need(int error, const char *what)
{
	char reason[96];

	if (!error)
		return;
	snprintf(reason, sizeof(reason), "%s (error %d)", what, error);
	refuse(reason);
}

static void read_boot_info(const struct boot_info *from_loader)
{
	char reason[BOOT_INFO_REASON_SIZE];
	char value[BOOT_OPTION_SIZE];

	if (!boot_info_check(from_loader, &boot, reason)) {
		char text[BOOT_INFO_REASON_SIZE + 40];

		snprintf(text, sizeof(text), "boot information: %s", reason);
		refuse(text);
	}
	if (boot_option(boot.command_line, "debug_exit", value))
		debug_exit_enable();
}

static void show_boot(void)
{
	console_printf("Yoke %s, loaded by %s\n", yoke_version, boot.loader[0] ? boot.loader : "an unnamed loader");
}

static void show_memory(void)
{
	struct pages_usage usage;

	pages_usage(&usage);
	console_printf("memory: %lu MiB; the hypervisor uses %lu MiB, the guest %lu MiB\n",
		       (unsigned long)(usage.total_size / MIB),
		       (unsigned long)(align_up(usage.hypervisor_size, MIB) / MIB),
		       (unsigned long)(usage.guest_size / MIB));
}

static bool console_can_transmit(void)
{
	return uart_can_transmit(&console_uart);
}

static void console_transmit(uint8_t character)
{
	uart_transmit(&console_uart, character);
}

static bool console_take(uint8_t *character)
{
	return uart_receive(&console_uart, character);
}

/* Without a chip there all goes on as before: there is no other console to complain on. */
static void open_console(uint16_t port, uint32_t rate_baud)
{
	static const struct console_port console_port = {
		.can_transmit = console_can_transmit,
		.transmit = console_transmit,
		.receive = console_take,
	};

	if (uart_init(&console_uart, port, rate_baud) == 0)
		console_attach(&console_port, port);
}

static bool read_for_acpi(void *context, uint64_t physical, void *to, uint64_t size)
{
	(void)context;
	return paging_read_physical(physical, to, size);
}

/* A server without ACPI, or with broken tables, runs; it loses what they would have told. */
static void read_acpi(void)
{
	const struct acpi_memory memory = { .read = read_for_acpi };

	acpi_parse(&memory, boot.rsdp, &acpi);
	if (acpi.present)
		console_printf("ACPI: revision %u by %s, %u tables, %u processors\n", acpi.revision, acpi.oem,
			       acpi.table_count, acpi.cpu_count);
	else
		console_printf("ACPI: there is none\n");
	if (acpi.problem_count > 0)
		trace(TRACE_WARNING, "ACPI: %s (%u problems)", acpi.problem, acpi.problem_count);
}

static void find_pci_devices(void)
{
	pci_use_segments(&acpi);
	pci_init();
	console_printf("PCI: %u devices, configuration space by %s\n", pci_device_count(), pci_access_name());
	for (uint32_t i = 0; i < pci_device_count(); i++) {
		const struct pci_device *device = pci_device_at(i);
		char address[PCI_ADDRESS_TEXT_SIZE];

		pci_address_format(device->address, address);
		console_printf("  %s %04x:%04x class %02x%02x%02x\n", address, device->vendor, device->device,
			       device->class_code, device->subclass, device->interface);
	}
}

static void show_port(const struct net_device *port)
{
	char address[PCI_ADDRESS_TEXT_SIZE];

	pci_address_format(port->pci->address, address);
	console_printf("  %s %s %02x:%02x:%02x:%02x:%02x:%02x\n", address, port->ops->name, port->mac[0], port->mac[1],
		       port->mac[2], port->mac[3], port->mac[4], port->mac[5]);
}

static void show_disk(const struct disk_device *disk)
{
	const struct disk_identity *identity = &disk->identity;
	char address[PCI_ADDRESS_TEXT_SIZE];

	pci_address_format(disk->pci->address, address);
	console_printf("  %s.%u %s %lu MiB, %u-byte sectors, serial \"%s\"%s\n", address, disk->unit, disk->ops->name,
		       (unsigned long)(identity->sector_count / (MIB / identity->sector_size)), identity->sector_size,
		       identity->serial, identity->read_only ? ", read only" : "");
}

static void find_ports_and_disks(void)
{
	net_probe_all();
	disk_probe_all();
	console_printf("network ports: %u\n", net_device_count());
	for (uint32_t i = 0; i < net_device_count(); i++)
		show_port(net_device_at(i));
	console_printf("disks: %u\n", disk_device_count());
	for (uint32_t i = 0; i < disk_device_count(); i++)
		show_disk(disk_device_at(i));
}

/* The loader's share begins with its first instruction; before that, time is the firmware's. */
static void show_ready(void)
{
	uint64_t now_us = time_now_ns() / NS_PER_US;
	uint64_t loader_us = clock_tsc_to_ns(boot.firmware_tsc) / NS_PER_US;

	console_printf("ready: %lu us after power-on, %lu us after the loader began\n", (unsigned long)now_us,
		       (unsigned long)(now_us - loader_us));
}

/* The rest of start-up, on a stack with a guard page. */
static void start_up(void)
{
	need(trap_init_stacks(), "no memory for the trap stacks"); /* faults get guarded stacks */
	read_acpi();						   /* the firmware's tables */
	need(clock_init(acpi.pm_timer_port), "no clock to measure the TSC against");
	need(apic_init(), "the local APIC cannot be used");	   /* ends the guest's slices */
	need(dma_init(), "no memory for the devices' pool");	   /* memory that devices may reach */
	find_pci_devices();					   /* found, sized, silenced */
	find_ports_and_disks();					   /* by the drivers */
	show_memory();
	show_ready();
	self_test_run(boot.command_line);
	cpu_halt();
}

void kernel_main(const struct boot_info *from_loader)
{
	void *stack;

	trap_init();		     /* faults are told from here on */
	cpu_init();		     /* what the processor is */
	read_boot_info(from_loader); /* checked copy of what the loader said */
	open_console(CONSOLE_PORT_DEFAULT, CONSOLE_RATE_DEFAULT_BAUD);
	show_boot();
	pages_init(&boot);			    /* which memory is free */
	need(paging_init(&boot), "no memory for the page tables"); /* W^X, guard pages, direct map */
	stack = paging_allocate_stack(MAIN_STACK_SIZE);
	need(stack ? 0 : -1, "no memory for the stack");
	trap_switch_stack(stack, start_up);
}
