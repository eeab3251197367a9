/* SPDX-License-Identifier: Apache-2.0 */
/* One server's mirror sets and their memory; see engine.h. */
#include "mirror/engine_internal.h"

#include <errno.h>
#include <string.h>

#include "include/assert.h"

#define RETRY_NS UINT64_C(1000000000) /* after a failed write of the state partition */

/* ---- start ---- */

void mirror_engine_init(struct mirror_engine *engine, uint32_t server, uint64_t partition_size)
{
	ASSERT(server < 2);
	memset(engine, 0, sizeof(*engine));
	engine->server = server;
	engine->partition_size = partition_size;
	engine->verify_rate = MIRROR_ENGINE_VERIFY_RATE;
	metadata_init(&engine->metadata, 0, server);
}

uint64_t engine_record_changed(struct mirror_engine *engine)
{
	return ++engine->change;
}

/*
 * No guest has seen these sets, and no other server: what they are like is the configuration's
 * to say anew. Servers whose disks differ are told so when they meet, which is later.
 */
static bool is_untouched(const struct mirror_engine *engine)
{
	const struct metadata *metadata = &engine->metadata;

	for (uint32_t i = 0; i < MIRROR_SET_MAX; i++)
		if (metadata->sets[i].identity &&
		    (metadata->sets[i].disk_sector_counts[1 - engine->server] ||
		     metadata->sets[i].disk_states[engine->server] != MIRROR_GOOD))
			return false;
	return metadata->era_count == 0;
}

bool mirror_engine_load(struct mirror_engine *engine, const uint8_t *const copies[METADATA_COPY_COUNT],
			struct metadata_choice *choice)
{
	metadata_choose(copies, 0, engine->server, &engine->metadata, choice);
	if (choice->verdict != METADATA_GOOD) {
		metadata_init(&engine->metadata, 0, engine->server); /* of what was read, nothing */
		return false;
	}
	if (choice->copy_lost)
		engine_record_changed(engine);
	if (is_untouched(engine))
		memset(engine->metadata.sets, 0, sizeof(engine->metadata.sets));
	return true;
}

uint64_t mirror_engine_create(struct mirror_engine *engine, uint64_t pair_identity)
{
	ASSERT(pair_identity != 0);
	ASSERT(engine->metadata.pair_identity == 0);
	engine->metadata.pair_identity = pair_identity;
	return engine_record_changed(engine);
}

uint64_t mirror_engine_count_start(struct mirror_engine *engine, uint64_t now_s, uint64_t *ticket)
{
	engine->metadata.starts = max_u64(engine->metadata.starts + 1, now_s);
	*ticket = engine_record_changed(engine);
	return engine->metadata.starts;
}

uint64_t mirror_engine_sector_count(const struct mirror_engine *engine, uint32_t index,
				    const struct mirror_engine_disk *disk)
{
	const struct metadata_set *known = &engine->metadata.sets[index];

	ASSERT(index < MIRROR_SET_MAX);
	if (known->identity)
		return known->sector_count;
	return mirror_engine_large_sectors(engine, index, disk)
		       ? align_down(disk->sector_count, MIRROR_LARGE_SECTOR_COUNT)
		       : disk->sector_count;
}

bool mirror_engine_large_sectors(const struct mirror_engine *engine, uint32_t index,
				 const struct mirror_engine_disk *disk)
{
	ASSERT(index < MIRROR_SET_MAX);
	return engine->metadata.sets[index].identity ? engine->metadata.large_sectors[index]
						     : disk->large_sectors || disk->large_wanted;
}

static uint64_t dirty_memory_size(uint64_t sector_count)
{
	return align_up(region_map_memory_size(sector_count), 8);
}

uint64_t mirror_engine_memory_size(uint64_t sector_count)
{
	return dirty_memory_size(sector_count) + intent_memory_size(sector_count) +
	       remirror_memory_size(sector_count);
}

/* Cuts up the owner's memory. */
static void set_init(struct mirror_engine *engine, uint32_t index, enum mirror_disk_state own,
		     enum mirror_disk_state peer)
{
	struct mirror_engine_set *at = &engine->sets[index];
	const struct metadata_set *known = engine_known(engine, index);
	uint8_t *dirty = at->memory;
	uint8_t *intent = dirty + dirty_memory_size(known->sector_count);

