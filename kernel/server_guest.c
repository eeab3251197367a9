/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether and when the guest is started. It is held by a processor that cannot run
 * it, by anything wrong in the configuration, or by what its preparation said. The
 * console mends the configuration; the start then prepares what start-up could not.
 */
#include <stdio.h>

#include "kernel/console.h"
#include "kernel/cpu.h"
#include "kernel/guest_service.h"
#include "kernel/loop.h"
#include "kernel/pages.h"
#include "kernel/server.h"

static bool prepared;
static const char *preparation_failed; /* why; the last time */

const char *server_guest_hold(void)
{
	const char *reason = cpu_refusal(cpu_facts());

	if (!reason && server.config_errors.count > 0)
		reason = server.config_errors.list[0].text;
	return reason ? reason : preparation_failed;
}

/* Asked before a page is taken, so that a smaller guest can still be had at the console. */
static const char *check_memory(void)
{
	static char reason[128];
	struct pages_usage usage;

	pages_usage(&usage);
	if (server.config.guest.memory_size <= usage.free_size)
		return NULL;
	snprintf(reason, sizeof(reason), "guest.memory is %lu MiB, and this server has %lu MiB free",
		 (unsigned long)(server.config.guest.memory_size / MIB),
		 (unsigned long)(usage.free_size / MIB));
	return reason;
}

static void find_devices(struct guest_devices *devices)
{
	for (uint32_t i = 0; i < CONFIG_MIRROR_MAX; i++)
		devices->disks[i] = server_disk_of(DISK_MIRROR1 + i);
	for (uint32_t i = 0; i < CONFIG_PUBLIC_MAX; i++)
		devices->ports[i] = server_port_of(NETWORK_PUBLIC1 + i);
}

static void prepare(void)
{
	struct guest_devices devices;

	find_devices(&devices);
	preparation_failed = check_memory();
	if (!preparation_failed)
		preparation_failed =
			guest_service_init(&server.boot, &server.config, &devices, &server.events);
	if (preparation_failed) {
		console_printf("%s\n", preparation_failed);
		return;
	}
	prepared = true;
	loop_add("guest", guest_service_poll);
}

void server_prepare_guest(void)
{
	if (!server_guest_hold())
		prepare();
}

static void start(void)
{
	const char *reason;

	pages_close();
	reason = guest_service_start();
	if (reason)
		console_printf("the guest is not started: %s\n", reason);
}

void server_autostart_guest(void)
{
	if (prepared && server.config.guest.autostart)
		start();
}

void server_start_guest(void)
{
	preparation_failed = NULL; /* it is tried again */
	if (!prepared && !server_guest_hold())
		prepare();
	if (prepared && !server_guest_hold())
		start();
}
