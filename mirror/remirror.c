/* SPDX-License-Identifier: Apache-2.0 */
/* Which way, which regions, and when it is over; see remirror.h. */
#include "mirror/remirror.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "include/assert.h"

#define SECOND_NS UINT64_C(1000000000)
#define IDLE_NS (SECOND_NS / 2) /* without a request: the guest does not use the disk */
#define BURST_REGIONS 16	/* what the rate limit lets through at once */
#define ROUND_REGIONS 1024	/* copied regions that are worth a flush and a few map blocks */

/* ---- which way ---- */

/* How many eras of `own` lie behind the last that `other` remembers too; era_count: none in common. */
static uint32_t eras_ahead(const struct metadata *own, const struct metadata *other)
{
	for (uint32_t i = own->era_count; i-- > 0;)
		for (uint32_t j = 0; j < other->era_count; j++)
			if (own->history[i].generation == other->history[j].generation &&
			    own->history[i].token == other->history[j].token)
				return own->era_count - 1 - i;
	return own->era_count;
}

static bool wrote_ahead(const struct metadata *own, uint32_t ahead)
{
	for (uint32_t i = own->era_count - ahead; i < own->era_count; i++)
		if (own->history[i].changed)
			return true;
	return false;
}

/* Is a's (b's) disk whole, as far as either server knows? What the other heard last may be a write error. */
static bool is_whole(const struct remirror_side sides[2], uint32_t server, bool outvoted)
{
	const struct metadata_set *own = &sides[server].metadata->sets[sides[server].set];
	const struct metadata_set *other = &sides[1 - server].metadata->sets[sides[1 - server].set];
	uint8_t heard = other->disk_states[server];

	if (!sides[server].disk_present || own->disk_states[server] != MIRROR_GOOD)
		return false;
	/* A server that wrote alone was whole by itself: what the other thought before does not matter. */
	return outvoted || (heard != MIRROR_FAILED && heard != MIRROR_REMIRRORING);
}

static void history_print(char *text, uint64_t size, const struct metadata *metadata, uint32_t ahead)
{
	const struct metadata_era *last = &metadata->history[metadata->era_count - 1];

	snprintf(text, size, "%u era%s alone up to generation %llu%s", ahead, ahead == 1 ? "" : "s",
		 (unsigned long long)last->generation, last->overridden ? " by override" : "");
}

static void decide(struct remirror_decision *decision, enum remirror_verdict verdict, uint32_t source,
		   const char *reason)
{
	decision->verdict = verdict;
	decision->source = source;
	snprintf(decision->reason, sizeof(decision->reason), "%s", reason);
}

static void decide_split(const struct remirror_side sides[2], const uint32_t ahead[2],
			 struct remirror_decision *decision)
{
	char texts[2][64];

	for (uint32_t i = 0; i < 2; i++)
		history_print(texts[i], sizeof(texts[i]), sides[i].metadata, ahead[i]);
	decision->verdict = REMIRROR_SPLIT;
	decision->source = 0;
	snprintf(decision->reason, sizeof(decision->reason),
		 "both servers wrote alone (a: %s; b: %s): say which to keep", texts[0], texts[1]);
}

/* Neither wrote without the other: the whole disk, and of two the last leader's. */
static void decide_together(const struct remirror_side sides[2], struct remirror_decision *decision)
{
	bool whole[2] = { is_whole(sides, 0, false), is_whole(sides, 1, false) };
	uint32_t leader = sides[1].metadata->pair.was_leader && !sides[0].metadata->pair.was_leader;

	if (whole[0] && whole[1])
		decide(decision, REMIRROR_NOTHING, leader,
		       "both disks are whole; the last leader's is right where they differ");
	else if (whole[0] || whole[1])
		decide(decision, REMIRROR_RAPID, whole[1], "the other disk is not whole");
	else
		decide(decision, REMIRROR_NO_SOURCE, 0, "neither disk is whole");
}

/*
 * The disk that fell out is another one than before, as far as either server knows (its own tells of it
 * as MISSING, though it is there: engine_link.c), or a full copy onto it never ended.
 */
static bool needs_full(const struct remirror_side sides[2], uint32_t source)
{
	const struct metadata_set *from = &sides[source].metadata->sets[sides[source].set];
	const struct metadata_set *to = &sides[1 - source].metadata->sets[sides[1 - source].set];

	return from->identity != to->identity || from->sector_count != to->sector_count ||
	       (to->full_copy && !from->full_copy) || from->disk_sector_counts[1 - source] == 0 ||
	       (sides[1 - source].disk_present && to->disk_states[1 - source] == MIRROR_MISSING) ||
	       strncmp(from->serials[1 - source], to->serials[1 - source], MIRROR_TEXT_SIZE) != 0;
}