	mirror_set_init(&at->set, known->identity, known->sector_count, own, peer,
			&(struct mirror_set_memory){ dirty, intent });
	remirror_init(&at->remirror, &at->set, intent + intent_memory_size(known->sector_count));
	at->remirror.rate_bytes = engine->remirror_rate;
	verify_init(&at->verify, known->sector_count, engine->verify_rate);
}

void engine_set_adopt(struct mirror_engine *engine, uint32_t index)
{
	struct mirror_engine_set *at = &engine->sets[index];
	struct metadata_set *known = engine_known(engine, index);
	const struct metadata_set *from = &engine->meeting.peer.sets[index];

	ASSERT(from->sector_count <= known->sector_count);
	known->identity = from->identity;
	known->sector_count = from->sector_count;
	engine->metadata.large_sectors[index] = engine->meeting.peer.large_sectors[index];
	set_init(engine, index, (enum mirror_disk_state)at->set.states[MIRROR_OWN],
		 (enum mirror_disk_state)at->set.states[MIRROR_PEER]);
	mirror_set_mode(&at->set, (enum mirror_mode)engine->mode);
	region_map_format(&at->set.dirty);
	region_map_format(&at->set.intent.map);
}

/* A set that nobody has heard of: this server's disk is all there is of it. */
static int set_create(struct mirror_engine *engine, uint32_t index, const struct mirror_engine_disk *disk,
		      uint64_t identity)
{
	bool large_sectors = mirror_engine_large_sectors(engine, index, disk);
	int added = metadata_set_add(&engine->metadata, identity,
				     mirror_engine_sector_count(engine, index, disk), engine->partition_size);
	struct metadata_set *known = engine_known(engine, index);

	if (added < 0)
		return added;
	ASSERT((uint32_t)added == index);
	engine->metadata.large_sectors[index] = large_sectors;
	known->disk_states[engine->server] = MIRROR_GOOD;
	known->disk_states[1 - engine->server] = MIRROR_MISSING;
	return 0;
}

static void disk_remember(struct mirror_engine *engine, uint32_t index, const struct mirror_engine_disk *disk)
{
	struct metadata_set *known = engine_known(engine, index);

	strncpy(known->serials[engine->server], disk->serial, MIRROR_TEXT_SIZE - 1);
	known->disk_sector_counts[engine->server] = disk->sector_count;
}

static void bay_remember(struct mirror_engine *engine, uint32_t index, const char *serial,
			 uint64_t sector_count)
{
	struct mirror_engine_set *at = &engine->sets[index];

	memset(at->bay_serial, 0, sizeof(at->bay_serial));
	strncpy(at->bay_serial, serial, MIRROR_TEXT_SIZE - 1);
	at->bay_sector_count = sector_count;
}

void engine_bay_take(struct mirror_engine *engine, uint32_t index)
{
	struct mirror_engine_set *at = &engine->sets[index];
	struct metadata_set *known = engine_known(engine, index);

	ASSERT(at->bay_sector_count != 0);
	memcpy(known->serials[engine->server], at->bay_serial, MIRROR_TEXT_SIZE);
	known->disk_sector_counts[engine->server] = at->bay_sector_count;
	at->refusal = NULL;
	at->bay_sector_count = 0;
	engine_record_changed(engine);
}

void engine_bay_leave(struct mirror_engine *engine, uint32_t index, bool forget)
{
	struct mirror_engine_set *at = &engine->sets[index];
	struct metadata_set *known = engine_known(engine, index);

	if (!at->refusal) {
		bay_remember(engine, index, known->serials[engine->server],
			     known->disk_sector_counts[engine->server]);
		at->refusal = METADATA_DISK_NEW;
	}
	if (!forget)
		return;
	memset(known->serials[engine->server], 0, MIRROR_TEXT_SIZE);
	known->disk_sector_counts[engine->server] = 0;
}

/* A copy that a crash cut short is not one that goes on by itself. */
static enum mirror_disk_state state_at_start(uint8_t kept)
{
	return kept == MIRROR_REMIRRORING ? MIRROR_OUTDATED : (enum mirror_disk_state)kept;
}

