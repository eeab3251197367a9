/* SPDX-License-Identifier: Apache-2.0 */
/* The record in the state partition; see metadata.h. */
#include "mirror/metadata.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "include/assert.h"
#include "include/byte_order.h"
#include "include/crc32c.h"
#include "mirror/region_map.h"

static const char *const verdict_names[METADATA_VERDICT_COUNT] = {
	[METADATA_GOOD] = "good",
	[METADATA_MISSING] = "cannot be read",
	[METADATA_BLANK] = "all zeros",
	[METADATA_UNFINISHED] = "its first write was cut short",
	[METADATA_FOREIGN] = "not Yoke's",
	[METADATA_OLDER] = "of an older version",
	[METADATA_NEWER] = "of a newer version",
	[METADATA_CORRUPT] = "damaged",
	[METADATA_OTHER_PAIR] = "of another pair",
	[METADATA_OTHER_SERVER] = "of the other server",
};

const char *metadata_verdict_name(enum metadata_verdict verdict)
{
	return verdict < METADATA_VERDICT_COUNT ? verdict_names[verdict] : "unknown";
}

void metadata_init(struct metadata *metadata, uint64_t pair_identity, uint32_t server)
{
	ASSERT(server < 2);
	memset(metadata, 0, sizeof(*metadata));
	metadata->magic = METADATA_MAGIC;
	metadata->version = METADATA_VERSION;
	metadata->size = METADATA_SIZE;
	metadata->pair_identity = pair_identity;
	metadata->server = (uint8_t)server;
}

/* Over `size` bytes with the checksum's own field taken as 0. */
static uint32_t checksum(const uint8_t *bytes, uint64_t size)
{
	static const uint8_t zeros[4];
	const uint64_t field = offsetof(struct metadata, crc32c);
	uint32_t crc = crc32c(0, bytes, field);

	crc = crc32c(crc, zeros, sizeof(zeros));
	return crc32c(crc, bytes + field + sizeof(zeros), size - field - sizeof(zeros));
}

uint64_t metadata_seal(struct metadata *metadata)
{
	metadata->sequence++;
	metadata->crc32c = checksum((const uint8_t *)metadata, METADATA_SIZE);
	return metadata->sequence % METADATA_COPY_COUNT * METADATA_COPY_DISTANCE;
}

static bool is_zero(const uint8_t *bytes, uint64_t size)
{
	for (uint64_t i = 0; i < size; i++)
		if (bytes[i])
			return false;
	return true;
}

static bool text_is_good(const char *text)
{
	return memchr(text, '\0', MIRROR_TEXT_SIZE) != NULL;
}

/* What is used as an index, an offset or a text later; 0 where nothing has been set up. */
static bool set_is_good(const struct metadata_set *set)
{
	if (set->identity == 0)
		return true;
	if (set->disk_states[0] >= MIRROR_DISK_STATE_COUNT ||
	    set->disk_states[1] >= MIRROR_DISK_STATE_COUNT || set->full_copy >= METADATA_FULL_COUNT ||
	    set->remirror_source > 1 || !text_is_good(set->serials[0]) || !text_is_good(set->serials[1]))
		return false;
	if (set->sector_count == 0 || set->sector_count > REGION_MAP_SECTOR_COUNT_MAX ||
	    set->map_size != region_map_size(set->sector_count))
		return false;
	/* Nothing lies where the record itself does, and no sum wraps. */
	return set->dirty_map_offset >= METADATA_MAPS_OFFSET &&
	       set->intent_map_offset >= METADATA_MAPS_OFFSET &&
	       is_aligned(set->dirty_map_offset, REGION_MAP_BLOCK_SIZE) &&
	       is_aligned(set->intent_map_offset, REGION_MAP_BLOCK_SIZE) &&
	       set->dirty_map_offset <= BIT(62) && set->intent_map_offset <= BIT(62);
}

static bool maps_overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a < b + b_size && b < a + a_size;
}

