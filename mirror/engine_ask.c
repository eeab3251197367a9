/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What we ask of the other server's disks: a slot of a set, in parts of at most a
 * region, each with an id; and flushes for rounds. An id is free again when its answer
 * has come, whatever became of the slot meanwhile. The last ids are the copies'
 * and a comparison's.
 */
#include <errno.h>
#include <string.h>

#include "include/assert.h"
#include "include/trace.h"
#include "mirror/engine_internal.h"

TRACE_FILE("mirror", TRACE_INFO);

#define ID_NONE UINT32_MAX

void engine_ask_forget(struct mirror_engine *engine)
{
	memset(engine->asks, 0, sizeof(engine->asks));
	for (uint32_t i = 0; i < engine->sets_end; i++)
		memset(engine->sets[i].asked, 0, sizeof(engine->sets[i].asked));
}

void engine_ask(struct mirror_engine *engine, uint32_t index, uint32_t slot)
{
	engine->sets[index].asked[slot] = (struct mirror_engine_asked){ .open = true };
}

static uint32_t free_id(const struct mirror_engine *engine)
{
	for (uint32_t id = 0; id < ENGINE_ID_COMPARE; id++)
		if (engine->asks[id].type == 0)
			return id;
	return ID_NONE;
}

/* Does the slot still wait for the peer? It may have been given up. */
static bool is_waiting(const struct mirror_slot *slot)
{
	return slot->phase != MIRROR_FREE && (slot->waits & BIT(MIRROR_PEER)) &&
	       (slot->issued & BIT(MIRROR_PEER));
}

static bool is_all_asked(const struct mirror_engine_asked *asked, const struct mirror_slot *slot)
{
	/* A flush has no sectors, and is one part. */
	return asked->part_begin >= max_u64(slot->sector_count, 1);
}

/* The oldest request that has a part to be asked for. */
static bool next_slot(struct mirror_engine *engine, uint32_t *index, uint32_t *slot)
{
	uint64_t oldest = UINT64_MAX;

	for (uint32_t i = 0; i < engine->sets_end; i++) {
		struct mirror_engine_set *at = &engine->sets[i];

		for (uint32_t s = 0; at->joined && s < at->set.slots_end; s++) {
			if (!at->asked[s].open || is_all_asked(&at->asked[s], &at->set.slots[s]))
				continue;
			if (!is_waiting(&at->set.slots[s]))
				at->asked[s].open = false;
			else if (at->set.slots[s].number < oldest) {
				oldest = at->set.slots[s].number;
				*index = i;
				*slot = s;
			}
		}
	}
	return oldest != UINT64_MAX;
}

static bool flush_make(struct mirror_engine *engine, uint32_t id, struct mirror_message *message)
{
	for (uint32_t i = 0; i < engine->sets_end; i++) {
		if (!engine->sets[i].joined || !engine->sets[i].round.peer_owed)
			continue;
		message->header.type = MIRROR_MESSAGE_FLUSH;
		message->header.set = (uint8_t)i;
		message->io.id = id;
		return true;
	}
	return false;
}

bool engine_ask_send(struct mirror_engine *engine, struct mirror_message *message,
		     struct mirror_engine_action *action)
{
	static const uint8_t types[] = { [MIRROR_READ] = MIRROR_MESSAGE_READ,
					 [MIRROR_WRITE] = MIRROR_MESSAGE_WRITE,
					 [MIRROR_FLUSH] = MIRROR_MESSAGE_FLUSH };
	uint32_t id = free_id(engine);
	const struct mirror_slot *slot;
	uint32_t index;
	uint32_t s;
	uint32_t begin;

	if (id == ID_NONE)
		return false;
	if (flush_make(engine, id, message))
		return true;
	if (!next_slot(engine, &index, &s))
		return false;
	slot = &engine->sets[index].set.slots[s];
	begin = engine->sets[index].asked[s].part_begin;
	message->header.type = types[slot->operation];
	message->header.set = (uint8_t)index;
	message->io.id = id;
	/* Alone, a read is of what is there now. */
	message->io.number =
		slot->operation == MIRROR_READ && engine->mode != MIRROR_DUPLEX ? 0 : slot->number;
	if (slot->operation != MIRROR_FLUSH) {
		message->io.sector = slot->sector + begin;
		message->io.sector_count =
			(uint32_t)min_u64(slot->sector_count - begin, MIRROR_REGION_SECTORS);
	}
	action->slot = s;
	if (slot->operation == MIRROR_WRITE) {
		action->tag = slot->tag;
		action->data_size = (uint32_t)(message->io.sector_count * MIRROR_SECTOR_SIZE);
		action->data_offset = begin * MIRROR_SECTOR_SIZE;
	}
	return true;
}