void remirror_decide(const struct remirror_side sides[2], int keep, struct remirror_decision *decision)
{
	const struct metadata *a = sides[0].metadata;
	const struct metadata *b = sides[1].metadata;
	uint32_t ahead[2] = { eras_ahead(a, b), eras_ahead(b, a) };
	bool wrote[2];

	if (ahead[0] == a->era_count || ahead[1] == b->era_count) {
		if (a->era_count != 0 && b->era_count != 0 && keep < 0) {
			decide_split(sides, ahead, decision);
			return;
		}
		/* A server without a past takes what the other has; two new ones take a's. */
		decide(decision, REMIRROR_FULL,
		       keep >= 0 ? (uint32_t)keep : a->era_count == 0 && b->era_count != 0,
		       "the servers have no past in common: all regions are copied");
		if (!is_whole(sides, decision->source, true))
			decide(decision, REMIRROR_NO_SOURCE, 0, "the disk to copy from is not whole");
		return;
	}
	wrote[0] = wrote_ahead(a, ahead[0]);
	wrote[1] = wrote_ahead(b, ahead[1]);
	if (wrote[0] && wrote[1] && keep < 0) {
		decide_split(sides, ahead, decision);
		return;
	}
	if (wrote[0] || wrote[1]) {
		uint32_t source = wrote[0] && wrote[1] ? (uint32_t)keep : wrote[1];

		if (is_whole(sides, source, true))
			decide(decision, REMIRROR_RAPID, source,
			       "it went on alone from where the other stopped");
		else
			decide(decision, REMIRROR_NO_SOURCE, source,
			       "the server that went on alone has no whole disk");
	} else {
		decide_together(sides, decision);
	}
	if (decision->verdict != REMIRROR_NO_SOURCE && needs_full(sides, decision->source))
		decide(decision, REMIRROR_FULL, decision->source,
		       "the other disk is not the one that was there");
}

/* ---- which regions ---- */

uint64_t remirror_memory_size(uint64_t sector_count)
{
	return 4 * ((mirror_region_count(sector_count) + 63) / 64) * sizeof(uint64_t);
}

void remirror_init(struct remirror *remirror, struct mirror_set *set, void *memory)
{
	memset(remirror, 0, sizeof(*remirror));
	memset(memory, 0, remirror_memory_size(set->sector_count));
	remirror->word_count = (mirror_region_count(set->sector_count) + 63) / 64;
	set->reach.copied = memory;
	set->reach.offered = set->reach.copied + remirror->word_count;
	remirror->compare = set->reach.offered + remirror->word_count;
	remirror->round = remirror->compare + remirror->word_count;
}

static void region_add(struct remirror *remirror, struct mirror_set *set, uint64_t region, bool is_intent)
{
	if (region_map_set_range(&set->dirty, region, 1) && is_intent)
		remirror->compare[region / 64] |= BIT(region % 64);
	else if (!is_intent)
		remirror->compare[region / 64] &= ~BIT(region % 64);
}

static void sector_add(struct remirror *remirror, struct mirror_set *set, uint64_t index,
		       const uint8_t *sector, bool is_intent)
{
	const struct region_map *map = is_intent ? &set->intent.map : &set->dirty;
	bool sound = region_map_sector_is_sound(map, index, sector);
	uint64_t first = index * REGION_MAP_SECTOR_REGIONS;

	for (uint64_t i = 0; i < REGION_MAP_SECTOR_REGIONS && first + i < map->region_count; i++)
		if (!sound || (sector[REGION_MAP_SECTOR_HEADER + i / 8] & BIT(i % 8)))
			region_add(remirror, set, first + i, is_intent);
}

void remirror_add_block(struct remirror *remirror, struct mirror_set *set, uint64_t block,
			const uint8_t *bytes, bool is_intent)
{
	for (uint64_t i = 0; i < REGION_MAP_BLOCK_SECTORS; i++)
		sector_add(remirror, set, block * REGION_MAP_BLOCK_SECTORS + i,
			   bytes + i * MIRROR_SECTOR_SIZE, is_intent);
}

void remirror_add_own(struct remirror *remirror, struct mirror_set *set)
{
	const struct region_map *own = &set->intent.map;

	for (uint64_t region = region_map_next(own, 0); region < own->region_count;
	     region = region_map_next(own, region + 1)) {
		region_map_set_range(&set->dirty, region, 1);
		if (!(set->intent.touched[region / 64] & BIT(region % 64)))
			remirror->compare[region / 64] |= BIT(region % 64);
	}
}

