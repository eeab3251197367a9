/* SPDX-License-Identifier: Apache-2.0 */
/* mirror/message.c: what a sound peer says comes through, and nothing else does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "mirror/message.h"

#define SECTORS (3 * MIRROR_REGION_SECTORS + 5)

static const uint64_t sector_counts[MIRROR_SET_MAX] = { SECTORS, 0, 1 };
static struct mirror_message received;

static int64_t check(const struct mirror_message *message, uint64_t size)
{
	uint8_t bytes[MIRROR_MESSAGE_FIXED_MAX];

	memcpy(bytes, message, sizeof(bytes));
	return mirror_message_check(bytes, size, sector_counts, &received);
}

/* Sealed with that much data, does it come through? */
static bool passes(struct mirror_message message, uint64_t data_size)
{
	uint64_t fixed_size = mirror_message_seal(&message, data_size);
	int64_t result = check(&message, sizeof(message));

	if (result < 0) {
		assert_int_equal(result, -EINVAL);
		return false;
	}
	assert_int_equal(result, fixed_size);
	assert_memory_equal(&received, &message, fixed_size);
	assert_int_equal(mirror_message_data_size(&received), data_size);
	return true;
}

static struct mirror_message io(uint8_t type, uint64_t sector, uint32_t sector_count, uint32_t id)
{
	return (struct mirror_message){ .header.type = type,
					.io = { .sector = sector, .sector_count = sector_count, .id = id } };
}

static struct mirror_message compare(uint64_t region, uint32_t id)
{
	return (struct mirror_message){ .header.type = MIRROR_MESSAGE_COMPARE,
					.compare = { .region = region, .number = 7, .id = id } };
}

static void requests_stay_inside_the_disk(void **state)
{
	(void)state;
	assert_true(passes(io(MIRROR_MESSAGE_WRITE, 0, 128, 31), 65536));
	assert_true(passes(io(MIRROR_MESSAGE_WRITE, SECTORS - 1, 1, 0), 512));
	assert_false(passes(io(MIRROR_MESSAGE_WRITE, SECTORS - 1, 2, 0), 1024));
	assert_false(passes(io(MIRROR_MESSAGE_WRITE, UINT64_MAX, 1, 0), 512));
	assert_false(passes(io(MIRROR_MESSAGE_WRITE, 0, 0, 0), 0));
	assert_false(passes(io(MIRROR_MESSAGE_READ, 0, 129, 0), 0)); /* the answer would not fit */
	assert_false(passes(io(MIRROR_MESSAGE_READ, 0, UINT32_MAX, 0), 0));
	assert_false(passes(io(MIRROR_MESSAGE_WRITE, 0, 2, 0), 512));
	assert_true(passes(compare(3, 31), 0));
	assert_false(passes(compare(4, 31), 0));
	assert_false(passes(compare(3, 32), 0));
	assert_false(passes(io(MIRROR_MESSAGE_WRITE, 0, 2, 0), 1536));
	assert_true(passes(io(MIRROR_MESSAGE_READ, 0, 128, 0), 0));
	assert_false(passes(io(MIRROR_MESSAGE_READ, 0, 1, 0), 512));
	assert_false(passes(io(MIRROR_MESSAGE_READ, 0, 1, MIRROR_MESSAGE_ASKED_MAX), 0));
	assert_true(passes(io(MIRROR_MESSAGE_FLUSH, 0, 0, 3), 0));
	assert_false(passes(io(MIRROR_MESSAGE_FLUSH, 0, 1, 3), 0));
}

static void answers_say_one_thing(void **state)
{
	struct mirror_message done = { .header.type = MIRROR_MESSAGE_DONE, .done = { .id = 5 } };
	struct mirror_message data = { .header.type = MIRROR_MESSAGE_DATA, .done = { .id = 5 } };

	(void)state;
	assert_true(passes(done, 0));
	assert_false(passes(done, 512));
	done.done.error = EIO; /* good, and an error */
	assert_false(passes(done, 0));
	done.done.outcome = MIRROR_OUTCOME_ERROR;
	assert_true(passes(done, 0));
	done.done.error = 0;
	assert_false(passes(done, 0));
	done.done.error = UINT32_MAX; /* negated, it would be a success */
	assert_false(passes(done, 0));
	done.done = (struct mirror_message_done){ .outcome = MIRROR_OUTCOME_COUNT };
	assert_false(passes(done, 0));
	done.done = (struct mirror_message_done){ .id = MIRROR_MESSAGE_ASKED_MAX };
	assert_false(passes(done, 0));
	assert_true(passes(data, 512));
	assert_true(passes(data, MIRROR_MESSAGE_DATA_MAX));
	assert_false(passes(data, 0));
	assert_false(passes(data, 511));
	data.done = (struct mirror_message_done){ .outcome = MIRROR_OUTCOME_ERROR, .error = EIO };
	assert_false(passes(data, 512));
}

static void last_region_is_short(void **state)
{
	struct mirror_message copy = { .header.type = MIRROR_MESSAGE_COPY, .copy = { .region = 2 } };

	(void)state;
	assert_true(passes(copy, MIRROR_REGION_SIZE));
	assert_false(passes(copy, MIRROR_REGION_SIZE - 512));
	copy.copy.region = 3;
	assert_true(passes(copy, 5 * 512));
	assert_false(passes(copy, MIRROR_REGION_SIZE));
	copy.copy.region = 4;
	assert_false(passes(copy, 5 * 512));
	copy.header.type = MIRROR_MESSAGE_LEAVE;
	assert_false(passes(copy, 0));
	copy.copy.region = UINT64_MAX;
	assert_false(passes(copy, 0));
	copy.copy.region = 3;
	assert_true(passes(copy, 0));
	copy.copy.id = MIRROR_MESSAGE_ASKED_MAX;
	assert_false(passes(copy, 0));
}

