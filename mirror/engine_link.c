/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine and the other server's: how they meet, and what goes out when; engine.h.
 *
 * A meeting is a number. Who wants a new one says METADATA with a higher number; the
 * other one answers with its own METADATA of that number, as soon as it can speak for
 * itself again. Each decides by the two records as they were sent, so both decide alike.
 * Whatever comes between belongs to the meeting before, and is passed over.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "include/assert.h"
#include "include/trace.h"
#include "mirror/engine_internal.h"

TRACE_FILE("mirror", TRACE_INFO);

#define NOBODY UINT32_MAX

/* ---- the meeting ---- */

static bool is_running(const struct mirror_engine *engine)
{
	return engine->mode == MIRROR_ALONE || engine->mode == MIRROR_SOURCE;
}

/* We had each other's disks, and have them no more. */
static void part(struct mirror_engine *engine)
{
	engine_serve_forget(engine);
	engine_ask_forget(engine);
	engine_copy_forget(engine);
	engine_verify_forget(engine);
	if (engine->mode == MIRROR_TARGET) {
		for (uint32_t i = 0; i < engine->sets_end; i++)
			if (engine->sets[i].joined)
				mirror_set_change(&engine->sets[i].set, MIRROR_OWN, MIRROR_COPY_BROKEN);
		engine_mode_set(engine, MIRROR_IDLE);
	} else if (engine->mode == MIRROR_SOURCE && metadata_era_now(&engine->metadata)->alone) {
		engine_mode_set(engine, MIRROR_ALONE);
	} else {
		for (uint32_t i = 0; i < engine->sets_end; i++)
			mirror_set_peer_lost(&engine->sets[i].set);
	}
}

static void meeting_renew(struct mirror_engine *engine, uint32_t number)
{
	struct mirror_engine_meeting *meeting = &engine->meeting;

	meeting->number = number;
	meeting->owed = true;
	meeting->met = false;
	meeting->history_owed = false;
	part(engine);
	for (uint32_t i = 0; i < engine->sets_end; i++) {
		struct mirror_engine_set *at = &engine->sets[i];

		at->decided = at->decision_untold = at->joined = at->apart = false;
		at->keep = -1;
		at->keep_owed = at->maps_owed = at->maps_in = false;
		at->told_number = at->heard_number = at->dropped_number = 0;
		at->kept_number = at->kept_owed = 0;
		at->forwarded = at->progress_told = at->peer_progress = 0;
	}
}

void engine_meeting_begin(struct mirror_engine *engine)
{
	struct mirror_engine_meeting *meeting = &engine->meeting;

	/* In duplex both know who has what; what they have to say comes when it ends. */
	if (!meeting->link_up || engine->mode == MIRROR_DUPLEX)
		return;
	meeting_renew(engine,
		      meeting->peer_number > meeting->number ? meeting->peer_number : meeting->number + 1);
}

void mirror_engine_link(struct mirror_engine *engine, bool up)
{
	struct mirror_engine_meeting *meeting = &engine->meeting;

	ASSERT(!up || engine->buffers);
	meeting->link_up = up;
	meeting_renew(engine, 1);
	meeting->peer_number = 0;
	engine->room = 0;
}

void mirror_engine_buffers(struct mirror_engine *engine, void *buffers)
{
	engine->buffers = buffers;
}

void mirror_engine_room(struct mirror_engine *engine, uint64_t bytes)
{
	engine->room = bytes;
}

/* ---- which disk is right ---- */

static uint32_t runner_of(const struct mirror_engine *engine)
{
	const struct mirror_engine_meeting *meeting = &engine->meeting;

	if (meeting->own_words.runs != meeting->peer_words.runs)
		return meeting->own_words.runs ? engine->server : 1 - engine->server;
	return NOBODY;
}

/* The disk under a running guest is never written over. */
static void decision_respect_guest(const struct mirror_engine *engine, struct remirror_decision *decision)
{
	bool both_run = engine->meeting.own_words.runs && engine->meeting.peer_words.runs;
	uint32_t runner = runner_of(engine);

	if (decision->verdict == REMIRROR_NO_SOURCE || decision->verdict == REMIRROR_SPLIT ||
	    (!both_run && (runner == NOBODY || runner == decision->source)))
		return;
	decision->verdict = REMIRROR_SPLIT;
	if (both_run)
		snprintf(decision->reason, sizeof(decision->reason), "the guest runs on both servers");
	else
		snprintf(decision->reason, sizeof(decision->reason),
			 "the guest runs on %c, and the disk of %c is the right one: say which to keep",
			 (int)('a' + runner), (int)('a' + decision->source));
}