/* It was pulled out and is back. While the other one lacked writes, too, nobody wrote without it. */
static void disk_is_back(struct mirror_set *set)
{
	if (set->states[MIRROR_OWN] != MIRROR_MISSING)
		return;
	mirror_set_change(set, MIRROR_OWN, MIRROR_FOUND);
	if (set->states[MIRROR_PEER] != MIRROR_GOOD)
		mirror_set_change(set, MIRROR_OWN, MIRROR_IN_STEP);
}

int mirror_engine_open(struct mirror_engine *engine, uint32_t index, const struct mirror_engine_disk *disk,
		       uint64_t identity, void *memory)
{
	struct mirror_engine_set *at = &engine->sets[index];
	struct metadata_set *known = engine_known(engine, index);
	uint64_t sector_count = mirror_engine_sector_count(engine, index, disk);
	bool is_new = known->identity == 0;

	ASSERT(!at->used);
	ASSERT(sector_count != 0);
	if (is_new) {
		int error = set_create(engine, index, disk, identity);

		if (error)
			return error;
	}
	at->used = true;
	engine->sets_end = (uint32_t)max_u64(engine->sets_end, index + 1);
	at->memory = memory;
	at->keep = -1;
	at->refusal = disk->sector_count == 0
			      ? "there is no disk"
			      : metadata_disk_refusal(&engine->metadata, index, engine->server, disk->serial,
						      disk->sector_count, disk->large_sectors);
	if (at->refusal && disk->sector_count != 0 &&
	    metadata_disk_may_replace(&engine->metadata, index, engine->server, disk->serial,
				      disk->sector_count, disk->large_sectors))
		bay_remember(engine, index, disk->serial, disk->sector_count);
	set_init(engine, index,
		 at->refusal ? MIRROR_MISSING : state_at_start(known->disk_states[engine->server]),
		 state_at_start(known->disk_states[1 - engine->server]));
	if (!at->refusal) {
		disk_is_back(&at->set);
		disk_remember(engine, index, disk);
		engine_record_changed(engine);
	}
	if (!is_new)
		return -EEXIST;
	region_map_format(&at->set.dirty);
	region_map_format(&at->set.intent.map);
	return 0;
}

const char *mirror_engine_refusal(const struct mirror_engine *engine, uint32_t index)
{
	return engine->sets[index].refusal;
}

/* Of the blocks of both maps in a row: which map, and which of its blocks? */
static bool block_is_intent(const struct mirror_set *set, uint64_t *block)
{
	if (*block < set->dirty.block_count)
		return false;
	*block -= set->dirty.block_count;
	return true;
}

static uint64_t map_place(const struct metadata_set *known, bool is_intent, uint64_t block)
{
	return (is_intent ? known->intent_map_offset : known->dirty_map_offset) +
	       block * REGION_MAP_BLOCK_SIZE;
}

bool mirror_engine_map_place(const struct mirror_engine *engine, uint32_t index, uint64_t block,
			     uint64_t *offset)
{
	const struct mirror_set *set = &engine->sets[index].set;
	bool is_intent = block_is_intent(set, &block);

	ASSERT(engine->sets[index].used);
	if (block >= set->dirty.block_count)
		return false;
	*offset = map_place(&engine->metadata.sets[index], is_intent, block);
	return true;
}

void mirror_engine_map_load(struct mirror_engine *engine, uint32_t index, uint64_t block,
			    const uint8_t *bytes)
{
	struct mirror_set *set = &engine->sets[index].set;
	bool is_intent = block_is_intent(set, &block);

	region_map_load_block(is_intent ? &set->intent.map : &set->dirty, block, bytes);
}

/* ---- what is remembered of the pair ---- */

uint64_t mirror_engine_remember(struct mirror_engine *engine, const struct metadata_pair *pair)
{
	engine->metadata.pair = *pair;
	return engine_record_changed(engine);
}

/* The peer has told of the era that both are to begin, and of all before. */
static bool peer_has_begun(const struct mirror_engine *engine, const struct metadata_pair *pair)
{
	const struct metadata *peer = &engine->meeting.peer;

	return engine->mode == MIRROR_TARGET && engine->meeting.met && peer->era_count != 0 &&
	       !peer->history[peer->era_count - 1].alone &&
	       peer->history[peer->era_count - 1].generation == pair->generation;
}