void engine_ask_sent(struct mirror_engine *engine, const struct mirror_message *message, uint32_t s)
{
	struct mirror_engine_set *at = &engine->sets[message->header.set];
	struct mirror_engine_ask *ask = &engine->asks[message->io.id];

	*ask = (struct mirror_engine_ask){ .type = message->header.type,
					   .set = message->header.set,
					   .slot = s,
					   .sector = message->io.sector,
					   .sector_count = message->io.sector_count };
	if (message->header.type == MIRROR_MESSAGE_FLUSH && at->round.peer_owed) {
		at->round.peer_owed = false;
		return;
	}
	ask->number = at->set.slots[s].number;
	at->asked[s].part_begin += (uint32_t)max_u64(message->io.sector_count, 1);
	at->asked[s].under_way++;
	if (is_all_asked(&at->asked[s], &at->set.slots[s]))
		mirror_set_sent(&at->set, s);
}

/* One part has its answer. The last one's ends the slot's way over the link. */
static void part_done(struct mirror_engine *engine, const struct mirror_engine_ask *ask, int status)
{
	struct mirror_engine_set *at = &engine->sets[ask->set];
	struct mirror_engine_asked *asked = &at->asked[ask->slot];

	asked->under_way--;
	if (status && !asked->status)
		asked->status = status;
	if (asked->under_way > 0 || !is_all_asked(asked, &at->set.slots[ask->slot]))
		return;
	asked->open = false;
	mirror_set_done(&at->set, ask->slot, MIRROR_PEER, asked->status);
}

static int status_of(const struct mirror_message_done *done)
{
	switch (done->outcome) {
	case MIRROR_OUTCOME_GOOD:
		return 0;
	case MIRROR_OUTCOME_AGAIN:
		return -ESTALE;
	default:
		return -(int)done->error;
	}
}

/* A READ is answered by its data, or by an error; all else by DONE. */
static bool is_answer_to(const struct mirror_message *message, const struct mirror_engine_ask *ask)
{
	if (ask->type == 0 || ask->set != message->header.set)
		return false;
	if (message->header.type == MIRROR_MESSAGE_DATA)
		return ask->type == MIRROR_MESSAGE_READ &&
		       mirror_message_data_size(message) == ask->sector_count * MIRROR_SECTOR_SIZE;
	return ask->type != MIRROR_MESSAGE_READ || message->done.outcome != MIRROR_OUTCOME_GOOD;
}

int engine_ask_answered(struct mirror_engine *engine, const struct mirror_message *message,
			const uint8_t *bytes, struct mirror_engine_data *data)
{
	struct mirror_engine_ask ask;
	const struct mirror_slot *slot;
	int status = status_of(&message->done);

	if (message->done.id >= ENGINE_ID_COPIES)
		return engine_copy_answered(engine, message);
	if (message->done.id == ENGINE_ID_COMPARE)
		return engine_verify_answered(engine, message, bytes);
	ask = engine->asks[message->done.id];
	if (!is_answer_to(message, &ask))
		return trace_error(-EINVAL);
	engine->asks[message->done.id].type = 0;
	if (ask.number == 0) {
		engine_round_flushed(engine, ask.set, MIRROR_PEER, status);
		return 0;
	}
	slot = &engine->sets[ask.set].set.slots[ask.slot];
	/* Given up meanwhile, and perhaps another request's by now. */
	if (!engine->sets[ask.set].asked[ask.slot].open || slot->number != ask.number)
		return 0;
	if (message->header.type == MIRROR_MESSAGE_DATA)
		*data = (struct mirror_engine_data){ .bytes = bytes,
						     .size = mirror_message_data_size(message),
						     .offset =
							     (ask.sector - slot->sector) * MIRROR_SECTOR_SIZE,
						     .tag = slot->tag,
						     .set = ask.set };
	part_done(engine, &ask, status);
	return 0;
}
