/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The boot as a table of contents, and the one file that knows everybody: it
 * hands what one part found to the part that needs it.
 *
 * Two kinds of trouble. What Yoke cannot run without (memory, a clock) is refused
 * by name, and the server halts. What only the guest cannot run without (SVM, a
 * configuration that is right) keeps the server at its console, guest not started.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "drivers/disk.h"
#include "drivers/net.h"
#include "drivers/uart.h"
#include "include/boot_info.h"
#include "include/trace.h"
#include "include/yoke_guid.h"
#include "kernel/acpi.h"
#include "kernel/apic.h"
#include "kernel/boot_info.h"
#include "kernel/clock.h"
#include "kernel/console.h"
#include "kernel/cpu.h"
#include "kernel/debug_exit.h"
#include "kernel/dma.h"
#include "kernel/dma_pool.h"
#include "kernel/gpt.h"
#include "kernel/guest_service.h"
#include "kernel/loop.h"
#include "kernel/mce.h"
#include "kernel/nmi.h"
#include "kernel/pages.h"
#include "kernel/paging.h"
#include "kernel/pci.h"
#include "kernel/pci_scan.h"
#include "kernel/power.h"
#include "kernel/self_test.h"
#include "kernel/time.h"
#include "kernel/trace.h"
#include "kernel/trap.h"
#include "manage/config.h"
#include "manage/roles.h"

TRACE_FILE("boot", TRACE_INFO);

#define MAIN_STACK_SIZE (64 * KIB)
#define DISK_MAX (3 * DISK_DEVICE_MAX)
#define PORT_MAX (2 * NET_DEVICE_MAX)
#define MCE_POLL_NS NS_PER_S

extern const char yoke_version[];
extern const char kernel_start[];
extern const char kernel_end[];
void kernel_main(const struct boot_info *from_loader);

static struct boot_info boot;
static struct acpi_info acpi;
static struct uart console_uart;
static struct config config;
static struct config_errors config_errors;
static struct role_port role_ports[PORT_MAX];
static struct role_disk role_disks[DISK_MAX];
static struct roles roles;
static bool guest_held; /* something keeps the guest from being started */

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