/* A copy needs a disk, and maps, that have room for all of it. */
static void decision_respect_room(struct remirror_decision *decision, const struct remirror_side sides[2])
{
	const struct metadata_set *from = &sides[decision->source].metadata->sets[sides[0].set];
	const struct metadata_set *to = &sides[1 - decision->source].metadata->sets[sides[0].set];
	bool from_large = sides[decision->source].metadata->large_sectors[sides[0].set];
	bool to_large = sides[1 - decision->source].metadata->large_sectors[sides[0].set];

	if (decision->verdict != REMIRROR_FULL ||
	    (from->sector_count <= to->sector_count && from_large == to_large))
		return;
	decision->verdict = REMIRROR_NO_SOURCE;
	snprintf(decision->reason, sizeof(decision->reason), "the other disk %s",
		 from_large == to_large ? "is smaller than the set"
					: "has sectors of another size than the set");
}

static void sides_of(const struct mirror_engine *engine, uint32_t index, struct remirror_side sides[2])
{
	const struct mirror_engine_meeting *meeting = &engine->meeting;

	sides[engine->server] =
		(struct remirror_side){ &meeting->own, index, meeting->own_words.disk_present & BIT(index) };
	sides[1 - engine->server] = (struct remirror_side){ &meeting->peer, index,
							    meeting->peer_words.disk_present & BIT(index) };
}

static void set_decide(struct mirror_engine *engine, uint32_t index)
{
	struct mirror_engine_set *at = &engine->sets[index];
	struct remirror_side sides[2];

	if (!at->used || at->joined || engine->meeting.peer.sets[index].identity == 0)
		return;
	sides_of(engine, index, sides);
	remirror_decide(sides, at->keep, &at->decision);
	decision_respect_guest(engine, &at->decision);
	decision_respect_room(&at->decision, sides);
	at->decided = true;
	at->decision_untold = true;
}

/* ---- the set is both servers' ---- */

/*
 * What the disk that is behind is. Its own server may have died before it wrote down that it failed; but
 * what failed may have been another disk, and this one is to get a full copy.
 */
static enum mirror_disk_state state_behind(const struct mirror_engine *engine, uint32_t index, bool is_source)
{
	const struct mirror_engine_meeting *meeting = &engine->meeting;
	const struct mirror_message_metadata *words = is_source ? &meeting->peer_words : &meeting->own_words;
	const struct metadata *behind = is_source ? &meeting->peer : &meeting->own;
	const struct metadata *source = is_source ? &meeting->own : &meeting->peer;
	bool is_same_disk = engine->sets[index].decision.verdict != REMIRROR_FULL;

	if (!(words->disk_present & BIT(index)))
		return MIRROR_MISSING;
	if (behind->sets[index].disk_states[behind->server] == MIRROR_FAILED ||
	    (is_same_disk && source->sets[index].disk_states[behind->server] == MIRROR_FAILED))
		return MIRROR_FAILED;
	return MIRROR_OUTDATED;
}

/* Was what the servers have there one set before they met? */
static bool is_one_set(const struct mirror_engine *engine, uint32_t index)
{
	const struct metadata_set *own = &engine->meeting.own.sets[index];
	const struct metadata_set *peer = &engine->meeting.peer.sets[index];

	return own->identity == peer->identity && own->sector_count == peer->sector_count;
}

/* The source's record knows the disk that it copies to. */
static void source_remember(struct mirror_engine *engine, uint32_t index, bool full)
{
	struct metadata_set *known = engine_known(engine, index);
	const struct metadata_set *other = &engine->meeting.peer.sets[index];
	uint32_t peer = 1 - engine->server;

	memcpy(known->serials[peer], other->serials[peer], MIRROR_TEXT_SIZE);
	known->disk_sector_counts[peer] = other->disk_sector_counts[peer];
	if (full)
		known->full_copy = METADATA_FULL_BEGINS;
	engine_record_changed(engine);
}

/*
 * The target's past is the source's from here on, but for the era in which the source is
 * alone: of that one it will know when they are together again.
 */
static void target_remember(struct mirror_engine *engine, uint32_t index)
{
	struct metadata *own = &engine->metadata;
	const struct metadata *peer = &engine->meeting.peer;
	struct metadata_set *known = engine_known(engine, index);
	uint32_t server = 1 - engine->server;

	if (!is_one_set(engine, index))
		engine_set_adopt(engine, index);
	memcpy(known->serials[server], peer->sets[index].serials[server], MIRROR_TEXT_SIZE);
	known->disk_sector_counts[server] = peer->sets[index].disk_sector_counts[server];
	memcpy(own->history, peer->history, sizeof(own->history));
	own->era_count = peer->era_count - 1;
	memset(&own->history[own->era_count], 0, sizeof(own->history[0]));
}