static bool maps_are_apart(const struct metadata *metadata)
{
	for (uint32_t i = 0; i < 2 * MIRROR_SET_MAX; i++) {
		const struct metadata_set *a = &metadata->sets[i / 2];
		uint64_t a_offset = i % 2 ? a->intent_map_offset : a->dirty_map_offset;

		for (uint32_t j = 0; a->identity != 0 && j < i; j++) {
			const struct metadata_set *b = &metadata->sets[j / 2];

			if (b->identity != 0 &&
			    maps_overlap(a_offset, a->map_size,
					 j % 2 ? b->intent_map_offset : b->dirty_map_offset, b->map_size))
				return false;
			if (b->identity == a->identity && i / 2 != j / 2)
				return false;
		}
	}
	return true;
}

static bool fields_are_good(const struct metadata *metadata)
{
	if (metadata->pair_identity == 0 || metadata->server > 1 ||
	    metadata->era_count > METADATA_HISTORY_MAX)
		return false;
	for (uint32_t i = 0; i < metadata->era_count; i++) {
		const struct metadata_era *era = &metadata->history[i];

		if (era->alone > 1 || era->changed > 1 || era->server > 1 || era->overridden > 1 ||
		    (i > 0 && era->generation < era[-1].generation))
			return false;
	}
	for (uint32_t i = 0; i < MIRROR_SET_MAX; i++)
		if (!set_is_good(&metadata->sets[i]) || metadata->large_sectors[i] > 1 ||
		    (metadata->large_sectors[i] &&
		     metadata->sets[i].sector_count % MIRROR_LARGE_SECTOR_COUNT))
			return false;
	for (uint32_t i = 0; i < METADATA_FAULT_MAX; i++)
		if (metadata->faults[i].kind >= METADATA_FAULT_KIND_COUNT ||
		    metadata->faults[i].set >= MIRROR_SET_MAX || metadata->faults[i].server > 1)
			return false;
	return maps_are_apart(metadata);
}

enum metadata_verdict metadata_decode(const uint8_t *bytes, struct metadata *metadata)
{
	uint32_t version = load_le32(bytes + offsetof(struct metadata, version));
	uint32_t size = load_le32(bytes + offsetof(struct metadata, size));

	if (is_zero(bytes, METADATA_SIZE))
		return METADATA_BLANK;
	if (load_le64(bytes + offsetof(struct metadata, magic)) != METADATA_MAGIC)
		return METADATA_FOREIGN;
	/* Before the version is believed: another version's record is whole, too. */
	if (size < offsetof(struct metadata, pair_identity) || size > METADATA_SIZE ||
	    checksum(bytes, size) != load_le32(bytes + offsetof(struct metadata, crc32c)))
		return METADATA_CORRUPT;
	if (version != METADATA_VERSION)
		return version > METADATA_VERSION ? METADATA_NEWER : METADATA_OLDER;
	memcpy(metadata, bytes, sizeof(*metadata));
	if (size != METADATA_SIZE || metadata->sequence == 0 || !fields_are_good(metadata))
		return METADATA_CORRUPT;
	return METADATA_GOOD;
}

/*
 * Neither copy is good. The first that says more than "damaged" names the trouble; a
 * blank beside a damaged one is the first write, cut short: both copies are written
 * before either is relied on.
 */
static enum metadata_verdict verdict_of_bad(const enum metadata_verdict verdicts[METADATA_COPY_COUNT])
{
	static const enum metadata_verdict order[] = { METADATA_NEWER, METADATA_OLDER, METADATA_FOREIGN };

	for (uint32_t i = 0; i < ARRAY_SIZE(order); i++)
		if (verdicts[0] == order[i] || verdicts[1] == order[i])
			return order[i];
	if (verdicts[0] == METADATA_MISSING || verdicts[1] == METADATA_MISSING)
		return METADATA_MISSING;
	if (verdicts[0] == verdicts[1])
		return verdicts[0];
	return METADATA_UNFINISHED;
}

