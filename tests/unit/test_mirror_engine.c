/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mirror/engine.c: one server with its state partition as bytes, restarted at will.
 * Bad input (a partition that is missing, foreign, of another pair, older, newer or
 * corrupt; disks swapped; sizes that differ) is told by name, and nothing is written.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "include/crc32c.h"
#include "mirror/engine.h"
#include "tests/unit/host/trail.h"

#define SECTORS (40 * MIRROR_REGION_SECTORS)
#define PARTITION_SIZE (256 * KIB)
#define SECOND UINT64_C(1000000000)
#define PAIR UINT64_C(0x1122334455667788)

static uint8_t partition[PARTITION_SIZE];
static uint64_t state_writes;
static int state_error;	 /* of the next writes of the state partition */
static int disk_error;	 /* of the next requests to the disk */
static bool disk_stands; /* requests are kept under way */
static struct mirror_engine engine;
static struct metadata_choice choice;
static _Alignas(8) uint8_t memory[2][32768];
static const struct mirror_engine_disk disk_a1 = { .serial = "A1", .sector_count = SECTORS };
static uint64_t now_ns;

static void note_event(const struct mirror_engine_action *action)
{
	static const char *const names[] = {
		[MIRROR_EVENT_DISK_STATE] = "state",
		[MIRROR_EVENT_FAULT] = "fault",
		[MIRROR_EVENT_REPAIRED] = "repaired",
		[MIRROR_EVENT_CLEARED] = "cleared",
		[MIRROR_EVENT_STATE_FAILED] = "partition fails",
		[MIRROR_EVENT_STATE_BACK] = "partition back",
	};

	note("%s", names[action->event]);
	if (action->event == MIRROR_EVENT_DISK_STATE)
		note(" %c %s", 'a' + action->server, mirror_disk_state_name(action->to));
	else if (action->event == MIRROR_EVENT_FAULT)
		note(" %c %u", 'a' + action->server, action->fault);
	note("; ");
}

/* Takes all there is and does it. */
static void turn(void)
{
	struct mirror_engine_action action;

	trail[0] = '\0';
	mirror_engine_tick(&engine, now_ns += SECOND / 1000, 77);
	while (mirror_engine_take(&engine, &action)) {
		if (action.kind == MIRROR_ENGINE_EVENT) {
			note_event(&action);
		} else if (action.kind == MIRROR_ENGINE_OWN) {
			note("own %lu; ", action.sector);
			if (!disk_stands)
				mirror_engine_done(&engine, action.set, action.slot, disk_error);
		} else if (action.kind == MIRROR_ENGINE_FINISHED) {
			note("finished %lu:%d; ", action.tag, action.status);
			mirror_engine_release(&engine, action.set, action.slot);
		} else {
			note("%s; ", action.size == METADATA_SIZE ? "record" : "map");
			assert_true(range_fits(action.offset, action.size, PARTITION_SIZE));
			state_writes++;
			if (!state_error)
				memcpy(partition + action.offset, action.bytes, action.size);
			mirror_engine_state_written(&engine, state_error);
		}
	}
}

static void maps_load(uint32_t index)
{
	uint64_t offset;

	for (uint64_t block = 0; mirror_engine_map_place(&engine, index, block, &offset); block++)
		mirror_engine_map_load(&engine, index, block, partition + offset);
}

/* As the owner does at start-up; false: the partition was not believed. */
static bool power_on_with(const struct mirror_engine_disk *disk)
{
	const uint8_t *copies[METADATA_COPY_COUNT] = { partition, partition + METADATA_COPY_DISTANCE };

	now_ns = SECOND;
	state_writes = 0;
	state_error = 0;
	disk_error = 0;
	disk_stands = false;
	memset(memory, 0xee, sizeof(memory));
	mirror_engine_init(&engine, 0, PARTITION_SIZE);
	if (!mirror_engine_load(&engine, copies, &choice)) {
		if (!metadata_may_initialise(choice.verdict))
			return false;
		mirror_engine_create(&engine, PAIR);
	}
	assert_true(mirror_engine_memory_size(mirror_engine_sector_count(&engine, 0, disk)) <=
		    sizeof(memory[0]));
	if (mirror_engine_open(&engine, 0, disk, 5, memory[0]) == -EEXIST)
		maps_load(0);
	turn();
	return true;
}