/* The disk in our bay, as TARGET: it waits for a word, is not there at all, or is to be copied to. */
static void target_take_disk(struct mirror_engine *engine, uint32_t index, bool full)
{
	struct mirror_engine_set *at = &engine->sets[index];

	if (at->apart) {
		engine_bay_leave(engine, index, !is_one_set(engine, index));
		return;
	}
	if (at->refusal && at->bay_sector_count != 0)
		engine_bay_take(engine, index);
	if (full)
		engine_known(engine, index)->full_copy = METADATA_FULL_BEGINS;
}

static void set_join(struct mirror_engine *engine, uint32_t index)
{
	struct mirror_engine_set *at = &engine->sets[index];
	bool full = at->decision.verdict == REMIRROR_FULL;
	bool is_source = at->decision.source == engine->server;

	if (!at->decided || at->joined || runner_of(engine) == NOBODY ||
	    at->decision.verdict == REMIRROR_SPLIT || at->decision.verdict == REMIRROR_NO_SOURCE)
		return;
	at->joined = true;
	at->apart = full && at->keep < 0;
	memset(at->told, 0xff, sizeof(at->told));
	memset(at->heard, 0xff, sizeof(at->heard));
	if (!is_source) {
		target_take_disk(engine, index, full);
		target_remember(engine, index);
	} else if (!at->apart) {
		source_remember(engine, index, full);
	}
	mirror_set_meet(&at->set, is_source,
			at->apart ? MIRROR_MISSING : state_behind(engine, index, is_source));
	/* Of what was no one set there is nothing to learn from them. */
	at->maps_in = is_source && !is_one_set(engine, index);
	at->maps_owed = !is_source && is_one_set(engine, index);
	at->maps_next = 0;
	at->target_ticket = engine_states_remember(engine, index);
}

static void sets_join(struct mirror_engine *engine)
{
	uint32_t runner = runner_of(engine);

	if (runner != NOBODY)
		engine_mode_set(engine, runner == engine->server ? MIRROR_SOURCE : MIRROR_TARGET);
	for (uint32_t i = 0; i < engine->sets_end; i++)
		set_join(engine, i);
}

static void meeting_hold(struct mirror_engine *engine)
{
	struct mirror_engine_meeting *meeting = &engine->meeting;

	if (meeting->met || meeting->owed || meeting->peer_number != meeting->number)
		return;
	meeting->met = true;
	for (uint32_t i = 0; i < engine->sets_end; i++)
		set_decide(engine, i);
	sets_join(engine);
}

const struct remirror_decision *mirror_engine_decision(const struct mirror_engine *engine, uint32_t index)
{
	ASSERT(index < MIRROR_SET_MAX);
	return engine->sets[index].decided ? &engine->sets[index].decision : NULL;
}

/* The disk in the target's bay is the set's from now on, and the source's server copies all to it. */
static void apart_end(struct mirror_engine *engine, uint32_t index)
{
	struct mirror_engine_set *at = &engine->sets[index];

	at->apart = false;
	at->decision_untold = true;
	if (at->decision.source == engine->server) {
		source_remember(engine, index, true); /* before it hears that the disk is there */
		return;
	}
	engine_bay_take(engine, index);
	engine_known(engine, index)->full_copy = METADATA_FULL_BEGINS;
	mirror_set_change(&at->set, MIRROR_OWN, MIRROR_FOUND);
}

/* Where both wrote alone, the word is one for all disks of the guest. */
static void word_take(struct mirror_engine *engine, uint32_t index, uint32_t server)
{
	bool split = engine->sets[index].decision.verdict == REMIRROR_SPLIT;

	if (engine->sets[index].apart) {
		engine->sets[index].keep = (int8_t)server;
		apart_end(engine, index);
		return;
	}
	for (uint32_t i = 0; i < engine->sets_end; i++) {
		struct mirror_engine_set *at = &engine->sets[i];

		if (i != index && !(split && at->decided && at->decision.verdict == REMIRROR_SPLIT))
			continue;
		at->keep = (int8_t)server;
		set_decide(engine, i);
	}
	sets_join(engine);
}

static bool is_present(const struct mirror_engine *engine, uint32_t index, uint32_t server)
{
	struct remirror_side sides[2];

	sides_of(engine, index, sides);
	return sides[server].disk_present;
}

/* Neither disk is whole. What may be done all the same is to take one that is there for whole. */
static const char *refusal_without_source(const struct mirror_engine *engine, uint32_t index, uint32_t server)
{
	struct remirror_side sides[2];
	struct remirror_decision decision;

	sides_of(engine, index, sides);
	remirror_decide(sides, -1, &decision);
	if (decision.verdict != REMIRROR_NO_SOURCE)
		return engine->sets[index].decision.reason; /* no room for a copy */
	if (engine->meeting.own_words.runs || engine->meeting.peer_words.runs)
		return "the guest runs without a whole disk: stop it first";
	return sides[server].disk_present ? NULL : "the disk to copy from is not there";
}

