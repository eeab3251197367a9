/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the other server asks of our disks, each with an id of its own and a buffer of
 * that index:
 *
 *     WRITE, READ, FLUSH    WAITING -> DISK -> ANSWER
 *     OFFER                 WAITING for the lock -> (DISK: read, to compare) -> ANSWER: STAMP -> LOCKED
 *     COPY                  LOCKED -> WAITING -> DISK -> unlocked, ANSWER
 *     LEAVE                 LOCKED -> unlocked, free
 *     COMPARE               as OFFER, behind the number it names; or, not now, ANSWER: DONE -> free
 *     FETCH                 LOCKED -> unlocked, ANSWER: DATA
 *
 * A write goes through the set, behind locks and overlaps; the rest to the disk at once:
 * a flush covers what has been answered, and the data of a read is nobody's to write now.
 */
#include <errno.h>
#include <string.h>

#include "include/assert.h"
#include "include/crc32c.h"
#include "include/trace.h"
#include "mirror/engine_internal.h"

TRACE_FILE("mirror", TRACE_INFO);

enum served_phase {
	SERVED_WAITING,
	SERVED_DISK,
	SERVED_ANSWER,
	SERVED_LOCKED,
};

static struct mirror_set *set_of(struct mirror_engine *engine, const struct mirror_engine_served *served)
{
	return &engine->sets[served->set].set;
}

static void unlock(struct mirror_engine *engine, struct mirror_engine_served *served)
{
	if (served->lock >= 0)
		mirror_set_unlock(set_of(engine, served), served->lock);
	served->lock = -1;
}

/* In place of a free one. */
static void served_begin(struct mirror_engine *engine, uint32_t id, const struct mirror_engine_served *served)
{
	engine->served[id] = *served;
	engine->served_end = (uint32_t)max_u64(engine->served_end, id + 1);
}

static void served_free(struct mirror_engine *engine, struct mirror_engine_served *served)
{
	served->type = 0;
	while (engine->served_end > 0 && engine->served[engine->served_end - 1].type == 0)
		engine->served_end--;
}

static void end(struct mirror_engine *engine, struct mirror_engine_served *served)
{
	unlock(engine, served);
	served_free(engine, served);
}

void engine_serve_forget(struct mirror_engine *engine)
{
	for (uint32_t id = 0; id < engine->served_end; id++) {
		struct mirror_engine_served *served = &engine->served[id];

		if (served->type == 0)
			continue;
		served->is_void = served->phase == SERVED_DISK; /* what it writes stays locked until it has */
		if (!served->is_void)
			end(engine, served);
	}
}

bool engine_serve_is_quiet(const struct mirror_engine *engine)
{
	return engine->served_end == 0;
}

static void answer(struct mirror_engine_served *served, int status)
{
	served->status = status;
	served->phase = SERVED_ANSWER;
}

/* ---- what is asked ---- */

static int io_receive(struct mirror_engine *engine, const struct mirror_message *message, const uint8_t *data)
{
	struct mirror_engine_set *at = &engine->sets[message->header.set];

	if (engine->served[message->io.id].type != 0)
		return trace_error(-EINVAL);
	served_begin(engine, message->io.id,
		     &(struct mirror_engine_served){ .type = message->header.type,
						     .phase = SERVED_WAITING,
						     .set = message->header.set,
						     .lock = -1,
						     .sector = message->io.sector,
						     .sector_count = message->io.sector_count,
						     .number = message->io.number });
	if (message->header.type != MIRROR_MESSAGE_WRITE)
		return 0;
	at->forwarded = max_u64(at->forwarded, message->io.number);
	memcpy(engine_buffer(engine, message->io.id), data, message->io.sector_count * MIRROR_SECTOR_SIZE);
	return 0;
}

static int region_receive(struct mirror_engine *engine, uint8_t index, uint32_t id, uint64_t region)
{
	const struct mirror_set *set = &engine->sets[index].set;

	if (engine->served[id].type != 0)
		return trace_error(-EINVAL);
	served_begin(engine, id,
		     &(struct mirror_engine_served){
			     .type = MIRROR_MESSAGE_OFFER,
			     .phase = SERVED_WAITING,
			     .set = index,
			     .lock = -1,
			     .sector = region * MIRROR_REGION_SECTORS,
			     .sector_count = (uint32_t)mirror_region_sectors(set->sector_count, region) });
	return 0;
}