static void choice_explain(const struct metadata *metadata, uint64_t expected_pair,
			   const char *const names[2], struct metadata_choice *choice)
{
	switch (choice->verdict) {
	case METADATA_GOOD:
		snprintf(choice->reason, METADATA_REASON_SIZE, "state %llu, copy %u%s",
			 (unsigned long long)metadata->sequence, choice->copy + 1,
			 choice->copy_lost ? "; the other copy is damaged and will be written anew" : "");
		break;
	case METADATA_OTHER_PAIR:
		snprintf(choice->reason, METADATA_REASON_SIZE,
			 "the state partition is of another pair: %016llx, not %016llx",
			 (unsigned long long)metadata->pair_identity, (unsigned long long)expected_pair);
		break;
	case METADATA_OTHER_SERVER:
		snprintf(
			choice->reason, METADATA_REASON_SIZE,
			"the state partition is server %c's: the boot disks are swapped, or the name in yoke.conf is wrong",
			'a' + metadata->server);
		break;
	default:
		snprintf(choice->reason, METADATA_REASON_SIZE,
			 "the state partition is %s (copy 1: %s; copy 2: %s)",
			 metadata_verdict_name(choice->verdict), names[0], names[1]);
		break;
	}
}

void metadata_choose(const uint8_t *const copies[METADATA_COPY_COUNT], uint64_t expected_pair,
		     uint32_t expected_server, struct metadata *metadata, struct metadata_choice *choice)
{
	enum metadata_verdict verdicts[METADATA_COPY_COUNT];
	const char *names[METADATA_COPY_COUNT];
	uint64_t sequences[METADATA_COPY_COUNT] = { 0 };

	memset(choice, 0, sizeof(*choice));
	for (uint32_t i = 0; i < METADATA_COPY_COUNT; i++) {
		verdicts[i] = copies[i] ? metadata_decode(copies[i], metadata) : METADATA_MISSING;
		/* Numbers alternate between the places; else the next write would go over what is in force.
		 */
		if (verdicts[i] == METADATA_GOOD && metadata->sequence % METADATA_COPY_COUNT != i)
			verdicts[i] = METADATA_CORRUPT;
		names[i] = metadata_verdict_name(verdicts[i]);
		if (verdicts[i] == METADATA_GOOD)
			sequences[i] = metadata->sequence;
	}
	choice->copy = sequences[1] > sequences[0] ? 1 : 0;
	choice->copy_lost = sequences[0] == 0 || sequences[1] == 0;
	/* A newer version's copy is the later one: whoever wrote it has gone on from ours. */
	if ((sequences[0] == 0 && sequences[1] == 0) || verdicts[0] == METADATA_NEWER ||
	    verdicts[1] == METADATA_NEWER)
		choice->verdict = verdict_of_bad(verdicts);
	else {
		metadata_decode(copies[choice->copy], metadata);
		if (expected_pair != 0 && metadata->pair_identity != expected_pair)
			choice->verdict = METADATA_OTHER_PAIR;
		else if (metadata->server != expected_server)
			choice->verdict = METADATA_OTHER_SERVER;
		else
			choice->verdict = METADATA_GOOD;
	}
	choice_explain(metadata, expected_pair, names, choice);
}

int metadata_set_add(struct metadata *metadata, uint64_t identity, uint64_t sector_count,
		     uint64_t partition_size)
{
	uint64_t size = region_map_size(sector_count);
	uint64_t offset = METADATA_MAPS_OFFSET;
	uint32_t index = MIRROR_SET_MAX;

	ASSERT(identity != 0);
	ASSERT(sector_count > 0);
	ASSERT(sector_count <= REGION_MAP_SECTOR_COUNT_MAX);
	for (uint32_t i = MIRROR_SET_MAX; i-- > 0;) {
		const struct metadata_set *other = &metadata->sets[i];

		if (other->identity == identity)
			return -EEXIST;
		if (other->identity == 0)
			index = i;
		else
			offset = max_u64(offset, max_u64(other->dirty_map_offset, other->intent_map_offset) +
							 other->map_size);
	}
	if (index == MIRROR_SET_MAX || !range_fits(offset, 2 * size, partition_size))
		return -ENOSPC;
	metadata->sets[index] = (struct metadata_set){
		.identity = identity,
		.sector_count = sector_count,
		.dirty_map_offset = offset,
		.intent_map_offset = offset + size,
		.map_size = size,
	};
	return (int)index;
}

