/* SPDX-License-Identifier: Apache-2.0 */
/* mirror/metadata.c: which copy of the state is believed, and what is told of one that is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "include/crc32c.h"
#include "mirror/metadata.h"
#include "mirror/region_map.h"

#define PAIR UINT64_C(0x1122334455667788)
#define PARTITION_SIZE (64 * MIB)

static uint8_t partition[METADATA_MAPS_OFFSET];
static struct metadata current;
static struct metadata found;
static struct metadata_choice choice;

static void write_next(uint64_t torn_at)
{
	uint64_t offset = metadata_seal(&current);

	memcpy(partition + offset, &current, torn_at);
}

static enum metadata_verdict choose(void)
{
	const uint8_t *copies[METADATA_COPY_COUNT] = { partition, partition + METADATA_COPY_DISTANCE };

	memset(&found, 0xee, sizeof(found));
	metadata_choose(copies, PAIR, 0, &found, &choice);
	assert_true(choice.reason[0] != '\0');
	return choice.verdict;
}

static int begin(void **state)
{
	(void)state;
	memset(partition, 0, sizeof(partition));
	metadata_init(&current, PAIR, 0);
	return 0;
}

static void mend(uint8_t *copy)
{
	uint32_t zero = 0;
	uint32_t crc;

	memcpy(copy + 12, &zero, 4);
	crc = crc32c(0, copy, METADATA_SIZE);
	memcpy(copy + 12, &crc, 4);
}

static void newest_is_in_force(void **state)
{
	(void)state;
	for (uint64_t i = 1; i <= 7; i++) {
		current.pair.generation = i;
		write_next(METADATA_SIZE);
		assert_int_equal(choose(), METADATA_GOOD);
		assert_int_equal(found.pair.generation, i);
		assert_int_equal(found.sequence, i);
		assert_int_equal(choice.copy_lost, i == 1);
		assert_int_equal(choice.copy, i % 2);
	}
}

/* Power goes at each byte of a write: the state before it, or the new one, whole. */
static void torn_write_is_never_believed(void **state)
{
	static uint8_t before[sizeof(partition)];

	(void)state;
	for (uint32_t i = 0; i < 4; i++)
		write_next(METADATA_SIZE);
	memcpy(before, partition, sizeof(partition));
	for (uint64_t torn = 0; torn <= METADATA_SIZE;
	     torn += torn % 512 == 511 || torn % 512 == 0 ? 1 : 73) {
		struct metadata kept = current;

		memcpy(partition, before, sizeof(partition));
		current.pair.generation = 99;
		write_next(torn);
		assert_int_equal(choose(), METADATA_GOOD);
		assert_true(found.pair.generation == 0 ? found.sequence == 4 : found.sequence == 5);
		if (found.sequence == 5)
			assert_memory_equal(&found, &current, sizeof(found));
		else
			assert_memory_equal(&found, &kept, sizeof(found));
		current = kept;
	}
}

static void torn_first_write_may_be_begun_again(void **state)
{
	(void)state;
	assert_int_equal(choose(), METADATA_BLANK);
	assert_true(metadata_may_initialise(METADATA_BLANK));
	write_next(1000);
	/* The rest of the record is zeros: then the write was whole after all, or it shows. */
	current.faults[15].kind = METADATA_FAULT_READ;
	metadata_init(&current, PAIR, 0);
	current.faults[15].kind = METADATA_FAULT_READ;
	memset(partition, 0, sizeof(partition));
	write_next(1000);
	assert_int_equal(choose(), METADATA_UNFINISHED);
	assert_true(metadata_may_initialise(METADATA_UNFINISHED));
}