static int offer_receive(struct mirror_engine *engine, const struct mirror_message *message)
{
	const struct mirror_message_offer *offer = &message->offer;
	int error = region_receive(engine, message->header.set, offer->id, offer->region);

	if (!error)
		engine->served[offer->id].compare = offer->compare;
	return error;
}

static int compare_receive(struct mirror_engine *engine, const struct mirror_message *message)
{
	const struct mirror_message_compare *compare = &message->compare;
	struct mirror_engine_served *served = &engine->served[compare->id];
	int error = region_receive(engine, message->header.set, compare->id, compare->region);

	if (error)
		return error;
	served->verifies = true;
	served->compare = true;
	served->number = compare->number;
	engine_verify_follow(engine, message->header.set, compare->region);
	return 0;
}

static int copy_receive(struct mirror_engine *engine, const struct mirror_message *message,
			const uint8_t *data)
{
	struct mirror_engine_served *served = &engine->served[message->copy.id];

	if (served->type != MIRROR_MESSAGE_OFFER || served->phase != SERVED_LOCKED ||
	    served->set != message->header.set ||
	    served->sector != message->copy.region * MIRROR_REGION_SECTORS)
		return trace_error(-EINVAL);
	if (message->header.type == MIRROR_MESSAGE_LEAVE) {
		end(engine, served);
		return 0;
	}
	/* It was read to be compared. */
	if (message->header.type == MIRROR_MESSAGE_FETCH) {
		if (!served->compared)
			return trace_error(-EINVAL);
		unlock(engine, served);
		served->type = MIRROR_MESSAGE_READ;
		answer(served, 0);
		return 0;
	}
	served->type = MIRROR_MESSAGE_COPY;
	served->phase = SERVED_WAITING;
	memcpy(engine_buffer(engine, message->copy.id), data, served->sector_count * MIRROR_SECTOR_SIZE);
	return 0;
}

int engine_serve_receive(struct mirror_engine *engine, const struct mirror_message *message,
			 const uint8_t *data)
{
	if (!engine->sets[message->header.set].joined)
		return trace_error(-EINVAL);
	switch (message->header.type) {
	case MIRROR_MESSAGE_OFFER:
		return offer_receive(engine, message);
	case MIRROR_MESSAGE_COMPARE:
		return compare_receive(engine, message);
	case MIRROR_MESSAGE_COPY:
	case MIRROR_MESSAGE_LEAVE:
	case MIRROR_MESSAGE_FETCH:
		return copy_receive(engine, message, data);
	default:
		return io_receive(engine, message, data);
	}
}

/* ---- to the disk ---- */

static bool own_io(struct mirror_engine *engine, uint32_t id, enum mirror_operation operation,
		   struct mirror_engine_action *action)
{
	struct mirror_engine_served *served = &engine->served[id];

	served->phase = SERVED_DISK;
	action->kind = MIRROR_ENGINE_OWN;
	action->set = served->set;
	action->operation = (uint8_t)operation;
	action->slot = ENGINE_SLOT_SERVED + id;
	action->sector = served->sector;
	action->sector_count = served->sector_count;
	action->buffer = (int32_t)id;
	return true;
}

/* Through the set: its action comes with those of the set, with the id for its tag. */
static bool write_begin(struct mirror_engine *engine, uint32_t id)
{
	struct mirror_engine_served *served = &engine->served[id];
	struct mirror_engine_set *at = &engine->sets[served->set];

	if (at->set.mode != MIRROR_TARGET) {
		answer(served, -EIO);
		return false;
	}
	/* Our record must not say any more that this disk is as it was when we met. */
	if (!mirror_engine_is_durable(engine, at->target_ticket))
		return false;
	if (mirror_set_submit(&at->set, MIRROR_WRITE, served->sector, served->sector_count,
			      ENGINE_TAG_SERVED + id, engine->now_ns) >= 0)
		served->phase = SERVED_DISK;
	return false;
}

/* As of the guest's request `number`, or, asked by who runs it alone, now. */
static bool read_begin(struct mirror_engine *engine, uint32_t id, struct mirror_engine_action *action)
{
	struct mirror_engine_served *served = &engine->served[id];
	const struct mirror_set *set = set_of(engine, served);
	int may = served->number == 0
			  ? 0
			  : mirror_set_may_read(set, served->sector, served->sector_count, served->number);

	if (set->states[MIRROR_OWN] != MIRROR_GOOD) {
		answer(served, -EIO);
		return false;
	}
	if (may == -EAGAIN)
		return false;
	if (may == 0)
		return own_io(engine, id, MIRROR_READ, action);
	answer(served, may);
	return false;
}

