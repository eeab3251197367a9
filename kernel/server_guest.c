/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether and when the guest is started. It is held by a processor that cannot run
 * it, by anything wrong in the configuration, or by what its preparation said. The
 * console mends the configuration; the start then prepares what start-up could not.
 */
#include <errno.h>
#include <stdio.h>

#include "kernel/console.h"
#include "kernel/cpu.h"
#include "kernel/guest_service.h"
#include "kernel/loop.h"
#include "kernel/mirror_service.h"
#include "kernel/pages.h"
#include "kernel/pair_service.h"
#include "kernel/server.h"
#include "kernel/stage.h"

static bool prepared;
static bool is_pair;
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
	for (uint32_t i = 0; i < CONFIG_MIRROR_MAX; i++) {
		const char *missing = server.roles.missing[i];

		devices->disks[i] = server_disk_of(DISK_MIRROR1 + i);
		devices->missing[i] = missing[0] || server.roles.disks_by_order ? missing : NULL;
	}
	for (uint32_t i = 0; i < CONFIG_PUBLIC_MAX; i++)
		devices->ports[i] = server_port_of(NETWORK_PUBLIC1 + i);
}

static bool has_cs_port(void)
{
	return server_port_of(NETWORK_CS1) || server_port_of(NETWORK_CS2);
}

/* A recording is of one server. */
static bool may_be_pair(void)
{
	return server.config.pair.mode == CONFIG_PAIR_DUPLEX &&
	       server.config.record.mode == CONFIG_RECORD_OFF;
}

/* Without a CS port there is no other server; but one that was there may have the guest. */
static const char *check_alone(void)
{
	if (may_be_pair() && mirror_service_remembers_pair())
		return "this server is one of a pair, and has no CS port; "
		       "pair.mode = single runs the guest on this server alone";
	return NULL;
}

static const char *open_pair(void)
{
	struct pair_service_ports ports;

	for (uint32_t i = 0; i < WIRE_LINK_COUNT; i++)
		ports.cs[i] = server_port_of(NETWORK_CS1 + i);
	ports.others.management = server_port_of(NETWORK_MANAGEMENT);
	for (uint32_t i = 0; i < CONFIG_PUBLIC_MAX; i++)
		ports.others.publics[i] = server_port_of(NETWORK_PUBLIC1 + i);
	return pair_service_init(&ports, &server.config);
}

/* What this server remembers of a pair and of its disks. */
static const char *open_mirror(void)
{
	int error = server_open_state();
	const char *wrong;

	if (error == -ENOMEM)
		return "no memory for the state partition's writes";
	wrong = mirror_service_init(server.config.server.name == CONFIG_SERVER_B, is_pair,
				    server_disk_of(DISK_MIRROR1) != NULL);
	server_apply_disk_rates();
	return wrong || is_pair ? wrong : check_alone();
}

static const char *prepare_all(void)
{
	const char *wrong = check_memory();
	struct guest_devices devices;

	find_devices(&devices);
	is_pair = may_be_pair() && has_cs_port();
	if (!wrong)
		wrong = open_mirror();
	if (!wrong)
		wrong = guest_service_init(&server.boot, &server.config, &devices, &server.events,
					   is_pair ? pair_service_pair() : NULL);
	if (!wrong && is_pair)
		wrong = open_pair();
	return wrong;
}

static bool poll_stage(enum stage stage, bool (*poll)(void))
{
	enum stage before = stage_enter(stage);
	bool worked = poll();

	if (worked)
		stage_worked();
	stage_enter(before);
	return worked;
}

static bool poll_pair(void)
{
	return poll_stage(STAGE_PAIR, pair_service_poll);
}

static bool poll_mirror(void)
{
	return poll_stage(STAGE_DISK, mirror_service_poll);
}

static bool send_pair(void)
{
	return poll_stage(STAGE_PAIR, pair_service_send);
}

/* What came and what the pair wants is before the guest, and what the guest said goes out behind it. */
static void prepare(void)
{
	preparation_failed = prepare_all();
	if (preparation_failed) {
		console_printf("%s\n", preparation_failed);
		return;
	}
	prepared = true;
	if (is_pair)
		loop_add("pair", poll_pair);
	loop_add("mirror", poll_mirror);
	loop_add("guest", guest_service_poll);
	if (is_pair)
		loop_add("pair's words", send_pair);
}

void server_prepare_guest(void)
{
	if (!server_guest_hold())
		prepare();
}

/* The guest is this server's alone, and so are its disks. NULL, or why not. */
static const char *begin_single(void)
{
	static bool begun;

	if (begun)
		return NULL;
	if (mirror_service_remembers_pair() && !pair_service_leave())
		return "the state partition cannot be written";
	mirror_engine_mode(mirror_service_engine(), MIRROR_ALONE);
	begun = true;
	return NULL;
}

static void start(void)
{
	const char *reason = is_pair ? NULL : begin_single();

	if (!reason)
		reason = guest_service_start();
	if (reason)
		console_printf("the guest is not started: %s\n", reason);
}

/* From here on no memory is taken. In a pair the two servers agree on when the guest starts. */
static void end_start_up(void)
{
	pages_close();
	if (is_pair)
		pair_service_begin();
}

void server_autostart_guest(void)
{
	if (!prepared)
		return;
	end_start_up();
	if (!is_pair && server.config.guest.autostart)
		start();
}

bool server_is_pair(void)
{
	return is_pair;
}

void server_start_guest(void)
{
	preparation_failed = NULL; /* it is tried again */
	if (!prepared && !server_guest_hold()) {
		prepare();
		if (prepared)
			end_start_up();
	}
	if (prepared && !server_guest_hold())
		start();
}