static void every_trouble_has_its_name(void **state)
{
	uint8_t *copies[2] = { partition, partition + METADATA_COPY_DISTANCE };
	const uint8_t *unreadable[2] = { NULL, NULL };

	(void)state;
	write_next(METADATA_SIZE);
	write_next(METADATA_SIZE);

	copies[0][5000] ^= 1;
	assert_int_equal(choose(), METADATA_GOOD);
	assert_true(choice.copy_lost);
	assert_int_equal(choice.copy, 1);
	copies[1][6000] ^= 1;
	assert_int_equal(choose(), METADATA_CORRUPT);
	assert_false(metadata_may_initialise(METADATA_CORRUPT));
	assert_non_null(strstr(choice.reason, "damaged"));
	copies[0][5000] ^= 1;
	copies[1][6000] ^= 1;

	/* A newer version's copy beside a good one of ours: hands off. */
	copies[1][8] = METADATA_VERSION + 1;
	mend(copies[1]);
	assert_int_equal(choose(), METADATA_NEWER);
	assert_non_null(strstr(choice.reason, "newer"));
	copies[1][8] = copies[0][8] = 0;
	mend(copies[0]);
	mend(copies[1]);
	assert_int_equal(choose(), METADATA_OLDER);

	memset(partition, 'x', sizeof(partition));
	assert_int_equal(choose(), METADATA_FOREIGN);
	memset(copies[1], 0, METADATA_SIZE);
	assert_int_equal(choose(), METADATA_FOREIGN);

	metadata_choose(unreadable, PAIR, 0, &found, &choice);
	assert_int_equal(choice.verdict, METADATA_MISSING);
	for (int verdict = METADATA_MISSING; verdict < METADATA_VERDICT_COUNT; verdict++)
		assert_int_equal(metadata_may_initialise((enum metadata_verdict)verdict),
				 verdict == METADATA_BLANK || verdict == METADATA_UNFINISHED);
}

static void swapped_boot_disks_are_told(void **state)
{
	(void)state;
	metadata_init(&current, PAIR, 1);
	write_next(METADATA_SIZE);
	write_next(METADATA_SIZE);
	assert_int_equal(choose(), METADATA_OTHER_SERVER);
	assert_non_null(strstr(choice.reason, "server b"));
	metadata_init(&current, PAIR + 1, 0);
	write_next(METADATA_SIZE);
	write_next(METADATA_SIZE);
	assert_int_equal(choose(), METADATA_OTHER_PAIR);
	assert_non_null(strstr(choice.reason, "1122334455667789"));
}

/* A whole copy in the other's place would be written over while it is in force. */
static void copy_in_the_wrong_place_is_not_believed(void **state)
{
	(void)state;
	write_next(METADATA_SIZE);
	write_next(METADATA_SIZE);
	write_next(METADATA_SIZE);
	memcpy(partition, partition + METADATA_COPY_DISTANCE, METADATA_SIZE);
	assert_int_equal(choose(), METADATA_GOOD);
	assert_int_equal(choice.copy, 1);
	assert_true(choice.copy_lost);
}

static void impossible_fields_are_refused(void **state)
{
	static const struct {
		uint64_t offset;
		uint8_t value;
	} cases[] = {
		{ offsetof(struct metadata, server), 2 },
		{ offsetof(struct metadata, era_count), METADATA_HISTORY_MAX + 1 },
		{ offsetof(struct metadata, sets[0].disk_states), MIRROR_DISK_STATE_COUNT },
		{ offsetof(struct metadata, sets[0].map_size), 1 },
		{ offsetof(struct metadata, sets[0].dirty_map_offset) + 2, 0 },
		{ offsetof(struct metadata, sets[0].intent_map_offset) + 7, 0xff },
		{ offsetof(struct metadata, faults[3].set), MIRROR_SET_MAX },
		{ offsetof(struct metadata, faults[3].kind), METADATA_FAULT_KIND_COUNT },
	};
	uint8_t *copy = partition + METADATA_COPY_DISTANCE;

	(void)state;
	assert_int_equal(metadata_set_add(&current, 7, 200000, PARTITION_SIZE), 0);
	write_next(METADATA_SIZE);
	assert_int_equal(metadata_decode(copy, &found), METADATA_GOOD);
	for (uint32_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t kept = copy[cases[i].offset];

		copy[cases[i].offset] = cases[i].value;
		mend(copy);
		assert_int_equal(metadata_decode(copy, &found), METADATA_CORRUPT);
		copy[cases[i].offset] = kept;
		mend(copy);
		assert_int_equal(metadata_decode(copy, &found), METADATA_GOOD);
	}
}

static void sets_find_room_or_are_refused(void **state)
{
	uint64_t sector_count = UINT64_C(1) << 31; /* 1 TiB: two maps of 2 MiB */

	(void)state;
	assert_int_equal(metadata_set_add(&current, 1, sector_count, PARTITION_SIZE), 0);
	assert_int_equal(metadata_set_add(&current, 1, sector_count, PARTITION_SIZE), -EEXIST);
	assert_int_equal(metadata_set_add(&current, 2, sector_count * 64, PARTITION_SIZE), -ENOSPC);
	for (uint64_t i = 2; i <= MIRROR_SET_MAX; i++)
		assert_int_equal(metadata_set_add(&current, i, sector_count, PARTITION_SIZE), i - 1);
	assert_int_equal(metadata_set_add(&current, 99, 1, PARTITION_SIZE), -ENOSPC);
	write_next(METADATA_SIZE);
	assert_int_equal(choose(), METADATA_GOOD); /* the maps do not overlap */
}