/* In the peer's numbers. As SOURCE: what has ended here has ended on the peer's disk, too. */
static uint64_t stamp_number(const struct mirror_engine_set *at)
{
	switch (at->set.mode) {
	case MIRROR_TARGET:
		return at->forwarded;
	case MIRROR_DUPLEX:
		return at->set.last_number;
	default:
		return 0;
	}
}

/* Returns whether the region is locked, and all that comes before is on the disk. */
static bool region_lock(struct mirror_engine *engine, struct mirror_engine_served *served, uint64_t number)
{
	struct mirror_set *set = set_of(engine, served);

	if (served->lock < 0)
		served->lock = mirror_set_lock(set, served->sector, served->sector_count, number);
	return served->lock >= 0 && mirror_set_lock_holds(set, served->lock);
}

static bool compare_begin(struct mirror_engine *engine, uint32_t id, struct mirror_engine_action *action)
{
	struct mirror_engine_served *served = &engine->served[id];

	/* Before that it numbers requests otherwise. */
	if (engine->mode != MIRROR_DUPLEX)
		return false;
	if (region_lock(engine, served, served->number))
		return own_io(engine, id, MIRROR_READ, action);
	if (served->lock != -ESTALE && set_of(engine, served)->states[MIRROR_OWN] == MIRROR_GOOD)
		return false;
	/* A later request has begun to write there, or the disk is no good one: not now. */
	unlock(engine, served);
	served->type = MIRROR_MESSAGE_COMPARE;
	answer(served, -ESTALE);
	return false;
}

static bool offer_begin(struct mirror_engine *engine, uint32_t id, struct mirror_engine_action *action)
{
	struct mirror_engine_served *served = &engine->served[id];
	struct mirror_engine_set *at = &engine->sets[served->set];

	if (at->set.states[MIRROR_OWN] != MIRROR_REMIRRORING) {
		answer(served, 0); /* its states are on their way: the source gives it up */
		return false;
	}
	if (served->lock < 0)
		served->number = stamp_number(at);
	if (!region_lock(engine, served, at->set.last_number))
		return false;
	if (served->compare)
		return own_io(engine, id, MIRROR_READ, action);
	answer(served, 0);
	return false;
}

static bool copy_begin(struct mirror_engine *engine, uint32_t id, struct mirror_engine_action *action)
{
	struct mirror_engine_served *served = &engine->served[id];
	const struct mirror_engine_set *at = &engine->sets[served->set];
	uint8_t wanted = served->verifies ? MIRROR_GOOD : MIRROR_REMIRRORING;

	if (at->set.states[MIRROR_OWN] != wanted) {
		unlock(engine, served);
		answer(served, -EIO);
		return false;
	}
	return mirror_engine_is_durable(engine, at->target_ticket) &&
	       own_io(engine, id, MIRROR_WRITE, action);
}

bool engine_serve_take(struct mirror_engine *engine, struct mirror_engine_action *action)
{
	for (uint32_t id = 0; id < engine->served_end; id++) {
		const struct mirror_engine_served *served = &engine->served[id];
		bool taken = false;

		if (served->phase != SERVED_WAITING)
			continue;
		if (served->type == MIRROR_MESSAGE_WRITE)
			taken = write_begin(engine, id);
		else if (served->type == MIRROR_MESSAGE_READ)
			taken = read_begin(engine, id, action);
		else if (served->type == MIRROR_MESSAGE_FLUSH)
			taken = own_io(engine, id, MIRROR_FLUSH, action);
		else if (served->type == MIRROR_MESSAGE_OFFER && served->verifies)
			taken = compare_begin(engine, id, action);
		else if (served->type == MIRROR_MESSAGE_OFFER)
			taken = offer_begin(engine, id, action);
		else if (served->type == MIRROR_MESSAGE_COPY)
			taken = copy_begin(engine, id, action);
		if (taken)
			return true;
	}
	return false;
}