/* On both servers, each before it tells the other its record anew. */
static void take_for_whole(struct mirror_engine *engine, uint32_t index, uint32_t server)
{
	mirror_set_word(&engine->sets[index].set, server == engine->server ? MIRROR_OWN : MIRROR_PEER);
	engine_states_remember(engine, index);
}

const char *mirror_engine_keep(struct mirror_engine *engine, uint32_t index, uint32_t server)
{
	struct mirror_engine_set *at = &engine->sets[index];
	uint32_t runner = runner_of(engine);

	ASSERT(server < 2);
	if (index >= MIRROR_SET_MAX || !at->used)
		return "there is no such mirror set";
	if (!at->decided)
		return "the other server is not there";
	if (at->decision.verdict == REMIRROR_NO_SOURCE) {
		const char *refusal = refusal_without_source(engine, index, server);

		if (refusal)
			return refusal;
		at->keep = (int8_t)server;
		at->keep_owed = true; /* the other one begins the meeting when it has heard it */
		take_for_whole(engine, index, server);
		return NULL;
	}
	if (at->decision.verdict != REMIRROR_SPLIT && at->decision.verdict != REMIRROR_FULL)
		return "nobody has to say which disk is right: that is known";
	if (at->decision.verdict == REMIRROR_FULL && at->decision.source != server)
		return "wrong direction: that disk is the new one";
	if (at->apart && !is_present(engine, index, 1 - server))
		return "this disk is not there";
	if (engine->meeting.own_words.runs && engine->meeting.peer_words.runs)
		return "the guest runs on both servers: stop one of them first";
	if (runner != NOBODY && runner != server)
		return "the guest runs from the other disk: stop it first";
	at->keep_owed = true;
	word_take(engine, index, server);
	return NULL;
}

/* ---- what comes ---- */

static void keep_receive(struct mirror_engine *engine, const struct mirror_message *message)
{
	struct mirror_engine_set *at = &engine->sets[message->header.set];

	/* Two administrators say different things at the same time: nobody has said anything. */
	if (at->keep >= 0 && (uint8_t)at->keep != message->keep.server) {
		engine_meeting_begin(engine);
		return;
	}
	if (!at->decided || (at->joined && !at->apart) ||
	    (at->apart && !is_present(engine, message->header.set, 1 - at->decision.source)))
		return;
	if (at->decision.verdict != REMIRROR_NO_SOURCE) {
		word_take(engine, message->header.set, message->keep.server);
	} else if (!refusal_without_source(engine, message->header.set, message->keep.server)) {
		take_for_whole(engine, message->header.set, message->keep.server);
		engine_meeting_begin(engine);
	}
}

/* What makes a disk that is `from` here what the other server says it is. */
static enum mirror_change change_to(uint8_t from, uint8_t to)
{
	static const uint8_t changes[MIRROR_DISK_STATE_COUNT] = {
		[MIRROR_MISSING] = MIRROR_GONE,		  [MIRROR_GOOD] = MIRROR_COPY_END,
		[MIRROR_REMIRRORING] = MIRROR_COPY_BEGIN, [MIRROR_FAILED] = MIRROR_FAULT,
		[MIRROR_OUTDATED] = MIRROR_COPY_BROKEN,
	};

	if (to == MIRROR_OUTDATED && from == MIRROR_MISSING)
		return MIRROR_FOUND;
	if (to == MIRROR_OUTDATED && from == MIRROR_FAILED)
		return MIRROR_ADMIN_ENABLE;
	return (enum mirror_change)changes[to];
}

/*
 * We have given our disk up, counting on the other one, and it did the same before it heard of
 * that. Who has the guest keeps its disk, if it is there, and says so; the other one waits for that.
 */
static bool both_have_failed(struct mirror_engine *engine, struct mirror_engine_set *at,
			     const struct mirror_message *message)
{
	uint8_t own = at->set.states[MIRROR_OWN];
	uint8_t peer_said = message->states.states[1 - engine->server];
	bool crossed = at->told[MIRROR_OWN] == MIRROR_GOOD || message->states.heard < at->dropped_number;
	bool has_guest = engine->mode == MIRROR_SOURCE || (engine->mode == MIRROR_DUPLEX && engine->leads);

	if (message->states.repeats || !crossed || own == MIRROR_GOOD || own == MIRROR_REMIRRORING ||
	    at->set.states[MIRROR_PEER] != MIRROR_GOOD || peer_said == MIRROR_GOOD)
		return false;
	if (has_guest)
		mirror_set_both_failed(&at->set, own != MIRROR_MISSING, (enum mirror_disk_state)peer_said);
	return true;
}

