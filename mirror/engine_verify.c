/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Comparing both disks of a set while both replicas write them: one region at a time,
 * driven by who leads (the pace and the counters are verify.h's). What the region holds
 * is compared as of one request number, behind which both lock it:
 *
 *     LOCKING -> COMPARE -> COMPARED -> (STAMP came) STAMPED -> READING -> LEAVE -> free      equal
 *                                                                       `-> COPY -> SENT      the leader's is right
 *                                                                       `-> FETCH -> FETCHED -> WRITE -> WRITING
 *
 * FETCH is for what the leader cannot read. Whoever writes a region anew keeps its lock
 * until that has ended, also when the duplex has ended meanwhile: else the guest's next
 * write could be overtaken.
 */
#include <errno.h>
#include <string.h>

#include "include/assert.h"
#include "include/crc32c.h"
#include "include/trace.h"
#include "mirror/engine_internal.h"

TRACE_FILE("mirror", TRACE_INFO);

enum compare_phase {
	COMPARE_FREE,
	COMPARE_LOCKING,
	COMPARE_OWED, /* to be sent, as are COPY, LEAVE and FETCH */
	COMPARE_ASKED,
	COMPARE_STAMPED,
	COMPARE_READING,
	COMPARE_COPY,
	COMPARE_LEAVE,
	COMPARE_FETCH,
	COMPARE_COPIED,
	COMPARE_FETCHED,
	COMPARE_WRITE,
	COMPARE_WRITING,
};

#define BUFFER (MIRROR_MESSAGE_ASKED_MAX + MIRROR_ENGINE_COPY_MAX)

static struct mirror_engine_set *set_of(struct mirror_engine *engine)
{
	return &engine->sets[engine->compare.set];
}

static uint64_t first_sector(const struct mirror_engine *engine)
{
	return engine->compare.region * MIRROR_REGION_SECTORS;
}

static uint32_t sectors(const struct mirror_engine *engine)
{
	const struct mirror_engine_compare *compare = &engine->compare;

	return (uint32_t)mirror_region_sectors(engine->sets[compare->set].set.sector_count, compare->region);
}

static bool is_possible(const struct mirror_engine *engine, uint32_t index)
{
	const struct mirror_engine_set *at = &engine->sets[index];

	return engine->mode == MIRROR_DUPLEX && at->joined && at->set.states[MIRROR_OWN] == MIRROR_GOOD &&
	       at->set.states[MIRROR_PEER] == MIRROR_GOOD;
}

/* ---- a pass ---- */

static void pass_stop(struct mirror_engine_set *at)
{
	if (!at->verify.running)
		return;
	verify_stop(&at->verify);
	at->verify_untold = true;
	at->verify_stopped = true;
}

/* It has ended, and both servers will know what it found. */
static void pass_remember(struct mirror_engine *engine, uint32_t index)
{
	const struct verify *verify = &engine->sets[index].verify;
	struct metadata_set *known = engine_known(engine, index);

	known->verified_time_s = engine->now_s;
	known->verified_mismatches = verify->last_mismatches;
	known->verified_unreadable = (uint32_t)verify->last_unreadable;
	engine_record_changed(engine);
	engine->sets[index].verify_untold = true;
	engine->sets[index].verify_stopped = false;
}

/* The region is done with, but for what may still be on its way to the peer. */
static void region_end(struct mirror_engine *engine, enum verify_outcome outcome)
{
	struct mirror_engine_compare *compare = &engine->compare;
	struct mirror_engine_set *at = set_of(engine);

	mirror_set_unlock(&at->set, compare->lock);
	compare->lock = -1;
	if (!verify_done(&at->verify, outcome, engine->now_ns))
		return;
	pass_remember(engine, compare->set);
	at->verified_owed = true;
}

void engine_verify_forget(struct mirror_engine *engine)
{
	struct mirror_engine_compare *compare = &engine->compare;

	for (uint32_t i = 0; i < engine->sets_end; i++) {
		pass_stop(&engine->sets[i]);
		engine->sets[i].verify_owed = engine->sets[i].verified_owed = false;
	}
	if (compare->phase == COMPARE_READING || compare->phase == COMPARE_WRITING) {
		compare->is_void = true;
		return;
	}
	if (compare->phase != COMPARE_FREE && compare->lock >= 0)
		mirror_set_unlock(&set_of(engine)->set, compare->lock);
	compare->phase = COMPARE_FREE;
}

bool engine_verify_is_quiet(const struct mirror_engine *engine)
{
	return engine->compare.phase == COMPARE_FREE;
}

/* The sets take turns. */
static void region_begin(struct mirror_engine *engine)
{
	struct mirror_engine_compare *compare = &engine->compare;

	for (uint32_t i = 1; i <= engine->sets_end && compare->phase == COMPARE_FREE; i++) {
		uint32_t index = (compare->set + i) % engine->sets_end;
		struct mirror_engine_set *at = &engine->sets[index];
		int64_t region = at->used ? verify_take(&at->verify, engine->now_ns) : -ENOENT;

		if (region >= 0)
			*compare = (struct mirror_engine_compare){ .phase = COMPARE_LOCKING,
								   .set = (uint8_t)index,
								   .lock = -1,
								   .region = (uint64_t)region };
	}
}

/* Behind what the guest has asked for up to now. Later writes wait here, so the peer cannot end them. */
static void region_lock(struct mirror_engine *engine)
{
	struct mirror_engine_compare *compare = &engine->compare;
	struct mirror_set *set = &set_of(engine)->set;

	if (compare->phase != COMPARE_LOCKING)
		return;
	if (compare->lock < 0) {
		compare->number = set->last_number;
		compare->lock = mirror_set_lock(set, first_sector(engine), sectors(engine), compare->number);
	}
	if (compare->lock >= 0 && mirror_set_lock_holds(set, compare->lock))
		compare->phase = COMPARE_OWED;
}

void engine_verify_step(struct mirror_engine *engine)
{
	for (uint32_t i = 0; i < engine->sets_end; i++)
		if (engine->sets[i].verify.running && !is_possible(engine, i))
			pass_stop(&engine->sets[i]);
	if (!engine->leads)
		return;
	region_begin(engine);
	region_lock(engine);
}

const char *engine_verify_command(struct mirror_engine *engine, uint32_t index)
{
	struct mirror_engine_set *at = &engine->sets[index];

	if (at->verify.running || at->verify_owed)
		return "they are being compared already";
	if (engine->leads)
		verify_begin(&at->verify, engine->now_ns);
	else
		at->verify_owed = true;
	return NULL;
}

/* ---- our disk ---- */

static bool own_io(struct mirror_engine *engine, enum mirror_operation operation, enum compare_phase phase,
		   struct mirror_engine_action *action)
{
	engine->compare.phase = (uint8_t)phase;
	action->kind = MIRROR_ENGINE_OWN;
	action->set = engine->compare.set;
	action->operation = (uint8_t)operation;
	action->slot = ENGINE_SLOT_COMPARE;
	action->sector = first_sector(engine);
	action->sector_count = sectors(engine);
	action->buffer = BUFFER;
	return true;
}

bool engine_verify_take(struct mirror_engine *engine, struct mirror_engine_action *action)
{
	if (engine->compare.phase == COMPARE_STAMPED)
		return own_io(engine, MIRROR_READ, COMPARE_READING, action);
	if (engine->compare.phase == COMPARE_WRITE)
		return own_io(engine, MIRROR_WRITE, COMPARE_WRITING, action);
	return false;
}

/* Ours has been read, or cannot be. What is to be done? */
static enum compare_phase outcome_of_read(struct mirror_engine *engine, int status)
{
	struct mirror_engine_compare *compare = &engine->compare;
	struct mirror_engine_set *at = set_of(engine);
	const uint8_t *bytes = engine_buffer(engine, BUFFER);

	if (status)
		mirror_set_tell_fault(&at->set, MIRROR_OWN, MIRROR_READ, first_sector(engine),
				      sectors(engine), status);
	if (!at->verify.running)
		return COMPARE_LEAVE;
	compare->outcome = status || !compare->stamp.compared ? VERIFY_UNREADABLE : VERIFY_MISMATCH;
	if (status)
		return compare->stamp.compared ? COMPARE_FETCH : COMPARE_LEAVE;
	if (!compare->stamp.compared)
		return COMPARE_COPY;
	if (crc32c(0, bytes, sectors(engine) * MIRROR_SECTOR_SIZE) != compare->stamp.crc32c)
		return COMPARE_COPY;
	compare->outcome = VERIFY_EQUAL;
	return COMPARE_LEAVE;
}

static void write_done(struct mirror_engine *engine, int status)
{
	struct mirror_set *set = &set_of(engine)->set;

	if (status)
		mirror_set_fault(set, MIRROR_OWN, MIRROR_WRITE, first_sector(engine), sectors(engine),
				 status);
	else
		mirror_set_tell_repaired(set, first_sector(engine), sectors(engine));
	region_end(engine, VERIFY_UNREADABLE);
	engine->compare.phase = COMPARE_FREE;
}

void engine_verify_done(struct mirror_engine *engine, int status)
{
	struct mirror_engine_compare *compare = &engine->compare;

	if (compare->phase == COMPARE_WRITING) {
		write_done(engine, status);
		return;
	}
	ASSERT(compare->phase == COMPARE_READING);
	compare->phase = (uint8_t)outcome_of_read(engine, status);
	if (!compare->is_void)
		return;
	region_end(engine, VERIFY_AGAIN);
	compare->phase = COMPARE_FREE;
}

/* ---- the link ---- */

int engine_verify_stamp(struct mirror_engine *engine, const struct mirror_message *message)
{
	struct mirror_engine_compare *compare = &engine->compare;

	if (compare->phase != COMPARE_ASKED || compare->set != message->header.set)
		return trace_error(-EINVAL);
	compare->stamp = message->stamp;
	compare->phase = COMPARE_STAMPED;
	return 0;
}

static bool is_region(const struct mirror_engine *engine, const struct mirror_message *message)
{
	return message->header.type == MIRROR_MESSAGE_DATA &&
	       mirror_message_data_size(message) == sectors(engine) * MIRROR_SECTOR_SIZE;
}

int engine_verify_answered(struct mirror_engine *engine, const struct mirror_message *message,
			   const uint8_t *bytes)
{
	struct mirror_engine_compare *compare = &engine->compare;

	if (compare->set != message->header.set)
		return trace_error(-EINVAL);
	if (compare->phase == COMPARE_FETCHED && is_region(engine, message)) {
		memcpy(engine_buffer(engine, BUFFER), bytes, sectors(engine) * MIRROR_SECTOR_SIZE);
		compare->phase = COMPARE_WRITE;
		return 0;
	}
	if (message->header.type != MIRROR_MESSAGE_DONE ||
	    (compare->phase != COMPARE_COPIED && compare->phase != COMPARE_ASKED))
		return trace_error(-EINVAL);
	/* Not compared now; or written anew, or its disk is given up. */
	region_end(engine,
		   compare->phase == COMPARE_ASKED ? VERIFY_AGAIN : (enum verify_outcome)compare->outcome);
	compare->phase = COMPARE_FREE;
	return 0;
}

bool engine_verify_send(struct mirror_engine *engine, struct mirror_message *message,
			struct mirror_engine_action *action)
{
	static const uint8_t types[] = { [COMPARE_COPY] = MIRROR_MESSAGE_COPY,
					 [COMPARE_LEAVE] = MIRROR_MESSAGE_LEAVE,
					 [COMPARE_FETCH] = MIRROR_MESSAGE_FETCH };
	const struct mirror_engine_compare *compare = &engine->compare;

	message->header.set = compare->set;
	if (compare->phase == COMPARE_OWED) {
		message->header.type = MIRROR_MESSAGE_COMPARE;
		message->compare.region = compare->region;
		message->compare.number = compare->number;
		message->compare.id = ENGINE_ID_COMPARE;
		return true;
	}
	if (compare->phase < COMPARE_COPY || compare->phase > COMPARE_FETCH)
		return false;
	message->header.type = types[compare->phase];
	message->copy.region = compare->region;
	message->copy.id = ENGINE_ID_COMPARE;
	if (compare->phase == COMPARE_COPY) {
		action->buffer = BUFFER;
		action->data_size = (uint32_t)(sectors(engine) * MIRROR_SECTOR_SIZE);
	}
	return true;
}

void engine_verify_sent(struct mirror_engine *engine)
{
	struct mirror_engine_compare *compare = &engine->compare;

	switch (compare->phase) {
	case COMPARE_OWED:
		compare->phase = COMPARE_ASKED;
		break;
	case COMPARE_COPY:
		compare->phase = COMPARE_COPIED;
		break;
	case COMPARE_FETCH:
		compare->phase = COMPARE_FETCHED;
		break;
	default:
		region_end(engine, (enum verify_outcome)compare->outcome);
		compare->phase = COMPARE_FREE;
	}
}

/* ---- both servers know of it ---- */

bool engine_verify_make(const struct mirror_engine *engine, uint32_t index, struct mirror_message *message)
{
	const struct mirror_engine_set *at = &engine->sets[index];

	if (engine->mode != MIRROR_DUPLEX || (!at->verify_owed && !at->verified_owed))
		return false;
	message->header.type = at->verify_owed ? MIRROR_MESSAGE_VERIFY : MIRROR_MESSAGE_VERIFIED;
	if (at->verified_owed) {
		message->verified.mismatches = at->verify.last_mismatches;
		message->verified.unreadable = at->verify.last_unreadable;
	}
	return true;
}

void engine_verify_made(struct mirror_engine *engine, uint32_t index)
{
	engine->sets[index].verify_owed = false;
	engine->sets[index].verified_owed = false;
}

/* What is not possible is not said back: the follower sees that no pass goes on. */
void engine_verify_asked(struct mirror_engine *engine, uint32_t index)
{
	struct verify *verify = &engine->sets[index].verify;

	if (engine->leads && is_possible(engine, index) && !verify->running)
		verify_begin(verify, engine->now_ns);
}

void engine_verify_follow(struct mirror_engine *engine, uint32_t index, uint64_t region)
{
	verify_follow(&engine->sets[index].verify, region);
}

void engine_verify_ended(struct mirror_engine *engine, uint32_t index, const struct mirror_message *message)
{
	verify_end(&engine->sets[index].verify, message->verified.mismatches, message->verified.unreadable,
		   engine->now_ns);
	pass_remember(engine, index);
}