uint64_t mirror_engine_era_begin(struct mirror_engine *engine, const struct metadata_pair *pair,
				 uint64_t token, bool alone, bool overridden)
{
	struct metadata *own = &engine->metadata;

	if (!alone && peer_has_begun(engine, pair)) {
		memcpy(own->history, engine->meeting.peer.history, sizeof(own->history));
		own->era_count = engine->meeting.peer.era_count;
		return mirror_engine_remember(engine, pair);
	}
	/* Whoever goes alone does so now, though the mode changes when it is durable. */
	for (uint32_t i = 0; i < engine->sets_end && alone; i++)
		mirror_set_peer_lost(&engine->sets[i].set);
	metadata_era_begin(own, &(struct metadata_era){ .generation = pair->generation,
							.token = token,
							.alone = alone,
							.server = (uint8_t)engine->server,
							.overridden = overridden });
	engine->meeting.history_owed = !alone && engine->mode == MIRROR_SOURCE;
	return mirror_engine_remember(engine, pair);
}

bool mirror_engine_era_is_told(const struct mirror_engine *engine)
{
	return !engine->meeting.history_owed;
}

void engine_mode_set(struct mirror_engine *engine, enum mirror_mode mode)
{
	engine->mode = (uint8_t)mode;
	for (uint32_t i = 0; i < engine->sets_end; i++)
		if (engine->sets[i].used)
			mirror_set_mode(&engine->sets[i].set, mode);
}

/* Both replicas count the guest's requests from here. */
static void duplex_begin(struct mirror_engine *engine)
{
	engine->leads = engine->mode == MIRROR_SOURCE;
	for (uint32_t i = 0; i < engine->sets_end; i++)
		if (engine->sets[i].used)
			mirror_set_join(&engine->sets[i].set, 0);
	engine_mode_set(engine, MIRROR_DUPLEX);
	for (uint32_t i = 0; i < engine->sets_end; i++)
		if (engine->sets[i].used)
			mirror_set_peer_progress(&engine->sets[i].set, engine->sets[i].peer_progress);
}

void engine_era_is_written_in(struct mirror_engine *engine)
{
	struct metadata_era *era = metadata_era_now(&engine->metadata);

	if (!era || !era->alone || era->changed)
		return;
	era->changed = 1;
	engine->changed_ticket = engine_record_changed(engine);
}

void mirror_engine_mode(struct mirror_engine *engine, enum mirror_mode mode)
{
	bool is_new = engine->mode != mode;

	ASSERT(mode == MIRROR_IDLE || mode == MIRROR_ALONE || mode == MIRROR_DUPLEX);
	if (mode == MIRROR_IDLE && engine->mode == MIRROR_TARGET)
		return; /* there was no guest here */
	/* What was under way on two disks ends on one: a flush, too, makes this the disk that is right. */
	if (mode == MIRROR_ALONE && is_new && engine->mode != MIRROR_IDLE)
		engine_era_is_written_in(engine);
	if (mode == MIRROR_DUPLEX)
		duplex_begin(engine);
	else
		engine_mode_set(engine, mode);
	if (is_new)
		engine_meeting_begin(engine);
}

void mirror_engine_rates(struct mirror_engine *engine, uint64_t remirror_bytes, uint64_t verify_bytes)
{
	ASSERT(verify_bytes > 0);
	engine->remirror_rate = remirror_bytes;
	engine->verify_rate = verify_bytes;
	for (uint32_t i = 0; i < engine->sets_end; i++) {
		engine->sets[i].remirror.rate_bytes = remirror_bytes;
		engine->sets[i].verify.rate_bytes = verify_bytes;
	}
}

/* ---- requests ---- */

int mirror_engine_submit(struct mirror_engine *engine, uint32_t index, enum mirror_operation operation,
			 uint64_t sector, uint32_t sector_count, uint64_t tag)
{
	struct mirror_engine_set *at = &engine->sets[index];
	int slot;

	ASSERT(index < MIRROR_SET_MAX);
	ASSERT(at->used);
	ASSERT(tag < ENGINE_TAG_SERVED);
	ASSERT(!engine->metadata.large_sectors[index] ||
	       is_aligned(sector | sector_count, MIRROR_LARGE_SECTOR_COUNT));
	slot = mirror_set_submit(&at->set, operation, sector, sector_count, tag, engine->now_ns);
	if (slot >= 0 && operation == MIRROR_WRITE)
		engine_era_is_written_in(engine);
	return slot;
}