/* A sector that cannot be read is our disk's fault; that it differs, the leader counts. */
static void verify_tell(struct mirror_engine *engine, const struct mirror_engine_served *served, int status)
{
	struct mirror_set *set = set_of(engine, served);

	if (served->type == MIRROR_MESSAGE_OFFER && status)
		mirror_set_tell_fault(set, MIRROR_OWN, MIRROR_READ, served->sector, served->sector_count,
				      status);
	else if (served->type == MIRROR_MESSAGE_COPY && !status && !served->compared)
		mirror_set_tell_repaired(set, served->sector, served->sector_count);
}

/* The disk has answered. */
void engine_serve_done(struct mirror_engine *engine, uint32_t id, int status)
{
	struct mirror_engine_served *served = &engine->served[id];
	struct mirror_set *set = set_of(engine, served);

	ASSERT(id < MIRROR_MESSAGE_ASKED_MAX);
	ASSERT(served->type != 0);
	ASSERT(served->phase == SERVED_DISK);
	/* What fails to be copied or flushed is a disk that does not hold what it should. */
	if (status && served->type != MIRROR_MESSAGE_READ && served->type != MIRROR_MESSAGE_OFFER)
		mirror_set_fault(set, MIRROR_OWN,
				 served->type == MIRROR_MESSAGE_FLUSH ? MIRROR_FLUSH : MIRROR_WRITE,
				 served->sector, served->sector_count, status);
	if (served->verifies)
		verify_tell(engine, served, status);
	if (served->is_void) {
		end(engine, served);
		return;
	}
	if (served->type == MIRROR_MESSAGE_COPY)
		unlock(engine, served);
	if (served->type == MIRROR_MESSAGE_OFFER && status == 0) {
		served->compared = true;
		served->crc32c =
			crc32c(0, engine_buffer(engine, id), served->sector_count * MIRROR_SECTOR_SIZE);
	}
	answer(served, served->type == MIRROR_MESSAGE_OFFER ? 0 : status);
}

void engine_serve_finished(struct mirror_engine *engine, uint32_t id, int status)
{
	struct mirror_engine_served *served = &engine->served[id];

	ASSERT(id < MIRROR_MESSAGE_ASKED_MAX);
	ASSERT(served->type == MIRROR_MESSAGE_WRITE);
	ASSERT(served->phase == SERVED_DISK);
	answer(served, status);
	if (served->is_void)
		served_free(engine, served);
}

/* ---- answers ---- */

static void done_make(const struct mirror_engine_served *served, uint32_t id, struct mirror_message *message)
{
	message->header.type = MIRROR_MESSAGE_DONE;
	message->done.id = id;
	if (served->status == 0)
		return;
	message->done.outcome = served->status == -ESTALE ? MIRROR_OUTCOME_AGAIN : MIRROR_OUTCOME_ERROR;
	if (message->done.outcome == MIRROR_OUTCOME_ERROR)
		message->done.error = (uint32_t)-served->status;
}

static void stamp_make(const struct mirror_engine_served *served, uint32_t id, struct mirror_message *message)
{
	message->header.type = MIRROR_MESSAGE_STAMP;
	message->stamp.id = id;
	message->stamp.number = served->number;
	message->stamp.compared = served->compared;
	message->stamp.crc32c = served->crc32c;
}

bool engine_serve_answer(struct mirror_engine *engine, struct mirror_message *message,
			 struct mirror_engine_action *action)
{
	for (uint32_t id = 0; id < engine->served_end; id++) {
		const struct mirror_engine_served *served = &engine->served[id];

		if (served->type == 0 || served->phase != SERVED_ANSWER)
			continue;
		message->header.set = served->set;
		if (served->type == MIRROR_MESSAGE_OFFER) {
			stamp_make(served, id, message);
			return true;
		}
		done_make(served, id, message);
		if (served->type == MIRROR_MESSAGE_READ && served->status == 0) {
			message->header.type = MIRROR_MESSAGE_DATA;
			action->buffer = (int32_t)id;
			action->data_size = (uint32_t)(served->sector_count * MIRROR_SECTOR_SIZE);
		}
		return true;
	}
	return false;
}

void engine_serve_answered(struct mirror_engine *engine, uint32_t id)
{
	struct mirror_engine_served *served = &engine->served[id];

	if (served->type == MIRROR_MESSAGE_OFFER)
		served->phase = SERVED_LOCKED;
	else
		served_free(engine, served);
}