static void go_alone(void)
{
	const struct metadata_pair pair = { .generation = engine.metadata.pair.generation + 1, .state = 1 };
	uint64_t ticket = mirror_engine_era_begin(&engine, &pair, 99 + pair.generation, true, false);

	assert_false(mirror_engine_is_durable(&engine, ticket));
	turn();
	assert_true(mirror_engine_is_durable(&engine, ticket));
	mirror_engine_mode(&engine, MIRROR_ALONE);
	turn();
}

static void submit(enum mirror_operation operation, uint64_t sector, uint64_t tag)
{
	assert_true(mirror_engine_submit(&engine, 0, operation, sector, 8, tag) >= 0);
}

static int begin(void **state)
{
	(void)state;
	memset(partition, 0, sizeof(partition));
	assert_true(power_on_with(&disk_a1));
	go_alone();
	return 0;
}

/* ---- what is remembered ---- */

static void changed_regions_survive_the_power(void **state)
{
	struct mirror_engine_status status;

	(void)state;
	submit(MIRROR_WRITE, 3 * MIRROR_REGION_SECTORS, 1);
	turn();
	assert_non_null(strstr(trail, "finished 1:0; "));
	assert_true(power_on_with(&disk_a1));
	assert_int_equal(choice.verdict, METADATA_GOOD);
	assert_int_equal(engine.metadata.pair.generation, 1);
	assert_true(mirror_engine_status(&engine, 0, &status));
	assert_int_equal(status.states[0], MIRROR_GOOD);
	assert_int_equal(status.states[1], MIRROR_MISSING);
	assert_int_equal(status.dirty_bytes, MIRROR_REGION_SIZE);
	assert_true(region_map_get(&engine.sets[0].set.dirty, 3));
	assert_false(mirror_engine_may_join(&engine));
	assert_false(mirror_engine_status(&engine, 1, &status));
}

/* The era says that it was written in, then the map says where, and only then it is written. */
static void nothing_is_written_before_it_is_remembered(void **state)
{
	(void)state;
	assert_false(metadata_era_now(&engine.metadata)->changed);
	submit(MIRROR_WRITE, 0, 1);
	turn();
	assert_string_equal(trail, "record; map; own 0; finished 1:0; ");
	assert_true(metadata_era_now(&engine.metadata)->changed);
	submit(MIRROR_WRITE, 8, 2); /* the same region */
	turn();
	assert_string_equal(trail, "own 8; finished 2:0; ");
	submit(MIRROR_READ, 10000 / 8, 3);
	turn();
	assert_string_equal(trail, "own 1250; finished 3:0; ");
}

static void reads_do_not_make_an_era_a_written_one(void **state)
{
	(void)state;
	submit(MIRROR_READ, 0, 1);
	assert_true(mirror_engine_submit(&engine, 0, MIRROR_FLUSH, 0, 0, 2) >= 0);
	turn();
	assert_string_equal(trail, "own 0; finished 1:0; own 0; finished 2:0; ");
	assert_false(metadata_era_now(&engine.metadata)->changed);
}

/* Does what is wanted until write `last` of the state partition, which is torn. False: there was none such. */
static bool torn_at(uint64_t last, bool told[3])
{
	struct mirror_engine_action action;
	uint64_t count = 0;

	mirror_engine_tick(&engine, now_ns += SECOND, 77);
	while (mirror_engine_take(&engine, &action)) {
		if (action.kind == MIRROR_ENGINE_OWN) {
			mirror_engine_done(&engine, 0, action.slot, 0);
		} else if (action.kind == MIRROR_ENGINE_FINISHED) {
			told[action.tag] = true;
			mirror_engine_release(&engine, 0, action.slot);
		} else if (action.kind == MIRROR_ENGINE_STATE) {
			memcpy(partition + action.offset, action.bytes, count == last ? 1536 : action.size);
			if (count++ == last)
				return true;
			mirror_engine_state_written(&engine, 0);
		}
	}
	return false;
}

/* The power goes in the middle of each write: what the guest was told of is remembered. */
static void power_may_go_at_any_write(void **state)
{
	bool torn = true;
	uint64_t last;

	(void)state;
	for (last = 0; torn; last++) {
		bool told[3] = { false };

		begin(NULL);
		submit(MIRROR_WRITE, 0, 0);
		turn();
		submit(MIRROR_WRITE, 9 * MIRROR_REGION_SECTORS, 1);
		engine.sets[0].set.states[MIRROR_PEER] =
			MIRROR_FAILED; /* so that a record is to be written, too */
		assert_null(mirror_engine_command(&engine, 0, MIRROR_COMMAND_ENABLE, 1));
		submit(MIRROR_WRITE, 18 * MIRROR_REGION_SECTORS, 2);
		torn = torn_at(last, told);
		assert_true(power_on_with(&disk_a1));
		assert_int_equal(engine.metadata.pair.generation, 1);
		assert_true(metadata_era_now(&engine.metadata)->changed);
		assert_true(region_map_get(&engine.sets[0].set.dirty, 0));
		for (uint32_t i = 1; i < 3; i++)
			assert_true(!told[i] || region_map_get(&engine.sets[0].set.dirty, i * 9));
		assert_true(torn || (told[1] && told[2]));
	}
	assert_in_range(last, 3, 9);
}