static void faults_stay_and_are_told_once(void **state)
{
	struct metadata_fault fault = {
		.time_s = 5, .sector = 77, .set = 1, .server = 1, .kind = METADATA_FAULT_READ
	};

	(void)state;
	assert_true(metadata_fault_add(&current, &fault));
	assert_false(metadata_fault_add(&current, &fault));
	fault.kind = METADATA_FAULT_WRITE;
	assert_true(metadata_fault_add(&current, &fault));
	fault.server = 0;
	assert_true(metadata_fault_add(&current, &fault));
	assert_int_equal(current.faults[0].count, 2);
	assert_int_equal(metadata_fault_clear(&current, 1, 1, BIT(METADATA_FAULT_FLUSH)), 0);
	assert_int_equal(metadata_fault_clear(&current, 1, 1, BIT(METADATA_FAULT_WRITE)), 1);
	assert_int_equal(metadata_fault_clear(&current, 1, 1, METADATA_FAULT_ALL), 1);
	assert_int_equal(metadata_fault_clear(&current, 1, 1, METADATA_FAULT_ALL), 0);
	assert_int_equal(metadata_fault_clear(&current, 1, 0, METADATA_FAULT_ALL), 1);
}

static void wrong_disks_are_named(void **state)
{
	(void)state;
	metadata_set_add(&current, 1, 1000, PARTITION_SIZE);
	metadata_set_add(&current, 2, 1000, PARTITION_SIZE);
	assert_null(metadata_disk_refusal(&current, 0, 0, "NEW", 1000, false)); /* none known yet */
	strcpy(current.sets[0].serials[0], "A1");
	strcpy(current.sets[0].serials[1], "B1");
	strcpy(current.sets[1].serials[0], "A2");
	assert_null(metadata_disk_refusal(&current, 0, 0, "A1", 1000, false));
	assert_non_null(
		strstr(metadata_disk_refusal(&current, 0, 0, "B1", 1000, false), "between the servers"));
	assert_non_null(strstr(metadata_disk_refusal(&current, 0, 0, "A2", 1000, false), "between the bays"));
	assert_non_null(strstr(metadata_disk_refusal(&current, 0, 0, "C9", 1000, false), "not the disk"));
	assert_non_null(strstr(metadata_disk_refusal(&current, 0, 0, "A1", 999, false), "smaller"));
	assert_non_null(strstr(metadata_disk_refusal(&current, 0, 0, "A1", 1000, true), "sectors of 4096"));
	current.large_sectors[0] = 1;
	assert_null(metadata_disk_refusal(&current, 0, 0, "A1", 1000, true));
	assert_null(metadata_disk_refusal(&current, 0, 0, "A1", 1000, false));
}

static void history_forgets_the_oldest(void **state)
{
	(void)state;
	for (uint64_t i = 1; i <= METADATA_HISTORY_MAX + 3; i++)
		metadata_era_begin(&current, &(struct metadata_era){ .generation = i, .token = i * 10 });
	assert_int_equal(current.era_count, METADATA_HISTORY_MAX);
	assert_int_equal(current.history[0].generation, 4);
	assert_int_equal(metadata_era_now(&current)->generation, METADATA_HISTORY_MAX + 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(newest_is_in_force, begin),
		cmocka_unit_test_setup(torn_write_is_never_believed, begin),
		cmocka_unit_test_setup(torn_first_write_may_be_begun_again, begin),
		cmocka_unit_test_setup(every_trouble_has_its_name, begin),
		cmocka_unit_test_setup(swapped_boot_disks_are_told, begin),
		cmocka_unit_test_setup(copy_in_the_wrong_place_is_not_believed, begin),
		cmocka_unit_test_setup(impossible_fields_are_refused, begin),
		cmocka_unit_test_setup(sets_find_room_or_are_refused, begin),
		cmocka_unit_test_setup(faults_stay_and_are_told_once, begin),
		cmocka_unit_test_setup(wrong_disks_are_named, begin),
		cmocka_unit_test_setup(history_forgets_the_oldest, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