/*
 * Where it says nothing of its own, we may be one change ahead, which is on its way there. So we
 * are with our own disk that is out of the set, where it had not heard of that.
 */
static void states_apply(const struct mirror_engine *engine, struct mirror_engine_set *at,
			 const struct mirror_message *message)
{
	uint8_t own = at->set.states[MIRROR_OWN];
	bool own_is_news = (own == MIRROR_FAILED || own == MIRROR_MISSING) &&
			   (own != at->told[MIRROR_OWN] || message->states.heard < at->told_number);

	for (uint8_t side = 0; side < MIRROR_SIDE_COUNT && !message->states.repeats; side++) {
		uint8_t state = message->states.states[engine_server_of(engine, side)];

		if (at->set.states[side] != state && !(side == MIRROR_OWN && own_is_news))
			mirror_set_change(&at->set, (enum mirror_side)side,
					  change_to(at->set.states[side], state));
		at->heard[side] =
			at->set.states[side] == state ? state : UINT8_MAX; /* else ours is no echo */
	}
}

static void states_receive(struct mirror_engine *engine, const struct mirror_message *message)
{
	uint32_t index = message->header.set;
	struct mirror_engine_set *at = &engine->sets[index];
	bool was_good = at->set.states[MIRROR_OWN] == MIRROR_GOOD;

	if (both_have_failed(engine, at, message))
		was_good = true;
	else
		states_apply(engine, at, message);
	/* What we know the other one to lack it had itself before it was copied here. */
	if (!was_good && at->set.states[MIRROR_OWN] == MIRROR_GOOD) {
		engine_known(engine, index)->full_copy = METADATA_FULL_NONE;
		region_map_clear_all(&at->set.dirty);
		at->maps_in = true; /* from here on our maps know what the other disk lacks, should it go */
	}
	at->kept_ticket = engine_states_remember(engine, index);
	at->kept_owed = message->states.number;
	at->heard_number = message->states.number;
}

static int history_receive(struct mirror_engine *engine, const uint8_t *data)
{
	struct metadata *peer = &engine->meeting.peer;

	if (metadata_decode(data, peer) != METADATA_GOOD || peer->server != 1 - engine->server) {
		engine->meeting.met = false;
		return trace_error(-EINVAL);
	}
	return 0;
}

static void progress_receive(struct mirror_engine *engine, const struct mirror_message *message)
{
	struct mirror_engine_set *at = &engine->sets[message->header.set];

	at->peer_progress = max_u64(at->peer_progress, message->progress.number);
	if (engine->mode == MIRROR_DUPLEX)
		mirror_set_peer_progress(&at->set, at->peer_progress);
}

static int map_receive(struct mirror_engine *engine, const struct mirror_message *message,
		       const uint8_t *data)
{
	struct mirror_engine_set *at = &engine->sets[message->header.set];

	if (at->maps_in || at->decision.source != engine->server)
		return trace_error(-EINVAL);
	if (message->header.type == MIRROR_MESSAGE_MAPS_END)
		at->maps_in = true;
	else
		remirror_add_block(&at->remirror, &at->set, message->map.block, data,
				   message->map.kind == MIRROR_MAP_INTENT);
	return 0;
}

/* Into `peer`; a record that its own server would not believe is of no sound peer. */
static int metadata_receive(struct mirror_engine *engine, const struct mirror_message *message,
			    const uint8_t *data)
{
	struct mirror_engine_meeting *meeting = &engine->meeting;

	if (message->metadata.meeting < meeting->number)
		return 0; /* the peer has not heard of the new one yet */
	if (metadata_decode(data, &meeting->peer) != METADATA_GOOD ||
	    meeting->peer.server != 1 - engine->server ||
	    meeting->peer.pair_identity != engine->metadata.pair_identity) {
		meeting->met = false;
		return trace_error(-EINVAL);
	}
	meeting->peer_words = message->metadata;
	meeting->peer_number = message->metadata.meeting;
	if (meeting->peer_number > meeting->number && engine->mode != MIRROR_DUPLEX)
		meeting_renew(engine, meeting->peer_number);
	meeting_hold(engine);
	return 0;
}