static void partition_that_fails_is_told_once_and_tried_again(void **state)
{
	(void)state;
	state_error = -EIO;
	submit(MIRROR_WRITE, 0, 1);
	turn();
	assert_string_equal(trail, "record; partition fails; ");
	for (uint32_t i = 0; i < 3; i++) {
		now_ns += 2 * SECOND;
		turn();
		assert_string_equal(trail, "record; ");
	}
	state_error = 0;
	turn();
	assert_string_equal(trail, ""); /* not at once */
	now_ns += 2 * SECOND;
	turn();
	assert_string_equal(trail, "record; partition back; map; own 0; finished 1:0; ");
}

/* A record that failed half-way leaves one copy; the next try must not go over that one. */
static void record_that_failed_is_written_in_the_same_place(void **state)
{
	struct mirror_engine_action action;
	uint64_t offset;

	(void)state;
	submit(MIRROR_WRITE, 0, 1);
	mirror_engine_tick(&engine, now_ns += SECOND, 77);
	assert_true(mirror_engine_take(&engine, &action));
	assert_int_equal(action.kind, MIRROR_ENGINE_STATE);
	offset = action.offset;
	memcpy(partition + offset, action.bytes, 1536);
	mirror_engine_state_written(&engine, -EIO);
	mirror_engine_tick(&engine, now_ns += 2 * SECOND, 77);
	do
		assert_true(mirror_engine_take(&engine, &action));
	while (action.kind != MIRROR_ENGINE_STATE);
	assert_int_equal(action.offset, offset);
	memcpy(partition + action.offset, action.bytes, 512);
	assert_true(power_on_with(&disk_a1));
}

static void steady_load_costs_no_metadata_writes(void **state)
{
	uint64_t before;

	(void)state;
	for (uint32_t i = 0; i < 40; i++)
		submit(MIRROR_WRITE, i * MIRROR_REGION_SECTORS, i);
	turn();
	before = state_writes;
	for (uint32_t i = 0; i < 5000; i++) {
		submit(MIRROR_WRITE, i * 31 % (SECTORS - 8), i);
		turn();
	}
	assert_int_equal(state_writes, before);
}

/* ---- faults ---- */

static void fault_is_one_event_and_stays_shown(void **state)
{
	struct mirror_engine_status status;

	(void)state;
	disk_error = -EIO;
	submit(MIRROR_READ, 64, 1);
	turn();
	assert_string_equal(trail, "own 64; fault a 1; finished 1:-5; record; ");
	submit(MIRROR_READ, 64, 2);
	turn();
	assert_string_equal(trail, "own 64; finished 2:-5; "); /* counted */
	disk_error = -ETIMEDOUT;
	submit(MIRROR_READ, 64, 3);
	turn();
	assert_string_equal(trail, "own 64; fault a 4; finished 3:-5; record; ");
	assert_true(power_on_with(&disk_a1));
	mirror_engine_status(&engine, 0, &status);
	assert_in_range(status.faults[0], 2, 3);
	assert_int_equal(status.faults[1], 0);
	assert_int_equal(status.states[0], MIRROR_GOOD); /* the last good copy stays */
	/* Somebody has seen them: the next one is news. */
	assert_null(mirror_engine_command(&engine, 0, MIRROR_COMMAND_ENABLE, 0));
	turn();
	assert_string_equal(trail, "cleared; record; ");
	mirror_engine_status(&engine, 0, &status);
	assert_int_equal(status.faults[0], 0);
	disk_error = -EIO;
	submit(MIRROR_READ, 64, 4);
	turn();
	assert_string_equal(trail, "own 64; fault a 1; finished 4:-5; record; ");
}