void metadata_era_begin(struct metadata *metadata, const struct metadata_era *era)
{
	if (metadata->era_count == METADATA_HISTORY_MAX) {
		memmove(metadata->history, metadata->history + 1,
			(METADATA_HISTORY_MAX - 1) * sizeof(metadata->history[0]));
		metadata->era_count--;
	}
	ASSERT(metadata->era_count == 0 ||
	       era->generation >= metadata->history[metadata->era_count - 1].generation);
	metadata->history[metadata->era_count++] = *era;
}

bool metadata_fault_add(struct metadata *metadata, const struct metadata_fault *fault)
{
	struct metadata_fault *place = NULL;

	ASSERT(fault->kind != METADATA_FAULT_NONE);
	for (uint32_t i = 0; i < METADATA_FAULT_MAX; i++) {
		struct metadata_fault *known = &metadata->faults[i];

		if (known->kind == fault->kind && known->set == fault->set &&
		    known->server == fault->server) {
			known->count++;
			return false;
		}
		if (known->kind == METADATA_FAULT_NONE && !(place && place->kind == METADATA_FAULT_NONE))
			place = known;
		else if (!place || (place->kind != METADATA_FAULT_NONE && known->time_s < place->time_s))
			place = known;
	}
	*place = *fault;
	place->count = 1;
	return true;
}

uint32_t metadata_fault_clear(struct metadata *metadata, uint32_t set, uint32_t server, uint32_t kinds)
{
	uint32_t cleared = 0;

	for (uint32_t i = 0; i < METADATA_FAULT_MAX; i++) {
		struct metadata_fault *fault = &metadata->faults[i];

		if (fault->kind == METADATA_FAULT_NONE || fault->set != set || fault->server != server ||
		    !(kinds & BIT(fault->kind)))
			continue;
		memset(fault, 0, sizeof(*fault));
		cleared++;
	}
	return cleared;
}

static const char other_disk[] =
	"this is not the disk that was here: `disk remirror` copies all of the set onto it";
static const char new_disk[] = METADATA_DISK_NEW;

static const char *refusal_by_serial(const struct metadata *metadata, uint32_t set, uint32_t own,
				     const char *serial)
{
	const struct metadata_set *wanted = &metadata->sets[set];

	/* The set is the other server's, and no disk of ours has been in it. */
	if (wanted->disk_sector_counts[own] == 0 && wanted->disk_sector_counts[1 - own] != 0 &&
	    wanted->serials[own][0] == '\0')
		return new_disk;
	if (wanted->serials[own][0] == '\0' || strncmp(wanted->serials[own], serial, MIRROR_TEXT_SIZE) == 0)
		return NULL;
	if (strncmp(wanted->serials[1 - own], serial, MIRROR_TEXT_SIZE) == 0)
		return "this is the other server's disk of this set: the disks are swapped between the servers";
	for (uint32_t i = 0; i < MIRROR_SET_MAX; i++)
		if (metadata->sets[i].identity != 0 &&
		    strncmp(metadata->sets[i].serials[own], serial, MIRROR_TEXT_SIZE) == 0)
			return "this is another set's disk: the disks are swapped between the bays";
	return other_disk;
}

static const char *refusal_by_size(const struct metadata *metadata, uint32_t set, uint64_t sector_count,
				   bool large_sectors)
{
	if (sector_count < metadata->sets[set].sector_count)
		return "this disk is smaller than the set";
	/* What the guest may write of 512 bytes would take a read of its neighbours first, which a crash may cost. */
	if (large_sectors && !metadata->large_sectors[set])
		return "this disk has sectors of 4096 bytes, and the guest knows the set's as 512";
	return NULL;
}

const char *metadata_disk_refusal(const struct metadata *metadata, uint32_t set, uint32_t own,
				  const char *serial, uint64_t sector_count, bool large_sectors)
{
	const char *refusal = refusal_by_serial(metadata, set, own, serial);

	return refusal ? refusal : refusal_by_size(metadata, set, sector_count, large_sectors);
}

bool metadata_disk_may_replace(const struct metadata *metadata, uint32_t set, uint32_t own,
			       const char *serial, uint64_t sector_count, bool large_sectors)
{
	const char *refusal = refusal_by_serial(metadata, set, own, serial);

	return (refusal == other_disk || refusal == new_disk) &&
	       !refusal_by_size(metadata, set, sector_count, large_sectors);
}