void remirror_begin(struct remirror *remirror, struct mirror_set *set, bool full, uint64_t now_ns)
{
	ASSERT(set->states[MIRROR_OWN] == MIRROR_GOOD);
	ASSERT(set->states[MIRROR_PEER] == MIRROR_REMIRRORING);
	if (full) {
		region_map_set_range(&set->dirty, 0, set->dirty.region_count);
		memset(remirror->compare, 0, remirror->word_count * sizeof(uint64_t));
	}
	memset(set->reach.copied, 0, remirror->word_count * sizeof(uint64_t));
	memset(set->reach.offered, 0, remirror->word_count * sizeof(uint64_t));
	remirror->phase = REMIRROR_COPYING;
	remirror->total = set->dirty.set_count;
	remirror->next = 0;
	remirror->in_flight = 0;
	set->reach.copied_count = 0;
	/* In duplex the target makes all requests itself, and its stamp says up to which. */
	set->reach.left_out = set->mode == MIRROR_SOURCE ? set->last_number : 0;
	remirror->bytes_copied = 0;
	remirror->regions_compared = 0;
	remirror->budget_bytes = 0;
	remirror->budget_ns = now_ns;
	remirror->begun_ns = now_ns;
	set->trails = set->mode == MIRROR_SOURCE;
}

void remirror_stop(struct remirror *remirror)
{
	remirror->phase = REMIRROR_IDLE;
	memset(remirror->compare, 0, remirror->word_count * sizeof(uint64_t));
}

static bool bit_get(const uint64_t *words, uint64_t region)
{
	return words[region / 64] & BIT(region % 64);
}

/* Bytes that the limit allows by now; no more than a burst is saved up. */
static void budget_fill(struct remirror *remirror, uint64_t now_ns)
{
	uint64_t burst = BURST_REGIONS * MIRROR_REGION_SIZE;
	uint64_t passed_ns = min_u64(now_ns - remirror->budget_ns, SECOND_NS);
	uint64_t earned = (uint64_t)((unsigned __int128)remirror->rate_bytes * passed_ns / SECOND_NS);

	if (earned == 0)
		return;
	remirror->budget_bytes = min_u64(remirror->budget_bytes + earned, burst);
	remirror->budget_ns = now_ns;
}

static bool is_limited(const struct remirror *remirror, const struct mirror_set *set, uint64_t now_ns)
{
	return remirror->rate_bytes != 0 && now_ns < set->last_request_ns + IDLE_NS;
}

int64_t remirror_take(struct remirror *remirror, struct mirror_set *set, uint64_t now_ns, bool *compare)
{
	uint64_t region = remirror->next;

	if (remirror->phase != REMIRROR_COPYING)
		return -ENOENT;
	budget_fill(remirror, now_ns);
	if (is_limited(remirror, set, now_ns) && remirror->budget_bytes < MIRROR_REGION_SIZE)
		return -EAGAIN;
	for (uint32_t pass = 0; pass < 2; pass++, region = 0)
		for (region = region_map_next(&set->dirty, region); region < set->dirty.region_count;
		     region = region_map_next(&set->dirty, region + 1)) {
			if (bit_get(set->reach.offered, region) || bit_get(set->reach.copied, region))
				continue;
			/* Else a crash of ours now would leave a half-copied region that nobody remembers. */
			if (!region_map_is_durable(&set->dirty, region, 1))
				return -EAGAIN;
			set->reach.offered[region / 64] |= BIT(region % 64);
			remirror->in_flight++;
			remirror->next = region + 1;
			remirror->budget_bytes -= min_u64(remirror->budget_bytes, MIRROR_REGION_SIZE);
			*compare = bit_get(remirror->compare, region);
			return (int64_t)region;
		}
	return -ENOENT;
}

void remirror_copied(struct remirror *remirror, struct mirror_set *set, uint64_t region, uint64_t bytes)
{
	if (remirror->phase != REMIRROR_COPYING || !bit_get(set->reach.offered, region))
		return; /* of a copy that was given up */
	set->reach.offered[region / 64] &= ~BIT(region % 64);
	set->reach.copied[region / 64] |= BIT(region % 64);
	set->reach.copied_count++;
	remirror->copied_in_round = true;
	remirror->in_flight--;
	remirror->bytes_copied += bytes;
	remirror->regions_compared += bit_get(remirror->compare, region);
}

void remirror_again(struct remirror *remirror, struct mirror_set *set, uint64_t region)
{
	if (remirror->phase != REMIRROR_COPYING || !bit_get(set->reach.offered, region))
		return;
	set->reach.offered[region / 64] &= ~BIT(region % 64);
	remirror->in_flight--;
}