static void offers_and_stamps_name_what_there_is(void **state)
{
	struct mirror_message offer = { .header.type = MIRROR_MESSAGE_OFFER,
					.offer = { .region = 3, .id = 31, .compare = 1 } };
	struct mirror_message stamp = { .header.type = MIRROR_MESSAGE_STAMP,
					.stamp = { .number = UINT64_MAX, .id = 31, .compared = 1 } };

	(void)state;
	assert_true(passes(offer, 0));
	offer.offer.compare = 2;
	assert_false(passes(offer, 0));
	offer.offer = (struct mirror_message_offer){ .region = 4 };
	assert_false(passes(offer, 0));
	offer.offer = (struct mirror_message_offer){ .id = MIRROR_MESSAGE_ASKED_MAX };
	assert_false(passes(offer, 0));
	assert_true(passes(stamp, 0));
	assert_false(passes(stamp, 512));
	stamp.stamp.compared = 2;
	assert_false(passes(stamp, 0));
	stamp.stamp = (struct mirror_message_stamp){ .id = MIRROR_MESSAGE_ASKED_MAX };
	assert_false(passes(stamp, 0));
}

static void what_they_remember_has_one_size(void **state)
{
	struct mirror_message metadata = { .header.type = MIRROR_MESSAGE_METADATA };
	struct mirror_message map = { .header.type = MIRROR_MESSAGE_MAP };
	struct mirror_message disks = { .header.type = MIRROR_MESSAGE_STATES };
	struct mirror_message keep = { .header.type = MIRROR_MESSAGE_KEEP };
	struct mirror_message history = { .header.type = MIRROR_MESSAGE_HISTORY };

	(void)state;
	assert_true(passes(metadata, METADATA_SIZE));
	assert_false(passes(metadata, METADATA_SIZE - 1));
	assert_false(passes(metadata, 0));
	metadata.metadata.runs = 2;
	assert_false(passes(metadata, METADATA_SIZE));
	assert_true(passes(map, REGION_MAP_BLOCK_SIZE));
	assert_false(passes(map, REGION_MAP_BLOCK_SIZE + 1));
	map.map.block = 1;
	assert_false(passes(map, REGION_MAP_BLOCK_SIZE));
	map.map = (struct mirror_message_map){ .kind = MIRROR_MAP_KIND_COUNT };
	assert_false(passes(map, REGION_MAP_BLOCK_SIZE));
	for (uint32_t i = 0; i < 2; i++) {
		disks.states = (struct mirror_message_states){ .number = 7 };
		assert_true(passes(disks, 0));
		disks.states.states[i] = MIRROR_DISK_STATE_COUNT;
		assert_false(passes(disks, 0));
	}
	assert_true(passes(keep, 0));
	keep.keep.server = 2;
	assert_false(passes(keep, 0));
	assert_true(passes(history, METADATA_SIZE));
	assert_false(passes(history, 0));
}

static void sets_and_types_exist(void **state)
{
	struct mirror_message message = { .header.type = MIRROR_MESSAGE_PROGRESS };

	(void)state;
	assert_true(passes(message, 0));
	message.header.set = 1; /* no such set */
	assert_false(passes(message, 0));
	message.header.set = 2;
	assert_true(passes(message, 0));
	message.header.set = MIRROR_SET_MAX;
	assert_false(passes(message, 0));
	message = (struct mirror_message){ .header = { .type = MIRROR_MESSAGE_METADATA } };
	assert_true(passes(message, METADATA_SIZE));
	message.header.set = 2;
	assert_false(passes(message, METADATA_SIZE));
	for (uint32_t type = 0; type < 256; type++) {
		message = (struct mirror_message){ .header = { .type = (uint8_t)type } };
		if (type != 0 && type < MIRROR_MESSAGE_TYPE_COUNT)
			continue;
		assert_int_equal(mirror_message_fixed_size((uint8_t)type), 0);
		assert_int_equal(check(&message, sizeof(message)), -EINVAL);
	}
}

static void cut_off_message_is_waited_for(void **state)
{
	struct mirror_message message = io(MIRROR_MESSAGE_WRITE, 0, 1, 0);
	uint64_t fixed_size = mirror_message_seal(&message, 512);

	(void)state;
	for (uint64_t size = 0; size < fixed_size; size++)
		assert_int_equal(check(&message, size), 0);
	assert_int_equal(check(&message, fixed_size), fixed_size);
	/* Told at once, before the rest has come: a size that wraps, and one below the fixed part's. */
	message.header.size = UINT32_MAX;
	assert_int_equal(check(&message, fixed_size), -EINVAL);
	message.header.size = 23;
	assert_int_equal(check(&message, sizeof(message.header)), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_stay_inside_the_disk),
		cmocka_unit_test(answers_say_one_thing),
		cmocka_unit_test(last_region_is_short),
		cmocka_unit_test(offers_and_stamps_name_what_there_is),
		cmocka_unit_test(what_they_remember_has_one_size),
		cmocka_unit_test(sets_and_types_exist),
		cmocka_unit_test(cut_off_message_is_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