static int set_message_take(struct mirror_engine *engine, const struct mirror_message *message,
			    const uint8_t *bytes, struct mirror_engine_data *data)
{
	if (message->header.type == MIRROR_MESSAGE_KEEP) {
		keep_receive(engine, message);
		return 0;
	}
	if (!engine->sets[message->header.set].joined)
		return trace_error(-EINVAL);
	switch (message->header.type) {
	case MIRROR_MESSAGE_MAP:
	case MIRROR_MESSAGE_MAPS_END:
		return map_receive(engine, message, bytes);
	case MIRROR_MESSAGE_STATES:
		states_receive(engine, message);
		return 0;
	case MIRROR_MESSAGE_KEPT:
		engine->sets[message->header.set].kept_number = message->kept.number;
		return 0;
	case MIRROR_MESSAGE_PROGRESS:
		progress_receive(engine, message);
		return 0;
	case MIRROR_MESSAGE_FAILED:
		mirror_set_peer_failure(&engine->sets[message->header.set].set, message->progress.number);
		return 0;
	case MIRROR_MESSAGE_DONE:
	case MIRROR_MESSAGE_DATA:
		return engine_ask_answered(engine, message, bytes, data);
	case MIRROR_MESSAGE_STAMP:
		return message->stamp.id == ENGINE_ID_COMPARE ? engine_verify_stamp(engine, message)
							      : engine_copy_stamp(engine, message);
	case MIRROR_MESSAGE_VERIFY:
		engine_verify_asked(engine, message->header.set);
		return 0;
	case MIRROR_MESSAGE_VERIFIED:
		engine_verify_ended(engine, message->header.set, message);
		return 0;
	default:
		return engine_serve_receive(engine, message, bytes);
	}
}

static int message_take(struct mirror_engine *engine, const struct mirror_message *message,
			const uint8_t *bytes, struct mirror_engine_data *data)
{
	if (message->header.type == MIRROR_MESSAGE_METADATA)
		return metadata_receive(engine, message, bytes);
	if (!engine->meeting.met)
		return 0; /* of a meeting that is over */
	if (message->header.type == MIRROR_MESSAGE_HISTORY)
		return history_receive(engine, bytes);
	return set_message_take(engine, message, bytes, data);
}

/* Regions always are. */
static bool is_of_whole_sectors(const struct mirror_engine *engine, const struct mirror_message *message)
{
	if ((message->header.type != MIRROR_MESSAGE_WRITE && message->header.type != MIRROR_MESSAGE_READ) ||
	    !engine->metadata.large_sectors[message->header.set])
		return true;
	return is_aligned(message->io.sector | message->io.sector_count, MIRROR_LARGE_SECTOR_COUNT);
}

int64_t mirror_engine_receive(struct mirror_engine *engine, const uint8_t *bytes, uint64_t size,
			      struct mirror_engine_data *data)
{
	uint64_t sector_counts[MIRROR_SET_MAX] = { 0 };
	struct mirror_message message;
	int64_t fixed_size;
	uint64_t whole_size;
	int error;

	ASSERT(engine->meeting.link_up);
	data->size = 0;
	for (uint32_t i = 0; i < engine->sets_end; i++)
		sector_counts[i] = engine->sets[i].used ? engine->sets[i].set.sector_count : 0;
	fixed_size = mirror_message_check(bytes, size, sector_counts, &message);
	if (fixed_size <= 0)
		return fixed_size;
	whole_size = (uint64_t)fixed_size + mirror_message_data_size(&message);
	if (size < whole_size)
		return 0;
	if (!is_of_whole_sectors(engine, &message))
		return trace_error(-EINVAL);
	error = message_take(engine, &message, bytes + fixed_size, data);
	return error ? error : (int64_t)whole_size;
}

/* ---- what goes out ---- */

/* What was asked of us before may still be at work, on buffers and regions that are asked for anew. */
static bool is_quiet(const struct mirror_engine *engine)
{
	for (uint32_t i = 0; i < engine->sets_end && engine->mode == MIRROR_IDLE; i++)
		if (engine->sets[i].used && !mirror_set_is_quiet(&engine->sets[i].set))
			return false; /* a guest's that was here */
	return engine_serve_is_quiet(engine) && engine_copy_is_quiet(engine) &&
	       engine_verify_is_quiet(engine);
}

/* Are the record's words those that the other one may go by? */
static bool may_speak(struct mirror_engine *engine)
{
	if (engine->mode == MIRROR_DUPLEX || engine->mode == MIRROR_SOURCE ||
	    engine->metadata.pair_identity == 0 || !is_quiet(engine))
		return false;
	/* A guest that runs may write at any time: told before it does, it need not be asked again. */
	if (is_running(engine))
		engine_era_is_written_in(engine);
	return mirror_engine_is_durable(engine, engine->change);
}

/* Of a disk that is not the set's yet the other one is to hear as of the one that is there. */
static void show_bays(const struct mirror_engine *engine, struct metadata *shown)
{
	for (uint32_t i = 0; i < engine->sets_end; i++) {
		const struct mirror_engine_set *at = &engine->sets[i];
		struct metadata_set *set = &shown->sets[i];

		if (!at->used || !at->refusal || at->bay_sector_count == 0)
			continue;
		memcpy(set->serials[engine->server], at->bay_serial, MIRROR_TEXT_SIZE);
		set->disk_sector_counts[engine->server] = at->bay_sector_count;
		set->disk_states[engine->server] = MIRROR_MISSING;
	}
}