static void hold_guest(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void hold_guest(const char *format, ...)
{
	char reason[CONFIG_ERROR_SIZE];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(reason, sizeof(reason), format, arguments);
	va_end(arguments);
	guest_held = true;
	console_printf("%s\n", reason);
}

static void read_boot_info(const struct boot_info *from_loader)
{
	char reason[BOOT_INFO_REASON_SIZE];
	char value[BOOT_OPTION_SIZE];
	char text[BOOT_INFO_REASON_SIZE + 40];

	if (!boot_info_check(from_loader, &boot, reason)) {
		snprintf(text, sizeof(text), "boot information: %s", reason);
		refuse(text);
	}
	if (boot.kernel_size != (uint64_t)(kernel_end - kernel_start))
		refuse("boot information: the image's size is not this image's");
	if (boot_option(boot.command_line, "debug_exit", value))
		debug_exit_enable();
}

/* yoke.conf from among the boot files, then the boot command line's overrides. Told later, by
 * show_configuration(). */
static void read_configuration(void)
{
	const struct boot_file *file = boot_file_find(&boot, CONFIG_FILE_NAME);

	config_parse(file ? pages_pointer(file->base) : "", file ? file->size : 0, boot.command_line,
		     strlen(boot.command_line), &config, &config_errors);
	trace_set_server(config.server.name == CONFIG_SERVER_A ? 'a' : 'b');
	trace_set_level("all", config.trace.level);
	for (uint32_t i = 0; i < config.trace.categories.count; i++)
		trace_set_level(config.trace.categories.list[i].category,
				config.trace.categories.list[i].level);
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
static void open_console(void)
{
	static const struct console_port console_port = {
		.can_transmit = console_can_transmit,
		.transmit = console_transmit,
		.receive = console_take,
	};

	if (uart_init(&console_uart, config.console.port, config.console.rate_baud) == 0)
		console_attach(&console_port, config.console.port);
}

static void show_boot(void)
{
	const struct cpu_facts *cpu = cpu_facts();

	console_printf("Yoke %s, server %c, loaded by %s\n", yoke_version,
		       config.server.name == CONFIG_SERVER_A ? 'a' : 'b',
		       boot.loader[0] ? boot.loader : "an unnamed loader");
	if (boot.memory_ranges_left_out > 0 || boot.files_left_out > 0)
		console_printf("boot information: %u memory ranges and %u boot files did not fit, and are left out\n",
			       boot.memory_ranges_left_out, boot.files_left_out);
	console_printf("CPU: %s, %s family %#x model %#x stepping %u\n",
		       cpu->brand[0] ? cpu->brand : "no name", cpu->vendor, cpu->family, cpu->model,
		       cpu->stepping);
}

static void check_cpu(void)
{
	const char *reason = cpu_refusal(cpu_facts());

	if (reason)
		hold_guest("CPU: refused: %s", reason);
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
	power_init(&acpi);
}

static void start_clock(void)
{
	need(clock_init(acpi.pm_timer_port), "no clock to measure the TSC against");
	console_printf("clock: TSC at %lu.%06lu MHz by %s\n", (unsigned long)(clock_tsc_hz() / 1000000),
		       (unsigned long)(clock_tsc_hz() % 1000000), clock_source());
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

static struct config_pci_path pci_path(const struct pci_device *device)
{
	return (struct config_pci_path){ .bus = device->address.bus,
					 .device = device->address.device,
					 .function = device->address.function };
}

static void find_ports(void)
{
	net_probe_all();
	console_printf("network ports: %u\n", net_device_count());
	for (uint32_t i = 0; i < net_device_count() && i < PORT_MAX; i++) {
		const struct net_device *port = net_device_at(i);

		role_ports[i].pci = pci_path(port->pci);
		memcpy(role_ports[i].mac, port->mac, sizeof(role_ports[i].mac));
	}
}

/*
 * Reads from the start of `disk` into `buffer`, all of it. Start-up only: waits,
 * but the drivers end every request in their own time. Returns 0 or the error.
 */
static int read_disk(struct disk_device *disk, uint64_t sector, const struct dma_buffer *buffer)
{
	static struct disk_request request; /* a driver may still hold it when we give up */
	uint64_t deadline_ns = time_now_ns() + 3ull * DISK_TIMEOUT_MS * NS_PER_MS;
	int error;

	memset(&request, 0, sizeof(request));
	request.operation = DISK_READ;
	request.sector = sector;
	request.sector_count = (uint32_t)(buffer->size / disk->identity.sector_size);
	request.segment_count = 1;
	request.segments[0] =
		(struct disk_segment){ .physical = buffer->physical, .size = (uint32_t)buffer->size };
	error = disk->ops->submit(disk, &request);
	if (error)
		return error;
	disk->ops->start(disk);
	while (disk->ops->poll(disk) != &request)
		if (time_reached(deadline_ns))
			return trace_error(-ETIMEDOUT);
	return request.status;
}

/* What lies on a disk, in words; and does it hold Yoke's state partition? Nothing is written. */
static bool look_at_disk(struct disk_device *disk, const struct dma_buffer *buffer,
			 char what[GPT_REASON_SIZE])
{
	static const uint8_t state_type[GPT_GUID_SIZE] = YOKE_STATE_TYPE_GUID_BYTES;
	static struct gpt gpt;
	const struct disk_identity *identity = &disk->identity;
	const struct gpt_partition *state;
	int error = -EINVAL;

	if (identity->sector_count >= buffer->size / identity->sector_size)
		error = read_disk(disk, 0, buffer);
	if (error) {
		snprintf(what, GPT_REASON_SIZE, "not readable (error %d)", error);
		return false;
	}
	if (gpt_parse(buffer->address, buffer->size, identity->sector_size, identity->sector_count, &gpt,
		      what) != GPT_GOOD)
		return false;
	state = gpt_find(&gpt, state_type);
	if (!state) {
		snprintf(what, GPT_REASON_SIZE, "GPT with %u partitions, none of Yoke's",
			 gpt.partition_count);
		return false;
	}
	if (state->sector_count * identity->sector_size < buffer->size) {
		snprintf(what, GPT_REASON_SIZE, "GPT with a Yoke state partition that is too small");
		return false;
	}
	error = read_disk(disk, state->first_sector, buffer);
	if (error)
		snprintf(what, GPT_REASON_SIZE, "Yoke state partition, not readable (error %d)", error);
	else
		snprintf(what, GPT_REASON_SIZE, "Yoke state partition, %s",
			 gpt_is_blank(buffer->address, buffer->size) ? "empty"
								     : "of unknown contents: left as it is");
	return true;
}

static void find_disks(void)
{
	struct dma_buffer buffer;

	disk_probe_all();
	console_printf("disks: %u\n", disk_device_count());
	need(dma_allocate(&buffer, GPT_HEAD_SIZE, PAGE_SIZE), "no memory to read disks");
	for (uint32_t i = 0; i < disk_device_count() && i < DISK_MAX; i++) {
		struct disk_device *disk = disk_device_at(i);
		const struct disk_identity *identity = &disk->identity;
		char address[PCI_ADDRESS_TEXT_SIZE];
		char what[GPT_REASON_SIZE];

		role_disks[i].pci = pci_path(disk->pci);
		role_disks[i].unit = disk->unit;
		snprintf(role_disks[i].serial, sizeof(role_disks[i].serial), "%s", identity->serial);
		role_disks[i].size = identity->sector_count * identity->sector_size;
		role_disks[i].has_state = look_at_disk(disk, &buffer, what);
		pci_address_format(disk->pci->address, address);
		console_printf("  %s.%u %s: %s\n", address, disk->unit, disk->ops->name, what);
	}
}

static void show_roles(void)
{
	char address[PCI_ADDRESS_TEXT_SIZE];

	for (uint32_t role = 0; role < NETWORK_ROLE_COUNT; role++) {
		const struct net_device *port;

		if (roles.ports[role] == ROLE_NONE)
			continue;
		port = net_device_at(roles.ports[role]);
		pci_address_format(port->pci->address, address);
		console_printf("  %s: %s %s\n", network_role_name(role), address, port->ops->name);
	}
	for (uint32_t role = 0; role < DISK_ROLE_COUNT; role++) {
		const struct disk_device *disk;

		if (roles.disks[role] == ROLE_NONE)
			continue;
		disk = disk_device_at(roles.disks[role]);
		pci_address_format(disk->pci->address, address);
		console_printf("  %s: %s.%u %s\n", disk_role_name(role), address, disk->unit,
			       disk->ops->name);
	}
}

/* What is wrong with the configuration, now that the devices it names are known; else who has which role. */
static void give_roles(void)
{
	roles_assign(&config, role_ports, (uint32_t)min_u64(net_device_count(), PORT_MAX), role_disks,
		     (uint32_t)min_u64(disk_device_count(), DISK_MAX), &roles, &config_errors);
	if (!boot_file_find(&boot, CONFIG_FILE_NAME))
		hold_guest("%s: not among the files that the loader brought; an empty one is enough",
			   CONFIG_FILE_NAME);
	for (uint32_t i = 0; i < config_errors.count; i++)
		hold_guest("%s", config_errors.list[i].text);
	console_printf("roles:\n");
	show_roles();
}

static bool poll_machine_checks(void)
{
	static uint64_t next_ns;

	if (!time_reached(next_ns))
		return false;
	next_ns = time_now_ns() + MCE_POLL_NS;
	return mce_poll() > 0;
}

static void add_services(void)
{
	loop_add("console", console_poll);
	loop_add("machine checks", poll_machine_checks);
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

/* The loader's share begins with its first instruction; before that, time is the firmware's. */
static void show_ready(void)
{
	uint64_t now_us = time_now_ns() / NS_PER_US;
	uint64_t loader_us = clock_tsc_to_ns(boot.firmware_tsc) / NS_PER_US;

	console_printf("ready: %lu us after power-on, %lu us after the loader began\n", (unsigned long)now_us,
		       (unsigned long)(now_us - loader_us));
	if (guest_held)
		console_printf("the guest is not started\n");
}

/* The guest's memory is taken and its processor proved, also when it is started later. */
static void prepare_guest(void)
{
	const char *reason = guest_held ? NULL : guest_service_init(&boot, &config);

	if (reason)
		hold_guest("%s", reason);
	if (guest_held)
		return;
	loop_add("guest", guest_service_poll);
}

static void start_guest(void)
{
	const char *reason;

	if (guest_held || !config.guest.autostart)
		return;
	reason = guest_service_start();
	if (reason)
		hold_guest("%s", reason);
}

/* The rest of start-up, on a stack with a guard page. */
static void start_up(void)
{
	need(trap_init_stacks(), "no memory for the trap stacks"); /* faults get guarded stacks */
	read_configuration();					   /* yoke.conf and the boot command line */
	open_console();						   /* at the port and rate it says */
	show_boot();						   /* version, loader, processor */
	check_cpu();						   /* can it run a guest? */
	read_acpi();						   /* the firmware's tables */
	start_clock();						   /* from here on there is time */
	nmi_init();						   /* the chipset's errors are told */
	mce_init();						   /* the processor's too */
	need(apic_init(), "the local APIC cannot be used");	   /* ends guest slices and sleeps */
	need(dma_init(), "no memory for the devices' pool");	   /* memory that devices may reach */
	find_pci_devices();					   /* found, sized, silenced */
	find_ports();						   /* network ports, by their drivers */
	find_disks();						   /* disks, and what lies on them */
	give_roles();						   /* who is cs1, boot, mirror1 ... */
	add_services();						   /* what the main loop polls */
	prepare_guest();					   /* its memory and processor */
	show_memory();						   /* who has how much */
	show_ready();						   /* start-up is done */
	self_test_run(boot.command_line);			   /* test=NAME: runs it and ends */
	pages_close();						   /* no memory is taken from here on */
	start_guest();						   /* if it is to start by itself */
	loop_run();
}

void kernel_main(const struct boot_info *from_loader)
{
	void *stack;

	trap_init();						   /* faults are told from here on */
	cpu_init();						   /* what the processor is */
	read_boot_info(from_loader);				   /* checked copy of what the loader said */
	pages_init(&boot);					   /* which memory is free */
	need(paging_init(&boot), "no memory for the page tables"); /* W^X, guard pages, direct map */
	stack = paging_allocate_stack(MAIN_STACK_SIZE);
	need(stack ? 0 : -ENOMEM, "no memory for the stack");
	trap_switch_stack(stack, start_up);
}