static void pulled_disk_that_comes_back_is_the_last_good_copy(void **state)
{
	(void)state;
	disk_error = -ENODEV;
	submit(MIRROR_WRITE, 0, 1);
	turn();
	assert_non_null(strstr(trail, "state a missing; "));
	assert_non_null(strstr(trail, "finished 1:-5; "));
	assert_int_equal(engine.metadata.sets[0].disk_states[0], MIRROR_MISSING);
	assert_true(power_on_with(&disk_a1));
	assert_int_equal(engine.sets[0].set.states[MIRROR_OWN], MIRROR_GOOD);
	/* Had the other one been whole, it may have been written since. */
	engine.metadata.sets[0].disk_states[0] = MIRROR_MISSING;
	engine.metadata.sets[0].disk_states[1] = MIRROR_GOOD;
	memcpy(partition + metadata_seal(&engine.metadata), &engine.metadata, METADATA_SIZE);
	assert_true(power_on_with(&disk_a1));
	assert_int_equal(engine.sets[0].set.states[MIRROR_OWN], MIRROR_OUTDATED);
}

static void commands_refuse_in_words(void **state)
{
	(void)state;
	assert_non_null(strstr(mirror_engine_command(&engine, 0, MIRROR_COMMAND_FAIL, 0), "last good copy"));
	assert_non_null(
		strstr(mirror_engine_command(&engine, 0, MIRROR_COMMAND_ENABLE, 0), "has not failed"));
	assert_non_null(
		strstr(mirror_engine_command(&engine, 0, MIRROR_COMMAND_REMIRROR, 0), "wrong direction"));
	assert_non_null(strstr(mirror_engine_command(&engine, 0, MIRROR_COMMAND_REMIRROR, 1), "not there"));
	assert_non_null(
		strstr(mirror_engine_command(&engine, 0, MIRROR_COMMAND_VERIFY, 0), "two good disks"));
	assert_non_null(
		strstr(mirror_engine_command(&engine, 1, MIRROR_COMMAND_FAIL, 0), "no such mirror set"));
	assert_non_null(strstr(mirror_engine_command(&engine, MIRROR_SET_MAX, MIRROR_COMMAND_FAIL, 0),
			       "no such mirror set"));
	engine.sets[0].set.states[MIRROR_PEER] = MIRROR_FAILED;
	assert_null(mirror_engine_command(&engine, 0, MIRROR_COMMAND_ENABLE, 1));
	turn();
	assert_string_equal(trail, "state b outdated; record; ");
}

/* ---- bad input ---- */

static void mend(uint8_t *copy)
{
	const uint32_t zero = 0;
	uint32_t crc;

	memcpy(copy + offsetof(struct metadata, crc32c), &zero, sizeof(zero));
	crc = crc32c(0, copy, METADATA_SIZE);
	memcpy(copy + offsetof(struct metadata, crc32c), &crc, sizeof(crc));
}

/* Refused at power-on, told by `name`, and no byte of the partition is another one. */
static void is_refused(enum metadata_verdict verdict, const char *name)
{
	static uint8_t before[PARTITION_SIZE];

	memcpy(before, partition, sizeof(before));
	assert_false(power_on_with(&disk_a1));
	assert_int_equal(choice.verdict, verdict);
	if (!strstr(choice.reason, name))
		fail_msg("\"%s\" does not say \"%s\"", choice.reason, name);
	assert_int_equal(state_writes, 0);
	assert_memory_equal(partition, before, sizeof(before));
}

static void state_partition_missing(void **state)
{
	const uint8_t *none[METADATA_COPY_COUNT] = { NULL, NULL };

	(void)state;
	mirror_engine_init(&engine, 0, PARTITION_SIZE);
	assert_false(mirror_engine_load(&engine, none, &choice));
	assert_int_equal(choice.verdict, METADATA_MISSING);
	assert_false(metadata_may_initialise(choice.verdict));
	assert_non_null(strstr(choice.reason, "cannot be read"));
}

static void state_partition_foreign(void **state)
{
	(void)state;
	memset(partition, 'x', sizeof(partition));
	is_refused(METADATA_FOREIGN, "not Yoke's");
}

static void state_partition_of_the_other_server(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < METADATA_COPY_COUNT; i++) {
		partition[i * METADATA_COPY_DISTANCE + offsetof(struct metadata, server)] = 1;
		mend(partition + i * METADATA_COPY_DISTANCE);
	}
	is_refused(METADATA_OTHER_SERVER, "server b's: the boot disks are swapped");
}