/* Is every region that is still dirty a copied one? */
static bool is_all_copied(const struct remirror *remirror, const struct mirror_set *set)
{
	return remirror->in_flight == 0 && set->reach.copied_count == set->dirty.set_count;
}

bool remirror_round_is_due(const struct remirror *remirror, const struct mirror_set *set)
{
	if (remirror->phase != REMIRROR_COPYING || set->intent.in_round)
		return false;
	if (!set->trails && mirror_set_is_trailed(set))
		return false; /* the last round's flush is to follow what trailed */
	return set->reach.copied_count >= ROUND_REGIONS || is_all_copied(remirror, set);
}

void remirror_round_begin(struct remirror *remirror, struct mirror_set *set, uint64_t now_ns)
{
	mirror_set_round_begin(set, now_ns);
	remirror->copied_in_round = false;
	memcpy(remirror->round, set->reach.copied, remirror->word_count * sizeof(uint64_t));
}

void remirror_round_end(struct remirror *remirror, struct mirror_set *set, uint64_t now_ns)
{
	bool all = is_all_copied(remirror, set) && !remirror->copied_in_round;

	if (remirror->phase != REMIRROR_COPYING || !set->intent.in_round)
		return;
	for (uint64_t word = 0; word < remirror->word_count; word++) {
		uint64_t copied_since = set->reach.copied[word] & ~remirror->round[word];
		uint64_t done = remirror->round[word] & ~set->intent.touched[word];

		for (; done; done &= done - 1) {
			region_map_clear(&set->dirty, word * 64 + (uint64_t)__builtin_ctzll(done));
			set->reach.copied_count--;
		}
		set->reach.copied[word] &= copied_since | set->intent.touched[word];
	}
	intent_round_abort(&set->intent, now_ns);
	if (!all)
		return;
	/* Once more, with nothing that trails: what the guest has flushed is then safe on both. */
	if (set->trails)
		set->trails = false;
	else
		remirror->phase = REMIRROR_TURNING;
}

static bool is_durable_in_intents(const struct mirror_set *set)
{
	for (uint64_t region = region_map_next(&set->dirty, 0); region < set->dirty.region_count;
	     region = region_map_next(&set->dirty, region + 1))
		if (!region_map_is_durable(&set->intent.map, region, 1))
			return false;
	return true;
}

bool remirror_step(struct remirror *remirror, struct mirror_set *set)
{
	uint8_t wanted = remirror->phase == REMIRROR_SETTLING ? MIRROR_GOOD : MIRROR_REMIRRORING;

	/* The target went in the middle, or at the very end: its regions stay dirty, and nobody waits. */
	if (remirror->phase != REMIRROR_IDLE &&
	    (set->states[MIRROR_PEER] != wanted || set->mode == MIRROR_ALONE)) {
		remirror_stop(remirror);
		return true;
	}
	if (remirror->phase == REMIRROR_TURNING) {
		/* Only what is being written is left, and what began meanwhile: the intents say so now. */
		region_map_merge(&set->intent.map, &set->dirty);
		if (!is_durable_in_intents(set))
			return false;
		mirror_set_change(set, MIRROR_PEER, MIRROR_COPY_END);
		remirror->phase = REMIRROR_SETTLING;
		return true;
	}
	if (remirror->phase == REMIRROR_SETTLING && !set->persisting && !set->persist_wanted) {
		region_map_clear_all(&set->dirty);
		remirror_stop(remirror);
		return true;
	}
	return false;
}

/* ---- how far ---- */

static uint64_t regions_done(const struct remirror *remirror, const struct mirror_set *set)
{
	uint64_t left = set->dirty.set_count - min_u64(set->reach.copied_count, set->dirty.set_count);

	return remirror->total - min_u64(left, remirror->total);
}

uint32_t remirror_percent(const struct remirror *remirror, const struct mirror_set *set)
{
	if (remirror->phase != REMIRROR_COPYING || remirror->total == 0)
		return 100;
	return (uint32_t)(min_u64(regions_done(remirror, set) * 100 / remirror->total, 99));
}

uint64_t remirror_remaining_s(const struct remirror *remirror, const struct mirror_set *set, uint64_t now_ns)
{
	uint64_t done = regions_done(remirror, set);
	uint64_t passed_ns = now_ns - remirror->begun_ns;

	if (remirror->phase != REMIRROR_COPYING)
		return 0;
	if (done == 0 || passed_ns < SECOND_NS)
		return UINT64_MAX;
	return (uint64_t)((unsigned __int128)passed_ns * (remirror->total - done) / done / SECOND_NS);
}
