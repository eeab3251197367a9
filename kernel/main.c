/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The boot as a table of contents. Together with the server_*.c beside it this is
 * the one place that knows everybody: it hands what one part found to the part
 * that needs it.
 *
 * Two kinds of trouble. What Yoke cannot run without (memory, a clock) is refused
 * by name, and the server halts. What only the guest cannot run without (SVM, a
 * configuration that is right) keeps the server at its console, guest not started.
 */
#include <errno.h>
#include <stdio.h>

#include "include/trace.h"
#include "kernel/acpi.h"
#include "kernel/apic.h"
#include "kernel/boot_info.h"
#include "kernel/clock.h"
#include "kernel/console.h"
#include "kernel/cpu.h"
#include "kernel/debug_exit.h"
#include "kernel/dma_pool.h"
#include "kernel/loop.h"
#include "kernel/mce.h"
#include "kernel/nmi.h"
#include "kernel/pages.h"
#include "kernel/paging.h"
#include "kernel/power.h"
#include "kernel/self_test.h"
#include "kernel/server.h"
#include "kernel/time.h"
#include "kernel/trap.h"

TRACE_FILE("boot", TRACE_INFO);

#define MAIN_STACK_SIZE (64 * KIB)
#define MCE_POLL_NS NS_PER_S

extern const char yoke_version[];
extern const char kernel_start[];
extern const char kernel_end[];
void kernel_main(const struct boot_info *from_loader);

struct server server;

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
	char text[BOOT_INFO_REASON_SIZE + 40];

	if (!boot_info_check(from_loader, &server.boot, reason)) {
		snprintf(text, sizeof(text), "boot information: %s", reason);
		refuse(text);
	}
	if (server.boot.kernel_size != (uint64_t)(kernel_end - kernel_start))
		refuse("boot information: the image's size is not this image's");
	if (boot_option(server.boot.command_line, "debug_exit", value))
		debug_exit_enable();
}

static void show_boot(void)
{
	const struct cpu_facts *cpu = cpu_facts();
	const char *loader = server.boot.loader;

	console_printf("Yoke %s, server %c, loaded by %s\n", yoke_version, server_letter(),
		       loader[0] ? loader : "an unnamed loader");
	if (server.boot.memory_ranges_left_out > 0 || server.boot.files_left_out > 0)
		console_printf(
			"boot information: %u memory ranges and %u boot files did not fit, and are left out\n",
			server.boot.memory_ranges_left_out, server.boot.files_left_out);
	console_printf("CPU: %s, %s family %#x model %#x stepping %u\n",
		       cpu->brand[0] ? cpu->brand : "no name", cpu->vendor, cpu->family, cpu->model,
		       cpu->stepping);
	if (cpu_refusal(cpu))
		console_printf("CPU: refused: %s\n", cpu_refusal(cpu));
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

	acpi_parse(&memory, server.boot.rsdp, &server.acpi);
	if (server.acpi.present)
		console_printf("ACPI: revision %u by %s, %u tables, %u processors\n", server.acpi.revision,
			       server.acpi.oem, server.acpi.table_count, server.acpi.cpu_count);
	else
		console_printf("ACPI: there is none\n");
	if (server.acpi.problem_count > 0)
		trace(TRACE_WARNING, "ACPI: %s (%u problems)", server.acpi.problem,
		      server.acpi.problem_count);
	power_init(&server.acpi);
}

static void start_clock(void)
{
	need(clock_init(server.acpi.pm_timer_port), "no clock to measure the TSC against");
	console_printf("clock: TSC at %lu.%06lu MHz by %s\n", (unsigned long)(clock_tsc_hz() / 1000000),
		       (unsigned long)(clock_tsc_hz() % 1000000), clock_source());
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
	loop_add("console", server_poll_console);
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
	uint64_t loader_us = clock_tsc_to_ns(server.boot.firmware_tsc) / NS_PER_US;

	console_printf("ready: %lu us after power-on, %lu us after the loader began\n", (unsigned long)now_us,
		       (unsigned long)(now_us - loader_us));
	if (server_guest_hold())
		console_printf("the guest is not started\n");
}

/* The rest of start-up, on a stack with a guard page. */
static void start_up(void)
{
	need(trap_init_stacks(), "no memory for the trap stacks"); /* faults get guarded stacks */
	server_read_configuration();				   /* yoke.conf and the boot command line */
	server_open_console();					   /* at the port and rate it says */
	show_boot();						   /* version, loader, processor */
	read_acpi();						   /* the firmware's tables */
	start_clock();						   /* from here on there is time */
	nmi_init();						   /* the chipset's errors are told */
	mce_init();						   /* the processor's too */
	need(apic_init(), "the local APIC cannot be used");	   /* ends guest slices and sleeps */
	need(dma_init(), "no memory for the devices' pool");	   /* memory that devices may reach */
	server_find_pci();					   /* found, sized, silenced */
	server_find_ports();					   /* network ports, by their drivers */
	server_find_disks();					   /* disks, and what lies on them */
	server_give_roles();					   /* who is cs1, boot, mirror1 ... */
	server_show_configuration_errors();			   /* what keeps the guest from starting */
	server_show_roles();					   /* who got which */
	add_services();						   /* what the main loop polls */
	server_prepare_guest();					   /* its memory, its processor proved */
	show_memory();						   /* who has how much */
	show_ready();						   /* start-up is done */
	self_test_run(server.boot.command_line);		   /* test=NAME: runs it and ends */
	server_autostart_guest();				   /* if it is to start by itself */
	server_start_command_line();				   /* the console answers */
	loop_run();
}

void kernel_main(const struct boot_info *from_loader)
{
	void *stack;

	trap_init();		     /* faults are told from here on */
	cpu_init();		     /* what the processor is */
	read_boot_info(from_loader); /* checked copy of what the loader said */
	pages_init(&server.boot);    /* which memory is free */
	need(paging_init(&server.boot), "no memory for the page tables"); /* W^X, guard pages, direct map */
	stack = paging_allocate_stack(MAIN_STACK_SIZE);
	need(stack ? 0 : -ENOMEM, "no memory for the stack");
	trap_switch_stack(stack, start_up);
}