static void state_partition_older_or_newer(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < METADATA_COPY_COUNT; i++) {
		partition[i * METADATA_COPY_DISTANCE + offsetof(struct metadata, version)] =
			METADATA_VERSION - 1;
		mend(partition + i * METADATA_COPY_DISTANCE);
	}
	is_refused(METADATA_OLDER, "of an older version");
	for (uint32_t i = 0; i < METADATA_COPY_COUNT; i++) {
		partition[i * METADATA_COPY_DISTANCE + offsetof(struct metadata, version)] =
			METADATA_VERSION + 1;
		mend(partition + i * METADATA_COPY_DISTANCE);
	}
	is_refused(METADATA_NEWER, "of a newer version");
}

static void state_partition_corrupt(void **state)
{
	(void)state;
	partition[100] ^= 1;
	/* One copy is enough, and the other is written anew at once. */
	assert_true(power_on_with(&disk_a1));
	assert_true(choice.copy_lost);
	assert_true(power_on_with(&disk_a1));
	assert_false(choice.copy_lost);
	partition[100] ^= 1;
	partition[METADATA_COPY_DISTANCE + 100] ^= 1;
	is_refused(METADATA_CORRUPT, "damaged");
}

static void disk_is_not_taken(const struct mirror_engine_disk *disk, const char *name)
{
	struct mirror_engine_status status;
	uint8_t kept[2];

	memcpy(kept, engine.metadata.sets[0].disk_states, sizeof(kept));
	assert_true(power_on_with(disk));
	assert_non_null(mirror_engine_refusal(&engine, 0));
	if (!strstr(mirror_engine_refusal(&engine, 0), name))
		fail_msg("\"%s\" does not say \"%s\"", mirror_engine_refusal(&engine, 0), name);
	mirror_engine_status(&engine, 0, &status);
	assert_int_equal(status.states[0], MIRROR_MISSING);
	/* Whatever the guest asks for, that disk is not touched, and not waited for. */
	mirror_engine_mode(&engine, MIRROR_ALONE);
	submit(MIRROR_WRITE, 0, 1);
	submit(MIRROR_READ, 100, 2);
	turn();
	assert_null(strstr(trail, "own"));
	assert_non_null(strstr(trail, "finished 1:-5; "));
	assert_non_null(strstr(trail, "finished 2:-5; "));
	assert_string_equal(engine.metadata.sets[0].serials[0], "A1");
	assert_memory_equal(kept, engine.metadata.sets[0].disk_states, sizeof(kept));
}

static void disks_swapped_or_of_another_size(void **state)
{
	(void)state;
	strcpy(engine.metadata.sets[0].serials[1], "B1");
	metadata_set_add(&engine.metadata, 6, SECTORS, PARTITION_SIZE);
	strcpy(engine.metadata.sets[1].serials[0], "A2");
	memcpy(partition + metadata_seal(&engine.metadata), &engine.metadata, METADATA_SIZE);
	disk_is_not_taken(&(struct mirror_engine_disk){ .serial = "B1", .sector_count = SECTORS },
			  "swapped between the servers");
	disk_is_not_taken(&(struct mirror_engine_disk){ .serial = "A2", .sector_count = SECTORS },
			  "swapped between the bays");
	disk_is_not_taken(&(struct mirror_engine_disk){ .serial = "C9", .sector_count = SECTORS },
			  "not the disk that was here");
	disk_is_not_taken(&(struct mirror_engine_disk){ .serial = "A1", .sector_count = SECTORS - 1 },
			  "smaller than the set");
	disk_is_not_taken(&(struct mirror_engine_disk){ .serial = "", .sector_count = 0 },
			  "there is no disk");
	assert_true(power_on_with(&disk_a1)); /* back in its bay: as if nothing had been */
	assert_null(mirror_engine_refusal(&engine, 0));
	assert_int_equal(engine.sets[0].set.states[MIRROR_OWN], MIRROR_GOOD);
	assert_true(power_on_with(
		&(struct mirror_engine_disk){ .serial = "A1", .sector_count = SECTORS + 1000 }));
	assert_int_equal(engine.sets[0].set.sector_count, SECTORS);
}