void mirror_engine_done(struct mirror_engine *engine, uint32_t index, uint32_t slot, int status)
{
	if (slot < ENGINE_SLOT_SERVED)
		mirror_set_done(&engine->sets[index].set, slot, MIRROR_OWN, status);
	else if (slot < ENGINE_SLOT_COPY)
		engine_serve_done(engine, slot - ENGINE_SLOT_SERVED, status);
	else if (slot < ENGINE_SLOT_COMPARE)
		engine_copy_done(engine, slot - ENGINE_SLOT_COPY, status);
	else if (slot == ENGINE_SLOT_COMPARE)
		engine_verify_done(engine, status);
	else
		engine_round_flushed(engine, index, MIRROR_OWN, status);
}

void mirror_engine_peer_done(struct mirror_engine *engine, uint32_t index, uint32_t slot)
{
	struct mirror_set *set = &engine->sets[index].set;

	if (set->slots[slot].operation != MIRROR_READ)
		mirror_set_done(set, slot, MIRROR_PEER, 0);
}

void mirror_engine_release(struct mirror_engine *engine, uint32_t index, uint32_t slot)
{
	mirror_set_release(&engine->sets[index].set, slot);
}

void mirror_engine_tick(struct mirror_engine *engine, uint64_t now_ns, uint64_t now_s)
{
	ASSERT(now_ns >= engine->now_ns);
	engine->now_ns = now_ns;
	engine->now_s = now_s;
	engine_copy_step(engine);
	engine_verify_step(engine);
}

/* Of two that are whole, or of which one is out of the set. It is the source that puts a copy off. */
static bool may_join_with(const struct mirror_engine *engine, const struct mirror_engine_set *at,
			  enum mirror_side whole)
{
	uint8_t other = at->set.states[1 - whole];

	if (at->set.states[whole] != MIRROR_GOOD)
		return false;
	if (other == MIRROR_OUTDATED)
		return at->put_off || engine->mode == MIRROR_TARGET;
	return other == MIRROR_GOOD || other == MIRROR_FAILED || other == MIRROR_MISSING;
}

bool mirror_engine_may_join(const struct mirror_engine *engine)
{
	for (uint32_t i = 0; i < engine->sets_end; i++) {
		const struct mirror_engine_set *at = &engine->sets[i];

		if (!at->used)
			continue;
		if (!at->joined || at->remirror.phase != REMIRROR_IDLE || at->set.persisting ||
		    at->set.persist_wanted ||
		    !(may_join_with(engine, at, MIRROR_OWN) || may_join_with(engine, at, MIRROR_PEER)))
			return false;
	}
	return true;
}

void mirror_engine_want_join(struct mirror_engine *engine, bool wanted, uint64_t patience_s)
{
	engine->join_wanted = wanted;
	engine->join_patience_s = patience_s;
}

bool mirror_engine_is_current(const struct mirror_engine *engine, uint32_t server)
{
	enum mirror_side side = server == engine->server ? MIRROR_OWN : MIRROR_PEER;

	for (uint32_t i = 0; i < engine->sets_end; i++)
		if (engine->sets[i].used && engine->sets[i].set.states[side] != MIRROR_GOOD)
			return false;
	return true;
}

/* ---- the state partition ---- */

static bool take_record(struct mirror_engine *engine, struct mirror_engine_action *action)
{
	if (engine->change == engine->change_durable)
		return false;
	engine->change_written = engine->change;
	engine->write = MIRROR_ENGINE_WRITE_RECORD;
	action->offset = metadata_seal(&engine->metadata);
	memcpy(engine->bytes, &engine->metadata, METADATA_SIZE);
	action->size = METADATA_SIZE;
	return true;
}

static bool take_block(struct mirror_engine *engine, uint32_t index, bool is_intent,
		       struct mirror_engine_action *action)
{
	struct mirror_set *set = &engine->sets[index].set;
	int64_t block = region_map_take_block(is_intent ? &set->intent.map : &set->dirty, engine->bytes);

	if (block < 0)
		return false;
	engine->write = MIRROR_ENGINE_WRITE_MAP;
	engine->write_is_intent = is_intent;
	engine->write_set = (uint8_t)index;
	engine->write_block = (uint64_t)block;
	action->offset = map_place(engine_known(engine, index), is_intent, (uint64_t)block);
	action->size = REGION_MAP_BLOCK_SIZE;
	return true;
}