static bool metadata_make(struct mirror_engine *engine, struct mirror_message *message, uint8_t *data)
{
	struct mirror_engine_meeting *meeting = &engine->meeting;

	if (!meeting->owed || !may_speak(engine))
		return false;
	message->header.type = MIRROR_MESSAGE_METADATA;
	message->metadata.meeting = meeting->number;
	message->metadata.runs = is_running(engine);
	for (uint32_t i = 0; i < engine->sets_end; i++)
		if (engine->sets[i].used &&
		    (!engine->sets[i].refusal || engine->sets[i].bay_sector_count != 0))
			message->metadata.disk_present |= (uint8_t)BIT(i);
	meeting->own = engine->metadata;
	show_bays(engine, &meeting->own);
	metadata_seal(&meeting->own); /* faults are counted without a new record */
	meeting->own_words = message->metadata;
	memcpy(data, &meeting->own, METADATA_SIZE);
	return true;
}

static bool history_make(struct mirror_engine *engine, struct mirror_message *message, uint8_t *data)
{
	if (!engine->meeting.history_owed || !mirror_engine_is_durable(engine, engine->change))
		return false;
	message->header.type = MIRROR_MESSAGE_HISTORY;
	memcpy(data, &engine->metadata, METADATA_SIZE);
	metadata_seal((struct metadata *)(void *)data);
	return true;
}

/* The next block that is not zero, of both maps in a row. */
static void map_make(struct mirror_engine_set *at, struct mirror_message *message, uint8_t *data)
{
	const struct region_map *maps[MIRROR_MAP_KIND_COUNT] = {
		[MIRROR_MAP_DIRTY] = &at->set.dirty, [MIRROR_MAP_INTENT] = &at->set.intent.map
	};
	uint64_t block_count = at->set.dirty.block_count;

	for (; at->maps_next < MIRROR_MAP_KIND_COUNT * block_count; at->maps_next++) {
		uint8_t kind = (uint8_t)(at->maps_next / block_count);

		if (!region_map_get_block(maps[kind], at->maps_next % block_count, data))
			continue;
		message->header.type = MIRROR_MESSAGE_MAP;
		message->map.block = at->maps_next % block_count;
		message->map.kind = kind;
		return;
	}
	message->header.type = MIRROR_MESSAGE_MAPS_END;
}

static void states_make(const struct mirror_engine *engine, const struct mirror_engine_set *at,
			struct mirror_message *message)
{
	message->header.type = MIRROR_MESSAGE_STATES;
	message->states.number = at->told_number + 1;
	message->states.heard = at->heard_number;
	message->states.repeats = memcmp(at->heard, at->set.states, sizeof(at->heard)) == 0;
	for (uint8_t side = 0; side < MIRROR_SIDE_COUNT; side++)
		message->states.states[engine_server_of(engine, side)] = at->set.states[side];
}

bool engine_peer_keeps_states(const struct mirror_engine *engine, uint32_t index)
{
	const struct mirror_engine_set *at = &engine->sets[index];

	/* In duplex it is heard, or given up by going on alone. */
	if (!at->joined)
		return engine->mode != MIRROR_DUPLEX;
	return memcmp(at->told, at->set.states, sizeof(at->told)) == 0 && at->kept_number == at->told_number;
}

/* What a set has to say before it says anything else. */
static bool set_make(struct mirror_engine *engine, uint32_t index, struct mirror_message *message,
		     uint8_t *data)
{
	struct mirror_engine_set *at = &engine->sets[index];

	message->header.set = (uint8_t)index;
	if (at->keep_owed) {
		message->header.type = MIRROR_MESSAGE_KEEP;
		message->keep.server = (uint8_t)at->keep;
		return true;
	}
	if (!at->joined)
		return false;
	if (memcmp(at->told, at->set.states, sizeof(at->told)) != 0) {
		states_make(engine, at, message);
		return true;
	}
	if (at->kept_owed != 0 && mirror_engine_is_durable(engine, at->kept_ticket)) {
		message->header.type = MIRROR_MESSAGE_KEPT;
		message->kept.number = at->kept_owed;
		return true;
	}
	if (at->maps_owed) {
		map_make(at, message, data);
		return true;
	}
	if (engine_verify_make(engine, index, message))
		return true;
	if (engine->mode != MIRROR_DUPLEX)
		return false;
	message->progress.number = mirror_set_failure(&at->set);
	if (message->progress.number != 0) {
		message->header.type = MIRROR_MESSAGE_FAILED;
		return true;
	}
	if (mirror_set_progress(&at->set) <= at->progress_told)
		return false;
	message->header.type = MIRROR_MESSAGE_PROGRESS;
	message->progress.number = mirror_set_progress(&at->set);
	return true;
}