/* What the guest has seen stays, whatever disk is in the bay; what nobody has seen yet may still change. */
static void sectors_are_the_sets(void **state)
{
	const struct mirror_engine_disk small = { .serial = "A1", .sector_count = SECTORS + 3 };
	const struct mirror_engine_disk large = { .serial = "A1",
						  .sector_count = SECTORS + 3,
						  .large_sectors = true };
	const struct mirror_engine_disk wanted = { .serial = "A1",
						   .sector_count = SECTORS + 3,
						   .large_wanted = true };

	(void)state;
	assert_true(is_aligned(SECTORS, MIRROR_LARGE_SECTOR_COUNT));
	disk_is_not_taken(&large, "has sectors of 4096 bytes");
	memset(partition, 0, sizeof(partition));
	assert_true(power_on_with(&large));
	assert_null(mirror_engine_refusal(&engine, 0));
	assert_int_equal(engine.sets[0].set.sector_count, SECTORS);
	assert_true(power_on_with(&small));
	assert_false(mirror_engine_large_sectors(&engine, 0, &large));
	assert_int_equal(engine.sets[0].set.sector_count, SECTORS + 3);
	assert_true(power_on_with(&wanted));
	go_alone();
	assert_true(power_on_with(&small));
	assert_null(mirror_engine_refusal(&engine, 0));
	assert_true(mirror_engine_large_sectors(&engine, 0, &small));
	assert_int_equal(engine.sets[0].set.sector_count, SECTORS);
	assert_true(power_on_with(&large));
	assert_null(mirror_engine_refusal(&engine, 0));
}

/* Two servers that are not a pair yet have no name to write down. */
static void record_without_a_name_is_not_written(void **state)
{
	const uint8_t *copies[METADATA_COPY_COUNT] = { partition, partition + METADATA_COPY_DISTANCE };
	const uint64_t starts = 1000;
	uint64_t ticket;

	(void)state;
	memset(partition, 0, sizeof(partition));
	mirror_engine_init(&engine, 0, PARTITION_SIZE);
	assert_false(mirror_engine_load(&engine, copies, &choice));
	assert_int_equal(mirror_engine_count_start(&engine, starts, &ticket), starts);
	assert_int_equal(mirror_engine_open(&engine, 0, &disk_a1, 5, memory[0]), 0);
	state_writes = 0;
	turn();
	assert_int_equal(state_writes, 0);
	assert_false(mirror_engine_is_durable(&engine, ticket));
	mirror_engine_create(&engine, PAIR);
	turn();
	assert_true(state_writes > 0);
	assert_true(mirror_engine_is_durable(&engine, ticket));
	assert_true(power_on_with(&disk_a1));
	assert_int_equal(engine.metadata.pair_identity, PAIR);
	assert_int_equal(engine.metadata.sets[0].identity, 5);
	/* A clock that was set back makes no number come again. */
	assert_int_equal(mirror_engine_count_start(&engine, 7, &ticket), starts + 1);
}

static void partition_without_room_for_the_maps_is_told(void **state)
{
	(void)state;
	memset(partition, 0, sizeof(partition));
	mirror_engine_init(&engine, 0, METADATA_MAPS_OFFSET + REGION_MAP_BLOCK_SIZE);
	mirror_engine_create(&engine, PAIR);
	assert_int_equal(mirror_engine_open(&engine, 0, &disk_a1, 5, memory[0]), -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(changed_regions_survive_the_power, begin),
		cmocka_unit_test_setup(record_without_a_name_is_not_written, begin),
		cmocka_unit_test_setup(nothing_is_written_before_it_is_remembered, begin),
		cmocka_unit_test_setup(reads_do_not_make_an_era_a_written_one, begin),
		cmocka_unit_test_setup(power_may_go_at_any_write, begin),
		cmocka_unit_test_setup(partition_that_fails_is_told_once_and_tried_again, begin),
		cmocka_unit_test_setup(record_that_failed_is_written_in_the_same_place, begin),
		cmocka_unit_test_setup(steady_load_costs_no_metadata_writes, begin),
		cmocka_unit_test_setup(fault_is_one_event_and_stays_shown, begin),
		cmocka_unit_test_setup(pulled_disk_that_comes_back_is_the_last_good_copy, begin),
		cmocka_unit_test_setup(commands_refuse_in_words, begin),
		cmocka_unit_test_setup(state_partition_missing, begin),
		cmocka_unit_test_setup(state_partition_foreign, begin),
		cmocka_unit_test_setup(state_partition_of_the_other_server, begin),
		cmocka_unit_test_setup(state_partition_older_or_newer, begin),
		cmocka_unit_test_setup(state_partition_corrupt, begin),
		cmocka_unit_test_setup(disks_swapped_or_of_another_size, begin),
		cmocka_unit_test_setup(sectors_are_the_sets, begin),
		cmocka_unit_test_setup(partition_without_room_for_the_maps_is_told, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
