/* SPDX-License-Identifier: Apache-2.0 */
/* manage/status.c: the whole text and the whole JSON of a simplex and of a duplex pair. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "manage/status.h"

#define SECOND UINT64_C(1000000000)

static struct status status;
static struct event_log event_log;
static char buffer[STATUS_JSON_SIZE];
static struct text text;

static int set_up(void **state)
{
	(void)state;
	memset(&status, 0, sizeof(status));
	event_log_init(&event_log);
	text_init(&text, buffer, sizeof(buffer));
	strcpy(status.version, "1a2b3c");
	status.guest.memory_size = 512 * MIB;
	return 0;
}

static void a_server_that_has_just_started(void **state)
{
	(void)state;
	status.servers[0].state = STATUS_SERVER_WAITING;
	status_add_text(&text, &status, &event_log);
	assert_string_equal(buffer, "server a        waiting           this server, Yoke 1a2b3c\n"
				    "server b        unknown\n"
				    "guest           off               512M memory, starts from disk\n"
				    "link cs1        absent\n"
				    "link cs2        absent\n"
				    "no faults\n");
	assert_false(text.cut);
}

static void make_duplex(void)
{
	status.self = CONFIG_SERVER_B;
	status.servers[0].state = STATUS_SERVER_DUPLEX_LEADER;
	status.servers[0].uptime_ns = 93784 * SECOND;
	status.servers[0].sleep_ns = 90000 * SECOND;
	status.servers[0].busy_ns = 3000 * SECOND;
	status.servers[1].state = STATUS_SERVER_DUPLEX_FOLLOWER;
	status.servers[1].uptime_ns = 3725 * SECOND;
	status.guest.state = STATUS_GUEST_RUNNING;
	status.guest.start = CONFIG_START_DIRECT;
	status.guest.uptime_ns = 125 * SECOND;
	status.guest.exits = 123456;
	status.guest.restarts = 2;
	strcpy(status.lockstep.step_counter, "icount");
	status.lockstep.exact = true;
	status.lockstep.lag_ns = 1234567;
	status.lockstep.log_rate_bits = 1500000;
	status.lockstep.digest_checks = 777;
	status.lockstep.joins = 1;
	status.lockstep.join_stop_ns = 45 * 1000000;
	status.lockstep.join_rounds = 5;
	status.lockstep.join_bytes = 536870912;
	status.lockstep.log_bytes = 123;
	status.lockstep.wait_ns = 456;
	status.lockstep.held_outputs = 7;
	status.lockstep.held_ns = 89;
	status.links[0].state = STATUS_LINK_GOOD;
	status.links[0].rate_mbit = 1000;
	status.links[0].round_trip_ns = 151200;
	status.links[0].loss_ppm = 10100;
	status.links[1].state = STATUS_LINK_FAILED;
	strcpy(status.links[1].reason, "carrier lost");
	status.ports[NETWORK_PUBLIC1].state = STATUS_PORT_STANDBY;
	strcpy(status.ports[NETWORK_PUBLIC1].device, "00:06.0 e1000 52:54:00:00:00:06");
	status.ports[NETWORK_PUBLIC1].rate_mbit = 1000;
	status.ports[NETWORK_PUBLIC1].rx_frames = 10;
	status.ports[NETWORK_PUBLIC1].tx_frames = 20;
	status.ports[NETWORK_PUBLIC1].errors = 3;
	status.disks[DISK_BOOT].state = STATUS_DISK_GOOD;
	strcpy(status.disks[DISK_BOOT].device, "00:1f.2/1 ahci serial:QM1");
	status.disks[DISK_BOOT].size = 64 * MIB;
	status.disks[DISK_MIRROR1].state = STATUS_DISK_REMIRRORING;
	status.disks[DISK_MIRROR1].percent = 42;
	strcpy(status.disks[DISK_MIRROR1].device, "00:05.0/1 nvme");
	status.disks[DISK_MIRROR1].size = 10 * GIB;
	status.disks[DISK_MIRROR1].reads = 5;
	status.disks[DISK_MIRROR1].writes = 6;
	status.disks[DISK_MIRROR1 + 1].state = STATUS_DISK_MISSING;
	strcpy(status.disks[DISK_MIRROR1 + 1].reason, "no disk is serial:x");
	event_add(&event_log, 1 * SECOND, EVENT_ERROR, "disk mirror2", "good", "missing",
		  "no disk is serial:x");
	event_add(&event_log, 61 * SECOND, EVENT_WARNING, "link cs2", "good", "failed", "carrier lost");
}

static void a_duplex_pair_as_text(void **state)
{
	(void)state;
	make_duplex();
	status_add_text(&text, &status, &event_log);
	assert_string_equal(
		buffer,
		"server a        duplex-leader     up 1d 2h\n"
		"server b        duplex-follower   up 1h 2min, this server, Yoke 1a2b3c\n"
		"guest           running           512M memory, starts from direct, up 2min 5s, 123456 exits, restarted "
		"2 times\n"
		"lockstep        possible          step counter icount, lag 1234 us, log 1500 kbit/s, 777 checks, 0 "
		"divergences\n"
		"                                  1 joins, the last stopped the guest 45 ms, 0 failovers, the last took 0 "
		"ms\n"
		"link cs1        good              1000 Mbit/s, round trip 151 us, loss 1.01 %\n"
		"link cs2        failed            carrier lost\n"
		"port public1    standby           00:06.0 e1000 52:54:00:00:00:06, 1000 Mbit/s, 10 in, 20 out, 3 errors\n"
		"disk boot       good              00:1f.2/1 ahci serial:QM1, 64M, 0 reads, 0 writes\n"
		"disk mirror1    remirroring       42 % done, 00:05.0/1 nvme, 10G, 5 reads, 6 writes\n"
		"disk mirror2    missing           no disk is serial:x\n"
		"faults               1.000 error   disk mirror2: good -> missing: no disk is serial:x\n"
		"                    61.000 warning link cs2: good -> failed: carrier lost\n");
}

static void a_step_counter_that_is_not_exact(void **state)
{
	(void)state;
	strcpy(status.lockstep.step_counter, "icount");
	status_add_text(&text, &status, &event_log);
	assert_non_null(strstr(
		buffer, "lockstep        refused           step counter icount, lag 0 us, log 0 kbit/s, "
			"0 checks, 0 divergences: the step counter is not exact\n"));
}

static void a_duplex_pair_as_json(void **state)
{
	(void)state;
	make_duplex();
	status_add_json(&text, &status, &event_log);
	assert_string_equal(
		buffer,
		"{\"version\":\"1a2b3c\",\"self\":\"b\",\"servers\":{"
		"\"a\":{\"state\":\"duplex-leader\",\"reason\":\"\",\"uptime_ns\":93784000000000,"
		"\"sleep_ns\":90000000000000,\"busy_ns\":3000000000000},"
		"\"b\":{\"state\":\"duplex-follower\",\"reason\":\"\",\"uptime_ns\":3725000000000,\"sleep_ns\":0,\"busy_ns\":0}},"
		"\"guest\":{\"state\":\"running\",\"reason\":\"\",\"memory\":536870912,\"start\":\"direct\","
		"\"uptime_ns\":125000000000,\"exits\":123456,\"restarts\":2},"
		"\"lockstep\":{\"step_counter\":\"icount\",\"exact\":true,\"lag_ns\":1234567,\"log_rate_bits\":1500000,"
		"\"digest_checks\":777,\"divergences\":0,\"joins\":1,\"join_stop_ns\":45000000,\"failovers\":0,"
		"\"failover_ns\":0,\"join_rounds\":5,\"join_bytes\":536870912,\"log_bytes\":123,\"wait_ns\":456,"
		"\"held_outputs\":7,\"held_ns\":89},"
		"\"links\":{\"cs1\":{\"state\":\"good\",\"reason\":\"\",\"rate_mbit\":1000,\"round_trip_ns\":151200,"
		"\"loss_ppm\":10100},\"cs2\":{\"state\":\"failed\",\"reason\":\"carrier lost\",\"rate_mbit\":0,"
		"\"round_trip_ns\":0,\"loss_ppm\":0}},"
		"\"ports\":{\"public1\":{\"state\":\"standby\",\"reason\":\"\",\"device\":\"00:06.0 e1000 "
		"52:54:00:00:00:06\",\"rate_mbit\":1000,\"rx_frames\":10,\"tx_frames\":20,\"errors\":3}},"
		"\"disks\":{\"boot\":{\"state\":\"good\",\"reason\":\"\",\"percent\":0,\"device\":\"00:1f.2/1 ahci serial:QM1\","
		"\"size\":67108864,\"reads\":0,\"writes\":0,\"errors\":0,\"peer\":\"\",\"peer_lacks\":0,\"peer_remaining_ns\":0,\"peer_copied\":0,\"verify_percent\":0,\"verified_ns\":0,"
		"\"verify_mismatches\":0,\"verify_unreadable\":0,\"repaired\":0,\"faults\":0,\"peer_faults\":0,\"eras\":\"\"},"
		"\"mirror1\":{\"state\":\"remirroring\",\"reason\":\"\",\"percent\":42,\"device\":\"00:05.0/1 nvme\","
		"\"size\":10737418240,\"reads\":5,\"writes\":6,\"errors\":0,\"peer\":\"\",\"peer_lacks\":0,\"peer_remaining_ns\":0,\"peer_copied\":0,\"verify_percent\":0,\"verified_ns\":0,"
		"\"verify_mismatches\":0,\"verify_unreadable\":0,\"repaired\":0,\"faults\":0,\"peer_faults\":0,\"eras\":\"\"},"
		"\"mirror2\":{\"state\":\"missing\",\"reason\":\"no disk is serial:x\",\"percent\":0,\"device\":\"\","
		"\"size\":0,\"reads\":0,\"writes\":0,\"errors\":0,\"peer\":\"\",\"peer_lacks\":0,\"peer_remaining_ns\":0,\"peer_copied\":0,\"verify_percent\":0,\"verified_ns\":0,"
		"\"verify_mismatches\":0,\"verify_unreadable\":0,\"repaired\":0,\"faults\":0,\"peer_faults\":0,\"eras\":\"\"}},"
		"\"faults\":[{\"sequence\":1,\"time_ns\":1000000000,\"severity\":\"error\",\"object\":\"disk mirror2\","
		"\"old_state\":\"good\",\"new_state\":\"missing\",\"reason\":\"no disk is serial:x\"},"
		"{\"sequence\":2,\"time_ns\":61000000000,\"severity\":\"warning\",\"object\":\"link cs2\","
		"\"old_state\":\"good\",\"new_state\":\"failed\",\"reason\":\"carrier lost\"}]}");
}

static void json_of_nothing_has_no_stray_comma(void **state)
{
	(void)state;
	status_add_json(&text, &status, &event_log);
	assert_non_null(strstr(buffer, "\"ports\":{},\"disks\":{},\"faults\":[]}"));
	assert_null(strstr(buffer, ",}"));
	assert_null(strstr(buffer, ",]"));
}

static void one_disk_with_all_that_is_known(void **state)
{
	struct status_disk *disk = &status.disks[DISK_MIRROR1];

	(void)state;
	disk->state = STATUS_DISK_GOOD;
	strcpy(disk->device, "00:05.0/1 nvme");
	disk->size = 10 * GIB;
	strcpy(disk->peer, "remirroring 35 %");
	disk->lacks = 6 * GIB;
	disk->remaining_ns = 90 * SECOND;
	disk->verified_ns = 3600 * SECOND;
	disk->verify_mismatches = 2;
	disk->faults = 1;
	strcpy(disk->eras, "11 both, 12 a alone (written)");
	status_add_disk(&text, &status, DISK_MIRROR1);
	assert_string_equal(buffer, "disk mirror1: good\n"
				    "  percent             0\n"
				    "  device              00:05.0/1 nvme\n"
				    "  size                10G\n"
				    "  reads               0\n"
				    "  writes              0\n"
				    "  errors              0\n"
				    "  peer                remirroring 35 %\n"
				    "  peer lacks          6G\n"
				    "  peer remaining      1min 30s\n"
				    "  peer copied         0\n"
				    "  verify percent      0\n"
				    "  verified            1h 0min\n"
				    "  verify mismatches   2\n"
				    "  verify unreadable   0\n"
				    "  repaired            0\n"
				    "  faults              1\n"
				    "  peer faults         0\n"
				    "  eras                11 both, 12 a alone (written)\n");
	text_init(&text, buffer, STATUS_TEXT_SIZE);
	status_add_disks(&text, &status);
	assert_string_equal(buffer,
			    "disk mirror1    good              00:05.0/1 nvme, 10G, 0 reads, 0 writes, "
			    "the other server's: remirroring 35 %, which lacks 6G, about 1min 30s left, "
			    "verified 1h 0min ago, 2 regions differed\n");
}

static void one_line(void **state)
{
	(void)state;
	status_add_line(&text, &status, &event_log);
	assert_string_equal(buffer, "a unknown, b unknown, guest off, no faults");
	make_duplex();
	text_init(&text, buffer, sizeof(buffer));
	status_add_line(&text, &status, &event_log);
	assert_string_equal(buffer, "a duplex-leader, b duplex-follower, guest running, 2 faults");
}

/* Every text at its longest and every fault there is: still inside the sizes that the header promises. */
static void the_longest_status_fits(void **state)
{
	char reason[STATUS_REASON_SIZE];

	(void)state;
	make_duplex();
	memset(reason, 'r', sizeof(reason));
	reason[sizeof(reason) - 1] = '\0';
	for (uint32_t i = 0; i < EVENT_FAULT_MAX; i++) {
		char name[EVENT_OBJECT_SIZE + 1];

		snprintf(name, sizeof(name), "a thing of some kind %u", i);
		event_add(&event_log, UINT64_MAX, EVENT_ERROR, name, reason, reason, reason);
	}
	for (uint32_t i = 0; i < STATUS_SERVER_COUNT; i++)
		strcpy(status.servers[i].reason, reason);
	for (uint32_t i = 0; i < STATUS_LINK_COUNT; i++)
		strcpy(status.links[i].reason, reason);
	for (uint32_t i = 0; i < NETWORK_ROLE_COUNT; i++) {
		status.ports[i] = status.ports[NETWORK_PUBLIC1];
		strcpy(status.ports[i].reason, reason);
		memset(status.ports[i].device, 'd', STATUS_DEVICE_SIZE - 1);
	}
	for (uint32_t i = 0; i < DISK_ROLE_COUNT; i++) {
		status.disks[i] = status.disks[DISK_MIRROR1];
		strcpy(status.disks[i].reason, reason);
		memset(status.disks[i].device, 'd', STATUS_DEVICE_SIZE - 1);
		status.disks[i].reads = status.disks[i].writes = status.disks[i].errors = UINT64_MAX;
	}
	text_init(&text, buffer, STATUS_TEXT_SIZE);
	status_add_text(&text, &status, &event_log);
	assert_false(text.cut);
	text_init(&text, buffer, STATUS_JSON_SIZE);
	status_add_json(&text, &status, &event_log);
	assert_false(text.cut);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_server_that_has_just_started, set_up),
		cmocka_unit_test_setup(a_duplex_pair_as_text, set_up),
		cmocka_unit_test_setup(a_step_counter_that_is_not_exact, set_up),
		cmocka_unit_test_setup(a_duplex_pair_as_json, set_up),
		cmocka_unit_test_setup(json_of_nothing_has_no_stray_comma, set_up),
		cmocka_unit_test_setup(one_disk_with_all_that_is_known, set_up),
		cmocka_unit_test_setup(one_line, set_up),
		cmocka_unit_test_setup(the_longest_status_fits, set_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