/* The sets and their two maps take turns: none waits behind another that changes all the time. */
static bool take_map(struct mirror_engine *engine, struct mirror_engine_action *action)
{
	uint32_t last = engine->write_set * 2u + engine->write_is_intent;

	for (uint32_t i = 1; i <= 2 * engine->sets_end; i++) {
		uint32_t next = (last + i) % (2 * engine->sets_end);

		if (engine->sets[next / 2].used && take_block(engine, next / 2, next % 2, action))
			return true;
	}
	return false;
}

static bool take_state(struct mirror_engine *engine, struct mirror_engine_action *action)
{
	if (engine->metadata.pair_identity == 0 || engine->write != MIRROR_ENGINE_WRITE_NONE ||
	    engine->now_ns < engine->write_after_ns ||
	    (!take_record(engine, action) && !take_map(engine, action)))
		return false;
	action->kind = MIRROR_ENGINE_STATE;
	action->bytes = engine->bytes;
	return true;
}

void engine_persisted(struct mirror_engine *engine)
{
	for (uint32_t i = 0; i < engine->sets_end; i++) {
		struct mirror_engine_set *at = &engine->sets[i];

		if (!at->persist_open || !mirror_engine_is_durable(engine, at->persist_ticket) ||
		    !engine_peer_keeps_states(engine, i))
			continue;
		at->persist_open = false;
		mirror_set_persisted(&at->set);
	}
}

void mirror_engine_state_written(struct mirror_engine *engine, int status)
{
	struct mirror_set *set = &engine->sets[engine->write_set].set;

	ASSERT(engine->write != MIRROR_ENGINE_WRITE_NONE);
	if (engine->write == MIRROR_ENGINE_WRITE_MAP)
		region_map_block_written(engine->write_is_intent ? &set->intent.map : &set->dirty,
					 engine->write_block, engine->bytes, status == 0);
	else if (status == 0)
		engine->change_durable = engine->change_written;
	else
		engine->metadata.sequence--; /* again in that place: the other one is all that is whole */
	engine->write = MIRROR_ENGINE_WRITE_NONE;
	engine->write_after_ns = status ? engine->now_ns + RETRY_NS : 0;
	if (engine->write_failed != (status != 0))
		engine->write_failure_untold = !engine->write_failure_untold;
	engine->write_failed = status != 0;
}

/* ---- actions ---- */

static enum metadata_fault_kind fault_kind(uint8_t operation, int status)
{
	static const uint8_t by_operation[] = { [MIRROR_READ] = METADATA_FAULT_READ,
						[MIRROR_WRITE] = METADATA_FAULT_WRITE,
						[MIRROR_FLUSH] = METADATA_FAULT_FLUSH };

	switch (status) {
	case -ETIMEDOUT:
		return METADATA_FAULT_TIMEOUT;
	case -ENODEV:
		return METADATA_FAULT_GONE;
	case -EBADMSG:
		return METADATA_FAULT_MISMATCH;
	default:
		return by_operation[operation];
	}
}

/* Kept until it is repaired; an event only the first time. */
static bool fault_remember(struct mirror_engine *engine, uint32_t index, const struct mirror_action *from,
			   struct mirror_engine_action *to)
{
	struct metadata_fault fault = {
		.time_s = engine->now_s,
		.sector = from->sector,
		.set = (uint8_t)index,
		.server = (uint8_t)engine_server_of(engine, from->side),
		.kind = (uint8_t)fault_kind(from->operation, from->status),
	};
	bool is_new = metadata_fault_add(&engine->metadata, &fault);

	if (is_new)
		engine_record_changed(engine);
	to->event = MIRROR_EVENT_FAULT;
	to->fault = fault.kind;
	return is_new;
}

uint64_t engine_states_remember(struct mirror_engine *engine, uint32_t index)
{
	struct mirror_engine_set *at = &engine->sets[index];
	struct metadata_set *known = engine_known(engine, index);

	/* Of the disk that is not in its bay all stays as it was, until the other one goes on without: it may come back. */
	for (uint8_t side = at->refusal && !at->joined ? MIRROR_PEER : MIRROR_OWN; side < MIRROR_SIDE_COUNT;
	     side++)
		known->disk_states[engine_server_of(engine, side)] = at->set.states[side];
	return engine_record_changed(engine);
}