static bool sets_make(struct mirror_engine *engine, struct mirror_message *message, uint8_t *data)
{
	for (uint32_t i = 0; i < engine->sets_end; i++)
		if (set_make(engine, i, message, data))
			return true;
	message->header.set = 0;
	return false;
}

/* It is on its way: nothing of it is owed any more. */
static void message_sent(struct mirror_engine *engine, const struct mirror_message *message,
			 const struct mirror_engine_action *action)
{
	struct mirror_engine_set *at = &engine->sets[message->header.set];

	switch (message->header.type) {
	case MIRROR_MESSAGE_METADATA:
		engine->meeting.owed = false;
		meeting_hold(engine);
		break;
	case MIRROR_MESSAGE_HISTORY:
		engine->meeting.history_owed = false;
		break;
	case MIRROR_MESSAGE_KEEP:
		at->keep_owed = false;
		break;
	case MIRROR_MESSAGE_STATES:
		at->told_number++;
		if (at->told[MIRROR_OWN] == MIRROR_GOOD && at->set.states[MIRROR_OWN] != MIRROR_GOOD)
			at->dropped_number = at->told_number;
		memcpy(at->told, at->set.states, sizeof(at->told));
		if (!message->states.repeats)
			memset(at->heard, 0xff, sizeof(at->heard));
		break;
	case MIRROR_MESSAGE_KEPT:
		at->kept_owed = 0;
		break;
	case MIRROR_MESSAGE_MAP:
		at->maps_next++;
		break;
	case MIRROR_MESSAGE_MAPS_END:
		at->maps_owed = false;
		break;
	case MIRROR_MESSAGE_PROGRESS:
		at->progress_told = message->progress.number;
		break;
	case MIRROR_MESSAGE_FAILED:
		mirror_set_failure_told(&at->set, message->progress.number);
		break;
	case MIRROR_MESSAGE_WRITE:
	case MIRROR_MESSAGE_READ:
	case MIRROR_MESSAGE_FLUSH:
		engine_ask_sent(engine, message, action->slot);
		break;
	case MIRROR_MESSAGE_DONE:
	case MIRROR_MESSAGE_DATA:
		engine_serve_answered(engine, message->done.id);
		break;
	case MIRROR_MESSAGE_STAMP:
		engine_serve_answered(engine, message->stamp.id);
		break;
	case MIRROR_MESSAGE_VERIFY:
	case MIRROR_MESSAGE_VERIFIED:
		engine_verify_made(engine, message->header.set);
		break;
	case MIRROR_MESSAGE_COMPARE:
		engine_verify_sent(engine);
		break;
	default:
		if (message->copy.id == ENGINE_ID_COMPARE)
			engine_verify_sent(engine);
		else
			engine_copy_sent(engine, message);
	}
}

/* In the order in which it matters: what is short and waited for first, copies last. */
static bool message_make(struct mirror_engine *engine, struct mirror_message *message, uint8_t *data,
			 struct mirror_engine_action *action)
{
	if (metadata_make(engine, message, data))
		return true;
	return engine->meeting.met &&
	       (history_make(engine, message, data) || sets_make(engine, message, data) ||
		engine_serve_answer(engine, message, action) || engine_ask_send(engine, message, action) ||
		engine_verify_send(engine, message, action) || engine_copy_send(engine, message, action));
}

/* Bytes behind the fixed part that are in engine->message, too. */
static uint64_t inline_size(uint8_t type)
{
	if (type == MIRROR_MESSAGE_METADATA || type == MIRROR_MESSAGE_HISTORY)
		return METADATA_SIZE;
	return type == MIRROR_MESSAGE_MAP ? REGION_MAP_BLOCK_SIZE : 0;
}

bool engine_link_take(struct mirror_engine *engine, struct mirror_engine_action *action)
{
	struct mirror_message message = { 0 };
	struct mirror_engine_action made = { .buffer = -1 };
	uint64_t fixed_size;
	uint64_t size;

	if (!engine->meeting.link_up || engine->room < MIRROR_MESSAGE_FIXED_MAX ||
	    !message_make(engine, &message, engine->bytes_out, &made))
		return false;
	fixed_size = mirror_message_seal(&message, inline_size(message.header.type) + made.data_size);
	size = fixed_size + inline_size(message.header.type);
	if (engine->room < size + made.data_size)
		return false;
	engine->room -= size + made.data_size;
	memcpy(engine->message, &message, fixed_size);
	memcpy(engine->message + fixed_size, engine->bytes_out, size - fixed_size);
	*action = made;
	action->kind = MIRROR_ENGINE_SEND;
	action->set = message.header.set;
	action->bytes = engine->message;
	action->size = (uint32_t)size;
	message_sent(engine, &message, &made);
	return true;
}
