/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Remirrors over the link, from our disk to the peer's, and the rounds after which bits
 * of both maps may go. The exchange for each region is remirror.h's, the words are
 * message.h's:
 *
 *     OFFER -> OFFERED -> (STAMP came) STAMPED -> READING -> COPY -> COPIED -> (DONE came) free
 *                                                        `-> LEAVE -> free
 */
#include <errno.h>
#include <string.h>

#include "include/assert.h"
#include "include/crc32c.h"
#include "include/trace.h"
#include "mirror/engine_internal.h"

TRACE_FILE("mirror", TRACE_INFO);

#define AGAIN_NS UINT64_C(100000000) /* after a region that could not be copied */

enum copy_phase {
	COPY_FREE,
	COPY_OFFER, /* to be sent, as are COPY_DATA and COPY_LEAVE */
	COPY_OFFERED,
	COPY_STAMPED,
	COPY_READING,
	COPY_DATA,
	COPY_LEAVE,
	COPY_SENT,
};

enum put_off {
	PUT_OFF_NOT,
	PUT_OFF_DRAINING, /* regions on their way are the last */
	PUT_OFF_FLUSHING, /* so that their bits may go */
	PUT_OFF_DONE,
};

enum round_phase {
	ROUND_NONE,
	ROUND_PEER, /* DUPLEX: the peer is to have ended what we had begun */
	ROUND_FLUSH,
};

static uint64_t region_sectors(const struct mirror_engine *engine, const struct mirror_engine_copy *copy)
{
	return mirror_region_sectors(engine->sets[copy->set].set.sector_count, copy->region);
}

static void copy_free(struct mirror_engine *engine, struct mirror_engine_copy *copy)
{
	engine->copies_open -= copy->phase != COPY_FREE;
	copy->phase = COPY_FREE;
}

void engine_copy_forget(struct mirror_engine *engine)
{
	for (uint32_t i = 0; i < MIRROR_ENGINE_COPY_MAX; i++) {
		struct mirror_engine_copy *copy = &engine->copies[i];

		if (copy->phase == COPY_READING)
			copy->is_void = true;
		else
			copy_free(engine, copy);
	}
	for (uint32_t i = 0; i < engine->sets_end; i++) {
		struct mirror_engine_set *at = &engine->sets[i];

		if (!at->used)
			continue;
		at->put_off = PUT_OFF_NOT;
		remirror_stop(&at->remirror);
		if (at->set.intent.in_round)
			intent_round_abort(&at->set.intent, engine->now_ns);
		/* Our flush may be under way still. */
		at->round = (struct mirror_engine_round){
			.waits = at->round.own_owed ? 0 : at->round.waits & BIT(MIRROR_OWN)
		};
	}
}

bool engine_copy_is_quiet(const struct mirror_engine *engine)
{
	return engine->copies_open == 0;
}

/* ---- beginning and ending ---- */

static bool is_being_copied(const struct mirror_engine *engine, uint32_t index)
{
	for (uint32_t i = 0; i < MIRROR_ENGINE_COPY_MAX; i++)
		if (engine->copies[i].phase != COPY_FREE && engine->copies[i].set == index)
			return true;
	return false;
}

static void remirror_may_begin(struct mirror_engine *engine, uint32_t index)
{
	struct mirror_engine_set *at = &engine->sets[index];
	bool full = engine_known(engine, index)->full_copy == METADATA_FULL_BEGINS;

	/* The other one has to know of a disk that was enabled before it hears of a copy onto it. */
	if (at->put_off || !at->maps_in || !engine_peer_keeps_states(engine, index) ||
	    at->remirror.phase != REMIRROR_IDLE || at->round.phase != ROUND_NONE ||
	    !mirror_set_may_copy(&at->set) || is_being_copied(engine, index))
		return;
	mirror_set_change(&at->set, MIRROR_PEER, MIRROR_COPY_BEGIN);
	remirror_add_own(&at->remirror, &at->set);
	remirror_begin(&at->remirror, &at->set, full, engine->now_ns);
}

static void full_copy_is(struct mirror_engine *engine, uint32_t index, enum metadata_full_copy now)
{
	struct metadata_set *known = engine_known(engine, index);

	if (known->full_copy == now)
		return;
	known->full_copy = (uint8_t)now;
	engine_record_changed(engine);
}

/*
 * Once the dirty map says of every region that it is to be copied, it says what is left, whoever crashes.
 * Before that the map on disk is of a time when the peer's was another disk.
 */
static void full_copy_begun(struct mirror_engine *engine, uint32_t index)
{
	const struct mirror_engine_set *at = &engine->sets[index];

	if (engine_known(engine, index)->full_copy == METADATA_FULL_BEGINS &&
	    at->remirror.phase == REMIRROR_COPYING &&
	    region_map_is_durable(&at->set.dirty, 0, at->set.dirty.region_count))
		full_copy_is(engine, index, METADATA_FULL_GOES_ON);
}

/* ---- rounds ---- */

/* Both: what was copied may be a write that our own disk can still lose. */
static void round_flush(struct mirror_engine_round *round)
{
	round->phase = ROUND_FLUSH;
	round->peer_owed = true;
	round->own_owed = true;
	round->waits = (uint8_t)(BIT(MIRROR_PEER) | BIT(MIRROR_OWN));
	round->failed = false;
}

/* The copy it was for has been given up. */
static bool is_off(const struct mirror_engine_set *at)
{
	return at->round.of_copy && at->remirror.phase != REMIRROR_COPYING;
}

static void round_end(struct mirror_engine *engine, struct mirror_engine_set *at)
{
	at->round.phase = ROUND_NONE;
	if (!at->set.intent.in_round)
		return; /* given up: the peer went */
	if (at->round.failed || is_off(at))
		intent_round_abort(&at->set.intent, engine->now_ns);
	else if (at->round.of_copy)
		remirror_round_end(&at->remirror, &at->set, engine->now_ns);
	else
		intent_round_end(&at->set.intent, engine->now_ns);
}

/* In duplex the peer makes its own writes: a flush covers those that it has made. */
static void round_begin(struct mirror_engine_set *at, bool of_copy)
{
	at->round.of_copy = of_copy;
	at->round.failed = false;
	at->round.number = at->set.last_number;
	if (at->set.mode == MIRROR_DUPLEX)
		at->round.phase = ROUND_PEER;
	else
		round_flush(&at->round);
}

static void round_step(struct mirror_engine *engine, struct mirror_engine_set *at)
{
	struct mirror_set *set = &at->set;
	bool both = set->states[MIRROR_OWN] == MIRROR_GOOD && set->states[MIRROR_PEER] == MIRROR_GOOD;

	if (at->round.phase == ROUND_PEER) {
		if (!set->intent.in_round || is_off(at))
			round_end(engine, at);
		else if (set->peer_done >= at->round.number)
			round_flush(&at->round);
	}
	if (at->round.phase != ROUND_NONE || at->round.waits != 0)
		return;
	if (remirror_round_is_due(&at->remirror, set)) {
		remirror_round_begin(&at->remirror, set, engine->now_ns);
		round_begin(at, true);
	} else if (set->mode == MIRROR_DUPLEX && both && at->remirror.phase == REMIRROR_IDLE &&
		   intent_round_is_due(&set->intent, engine->now_ns)) {
		mirror_set_round_begin(set, engine->now_ns);
		round_begin(at, false);
	}
}

void engine_round_flushed(struct mirror_engine *engine, uint32_t index, enum mirror_side side, int status)
{
	struct mirror_engine_set *at = &engine->sets[index];

	at->round.waits &= (uint8_t)~BIT(side);
	at->round.failed |= status != 0;
	if (status)
		mirror_set_fault(&at->set, side, MIRROR_FLUSH, 0, 0, status);
	if (at->round.phase != ROUND_NONE && at->round.waits == 0)
		round_end(engine, at);
}

/* ---- putting off ---- */

static bool is_to_be_put_off(const struct mirror_engine *engine, const struct mirror_engine_set *at)
{
	uint64_t remaining_s = remirror_remaining_s(&at->remirror, &at->set, engine->now_ns);

	if (at->remirror.phase != REMIRROR_COPYING)
		return false;
	return engine->join_patience_s == 0 ||
	       (remaining_s != UINT64_MAX && remaining_s > engine->join_patience_s);
}

static bool is_drained(const struct mirror_engine *engine, uint32_t index)
{
	const struct mirror_engine_set *at = &engine->sets[index];

	return !is_being_copied(engine, index) && at->round.phase == ROUND_NONE && at->round.waits == 0;
}

/* The disk is outdated then, as if the link had gone, but nothing that was copied is copied again. */
static void put_off_step(struct mirror_engine *engine, uint32_t index)
{
	struct mirror_engine_set *at = &engine->sets[index];

	if (!engine->join_wanted || at->set.mode != MIRROR_SOURCE)
		at->put_off = PUT_OFF_NOT;
	else if (at->put_off == PUT_OFF_NOT && is_to_be_put_off(engine, at))
		at->put_off = PUT_OFF_DRAINING;
	if (at->put_off == PUT_OFF_NOT || at->put_off == PUT_OFF_DONE || !is_drained(engine, index))
		return;
	if (at->put_off == PUT_OFF_DRAINING && at->remirror.phase == REMIRROR_COPYING) {
		remirror_round_begin(&at->remirror, &at->set, engine->now_ns);
		round_begin(at, true);
		at->put_off = PUT_OFF_FLUSHING;
		return;
	}
	if (at->remirror.phase == REMIRROR_COPYING)
		mirror_set_change(&at->set, MIRROR_PEER, MIRROR_COPY_BROKEN);
	at->put_off = PUT_OFF_DONE;
}

void engine_copy_step(struct mirror_engine *engine)
{
	for (uint32_t i = 0; i < engine->sets_end; i++) {
		struct mirror_engine_set *at = &engine->sets[i];

		if (!at->joined)
			continue;
		put_off_step(engine, i);
		remirror_may_begin(engine, i);
		full_copy_begun(engine, i);
		if (remirror_step(&at->remirror, &at->set) && at->remirror.phase == REMIRROR_IDLE &&
		    at->set.states[MIRROR_PEER] == MIRROR_GOOD)
			full_copy_is(engine, i, METADATA_FULL_NONE);
		round_step(engine, at);
	}
}

/* ---- one region ---- */

/* The sets take turns by who has a free place first. */
static void offer_next(struct mirror_engine *engine, uint32_t index)
{
	struct mirror_engine_set *at = &engine->sets[index];

	/* The target's state is durable on both before anything of it is written over. */
	if (!at->joined || at->put_off || at->set.persisting || at->set.persist_wanted ||
	    engine_known(engine, index)->full_copy == METADATA_FULL_BEGINS ||
	    engine->now_ns < at->copy_after_ns)
		return;
	for (uint32_t i = 0; i < MIRROR_ENGINE_COPY_MAX; i++) {
		bool compare;
		int64_t region;

		if (engine->copies[i].phase != COPY_FREE)
			continue;
		region = remirror_take(&at->remirror, &at->set, engine->now_ns, &compare);
		if (region < 0)
			return;
		engine->copies_open++;
		engine->copies[i] = (struct mirror_engine_copy){ .phase = COPY_OFFER,
								 .set = (uint8_t)index,
								 .compare = compare,
								 .region = (uint64_t)region,
								 .left_out = at->set.reach.left_out };
	}
}

static bool read_begin(struct mirror_engine *engine, uint32_t i, struct mirror_engine_action *action)
{
	struct mirror_engine_copy *copy = &engine->copies[i];
	const struct mirror_engine_set *at = &engine->sets[copy->set];

	if (at->remirror.phase != REMIRROR_COPYING) {
		copy->phase = COPY_LEAVE;
		return false;
	}
	if (!mirror_set_has_all(&at->set, max_u64(copy->stamp.number, copy->left_out)))
		return false;
	copy->phase = COPY_READING;
	action->kind = MIRROR_ENGINE_OWN;
	action->set = copy->set;
	action->operation = MIRROR_READ;
	action->slot = ENGINE_SLOT_COPY + i;
	action->sector = copy->region * MIRROR_REGION_SECTORS;
	action->sector_count = (uint32_t)region_sectors(engine, copy);
	action->buffer = (int32_t)(MIRROR_MESSAGE_ASKED_MAX + i);
	return true;
}

static bool flush_begin(struct mirror_engine *engine, struct mirror_engine_action *action)
{
	for (uint32_t i = 0; i < engine->sets_end; i++) {
		if (!engine->sets[i].round.own_owed)
			continue;
		engine->sets[i].round.own_owed = false;
		action->kind = MIRROR_ENGINE_OWN;
		action->set = (uint8_t)i;
		action->operation = MIRROR_FLUSH;
		action->slot = ENGINE_SLOT_FLUSH;
		return true;
	}
	return false;
}

bool engine_copy_take(struct mirror_engine *engine, struct mirror_engine_action *action)
{
	for (uint32_t i = 0; i < engine->sets_end; i++)
		offer_next(engine, i);
	for (uint32_t i = 0; i < MIRROR_ENGINE_COPY_MAX && engine->copies_open > 0; i++)
		if (engine->copies[i].phase == COPY_STAMPED && read_begin(engine, i, action))
			return true;
	return flush_begin(engine, action);
}

int engine_copy_stamp(struct mirror_engine *engine, const struct mirror_message *message)
{
	struct mirror_engine_copy *copy;

	if (message->stamp.id < ENGINE_ID_COPIES)
		return trace_error(-EINVAL);
	copy = &engine->copies[message->stamp.id - ENGINE_ID_COPIES];
	if (copy->phase != COPY_OFFERED || copy->set != message->header.set)
		return trace_error(-EINVAL);
	copy->stamp = message->stamp;
	copy->phase = COPY_STAMPED;
	return 0;
}

/* Our disk has been read. */
void engine_copy_done(struct mirror_engine *engine, uint32_t i, int status)
{
	struct mirror_engine_copy *copy = &engine->copies[i];
	const uint8_t *bytes = engine_buffer(engine, MIRROR_MESSAGE_ASKED_MAX + i);
	struct mirror_engine_set *at = &engine->sets[copy->set];

	ASSERT(i < MIRROR_ENGINE_COPY_MAX);
	ASSERT(copy->phase == COPY_READING);
	if (copy->is_void) {
		copy_free(engine, copy);
		return;
	}
	copy->phase = COPY_DATA;
	if (status) {
		/* No other copy has it. It is tried again for ever: the guest may write it anew. */
		mirror_set_tell_fault(&at->set, MIRROR_OWN, MIRROR_READ, copy->region * MIRROR_REGION_SECTORS,
				      (uint32_t)region_sectors(engine, copy), status);
		at->copy_after_ns = engine->now_ns + AGAIN_NS;
		remirror_again(&at->remirror, &at->set, copy->region);
		copy->phase = COPY_LEAVE;
	} else if (at->remirror.phase != REMIRROR_COPYING) {
		copy->phase = COPY_LEAVE;
	} else if (copy->stamp.compared &&
		   crc32c(0, bytes, region_sectors(engine, copy) * MIRROR_SECTOR_SIZE) ==
			   copy->stamp.crc32c) {
		remirror_copied(&at->remirror, &at->set, copy->region, 0);
		copy->phase = COPY_LEAVE;
	}
}

int engine_copy_answered(struct mirror_engine *engine, const struct mirror_message *message)
{
	struct mirror_engine_copy *copy = &engine->copies[message->done.id - ENGINE_ID_COPIES];
	struct mirror_engine_set *at = &engine->sets[message->header.set];

	if (copy->phase != COPY_SENT || copy->set != message->header.set ||
	    message->header.type != MIRROR_MESSAGE_DONE)
		return trace_error(-EINVAL);
	copy_free(engine, copy);
	if (message->done.outcome == MIRROR_OUTCOME_GOOD) {
		remirror_copied(&at->remirror, &at->set, copy->region,
				region_sectors(engine, copy) * MIRROR_SECTOR_SIZE);
	} else {
		remirror_again(&at->remirror, &at->set, copy->region);
		at->copy_after_ns = engine->now_ns + AGAIN_NS;
	}
	return 0;
}

bool engine_copy_send(struct mirror_engine *engine, struct mirror_message *message,
		      struct mirror_engine_action *action)
{
	for (uint32_t i = 0; i < MIRROR_ENGINE_COPY_MAX && engine->copies_open > 0; i++) {
		const struct mirror_engine_copy *copy = &engine->copies[i];
		uint32_t id = ENGINE_ID_COPIES + i;

		message->header.set = copy->set;
		if (copy->phase == COPY_OFFER) {
			message->header.type = MIRROR_MESSAGE_OFFER;
			message->offer.region = copy->region;
			message->offer.id = id;
			message->offer.compare = copy->compare;
			return true;
		}
		if (copy->phase != COPY_DATA && copy->phase != COPY_LEAVE)
			continue;
		message->header.type = copy->phase == COPY_DATA ? MIRROR_MESSAGE_COPY : MIRROR_MESSAGE_LEAVE;
		message->copy.region = copy->region;
		message->copy.id = id;
		if (copy->phase == COPY_DATA) {
			action->buffer = (int32_t)(MIRROR_MESSAGE_ASKED_MAX + i);
			action->data_size = (uint32_t)(region_sectors(engine, copy) * MIRROR_SECTOR_SIZE);
		}
		return true;
	}
	return false;
}

void engine_copy_sent(struct mirror_engine *engine, const struct mirror_message *message)
{
	if (message->header.type == MIRROR_MESSAGE_OFFER)
		engine->copies[message->offer.id - ENGINE_ID_COPIES].phase = COPY_OFFERED;
	else if (message->header.type == MIRROR_MESSAGE_COPY)
		engine->copies[message->copy.id - ENGINE_ID_COPIES].phase = COPY_SENT;
	else
		copy_free(engine, &engine->copies[message->copy.id - ENGINE_ID_COPIES]);
}