/* What a set wants, in the owner's words. False: it was the engine's own business. */
static bool translate(struct mirror_engine *engine, uint32_t index, const struct mirror_action *from,
		      struct mirror_engine_action *to)
{
	*to = (struct mirror_engine_action){ .kind = MIRROR_ENGINE_EVENT,
					     .set = (uint8_t)index,
					     .operation = from->operation,
					     .server = (uint8_t)engine_server_of(engine, from->side),
					     .from = from->from,
					     .to = from->to,
					     .slot = from->slot,
					     .status = from->status,
					     .tag = from->tag,
					     .sector = from->sector,
					     .sector_count = from->sector_count,
					     .buffer = -1 };
	switch (from->kind) {
	case MIRROR_ACTION_OWN:
		to->kind = MIRROR_ENGINE_OWN;
		if (from->tag >= ENGINE_TAG_SERVED)
			to->buffer = (int32_t)(from->tag - ENGINE_TAG_SERVED);
		return true;
	case MIRROR_ACTION_PEER:
		engine_ask(engine, index, from->slot);
		return false;
	case MIRROR_ACTION_FINISHED:
		if (from->tag >= ENGINE_TAG_SERVED) {
			mirror_set_release(&engine->sets[index].set, from->slot);
			engine_serve_finished(engine, (uint32_t)(from->tag - ENGINE_TAG_SERVED),
					      from->status);
			return false;
		}
		to->kind = MIRROR_ENGINE_FINISHED;
		return true;
	case MIRROR_ACTION_PERSIST:
		engine->sets[index].persist_ticket = engine_states_remember(engine, index);
		engine->sets[index].persist_open = true;
		return false;
	case MIRROR_ACTION_STATE:
		to->event = MIRROR_EVENT_DISK_STATE;
		return true;
	case MIRROR_ACTION_FAULT:
		return fault_remember(engine, index, from, to);
	case MIRROR_ACTION_REPAIRED:
		if (metadata_fault_clear(&engine->metadata, index, engine->server,
					 BIT(METADATA_FAULT_READ) | BIT(METADATA_FAULT_MISMATCH)))
			engine_record_changed(engine);
		to->event = MIRROR_EVENT_REPAIRED;
		return true;
	default:
		ASSERT(false);
		return false;
	}
}

static bool take_of_set(struct mirror_engine *engine, uint32_t index, struct mirror_engine_action *action)
{
	struct mirror_action from;

	while (mirror_set_take(&engine->sets[index].set, &from, engine->now_ns))
		if (translate(engine, index, &from, action))
			return true;
	return false;
}

static bool take_set_event(struct mirror_engine_set *at, struct mirror_engine_action *action)
{
	if (at->decision_untold) {
		at->decision_untold = false;
		action->event = MIRROR_EVENT_DECISION;
		return true;
	}
	for (uint8_t server = 0; server < 2; server++)
		if (at->cleared_untold & BIT(server)) {
			at->cleared_untold &= (uint8_t)~BIT(server);
			action->event = MIRROR_EVENT_CLEARED;
			action->server = server;
			return true;
		}
	if (!at->verify_untold)
		return false;
	at->verify_untold = false;
	action->event = at->verify_stopped ? MIRROR_EVENT_VERIFY_STOPPED : MIRROR_EVENT_VERIFIED;
	return true;
}

static bool take_event(struct mirror_engine *engine, struct mirror_engine_action *action)
{
	action->kind = MIRROR_ENGINE_EVENT;
	if (engine->write_failure_untold) {
		engine->write_failure_untold = false;
		action->event = engine->write_failed ? MIRROR_EVENT_STATE_FAILED : MIRROR_EVENT_STATE_BACK;
		return true;
	}
	for (uint32_t i = 0; i < engine->sets_end; i++)
		if (take_set_event(&engine->sets[i], action)) {
			action->set = (uint8_t)i;
			return true;
		}
	return false;
}

bool mirror_engine_take(struct mirror_engine *engine, struct mirror_engine_action *action)
{
	*action = (struct mirror_engine_action){ .buffer = -1 };
	if (take_event(engine, action))
		return true;
	action->kind = 0;
	engine_persisted(engine);
	for (uint32_t i = 0; i < engine->sets_end && mirror_engine_is_durable(engine, engine->changed_ticket);
	     i++)
		if (engine->sets[i].used && take_of_set(engine, i, action))
			return true;
	return engine_serve_take(engine, action) || engine_copy_take(engine, action) ||
	       engine_verify_take(engine, action) || engine_link_take(engine, action) ||
	       take_state(engine, action);
}

/* ---- console ---- */

static bool faults_clear(struct mirror_engine *engine, uint32_t index, uint32_t server)
{
	bool any = metadata_fault_clear(&engine->metadata, index, server, METADATA_FAULT_ALL) > 0;

	if (any)
		engine_record_changed(engine);
	return any;
}

const char *mirror_engine_command(struct mirror_engine *engine, uint32_t index, enum mirror_command command,
				  uint32_t server)
{
	struct mirror_engine_set *at = &engine->sets[index];
	enum mirror_side side = server == engine->server ? MIRROR_OWN : MIRROR_PEER;
	const char *refusal;

	if (index >= MIRROR_SET_MAX || !at->used)
		return "there is no such mirror set";
	/* The administrator's word that was waited for. */
	if (command == MIRROR_COMMAND_REMIRROR && at->decided &&
	    (!at->joined || (at->apart && at->set.states[side] == MIRROR_MISSING)))
		return mirror_engine_keep(engine, index, 1 - server);
	/* Of the last good copy, which stays whatever happens to it. */
	if (command == MIRROR_COMMAND_ENABLE && at->set.states[side] == MIRROR_GOOD &&
	    faults_clear(engine, index, server)) {
		at->cleared_untold |= (uint8_t)BIT(server);
		return NULL;
	}
	refusal = mirror_set_refusal(&at->set, command, side);
	if (refusal)
		return refusal;
	switch (command) {
	case MIRROR_COMMAND_FAIL:
		mirror_set_change(&at->set, side, MIRROR_ADMIN_FAIL);
		return NULL;
	case MIRROR_COMMAND_ENABLE:
		mirror_set_change(&at->set, side, MIRROR_ADMIN_ENABLE);
		faults_clear(engine, index, server);
		return NULL;
	case MIRROR_COMMAND_REMIRROR:
		return NULL; /* it begins by itself */
	case MIRROR_COMMAND_VERIFY:
		return engine_verify_command(engine, index);
	default:
		return "no such command";
	}
}

static uint64_t faults_of(const struct mirror_engine *engine, uint32_t index, uint32_t server)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i < METADATA_FAULT_MAX; i++) {
		const struct metadata_fault *fault = &engine->metadata.faults[i];

		if (fault->kind != METADATA_FAULT_NONE && fault->set == index && fault->server == server)
			count += fault->count;
	}
	return count;
}

bool mirror_engine_status(const struct mirror_engine *engine, uint32_t index,
			  struct mirror_engine_status *status)
{
	const struct mirror_engine_set *at = &engine->sets[index];

	if (index >= MIRROR_SET_MAX || !at->used)
		return false;
	*status = (struct mirror_engine_status){
		.sector_count = at->set.sector_count,
		.dirty_bytes = at->set.dirty.set_count * MIRROR_REGION_SIZE,
		.repaired = at->set.repaired,
		.refusal = at->refusal,
		.copying = at->remirror.phase != REMIRROR_IDLE,
		.percent = remirror_percent(&at->remirror, &at->set),
		.remaining_s = remirror_remaining_s(&at->remirror, &at->set, engine->now_ns),
		.bytes_copied = at->remirror.bytes_copied,
		.regions_compared = at->remirror.regions_compared,
		.verifying = at->verify.running,
		.verify_percent = verify_percent(&at->verify),
		.verified_time_s = engine->metadata.sets[index].verified_time_s,
		.verified_mismatches = engine->metadata.sets[index].verified_mismatches,
		.verified_unreadable = engine->metadata.sets[index].verified_unreadable,
	};
	for (uint8_t side = 0; side < MIRROR_SIDE_COUNT; side++) {
		uint32_t server = engine_server_of(engine, side);

		status->states[server] = at->set.states[side];
		status->faults[server] = faults_of(engine, index, server);
	}
	return true;
}
