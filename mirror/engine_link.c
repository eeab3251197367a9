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

static void meeting_renew(struct mirror_engine *engine, uint32_t number)
{
	struct mirror_engine_meeting *meeting = &engine->meeting;

	meeting->number = number;
	meeting->owed = true;
	meeting->met = false;
	for (uint32_t i = 0; i < MIRROR_SET_MAX; i++) {
		engine->sets[i].decided = false;
		engine->sets[i].decision_untold = false;
		engine->sets[i].keep = -1;
		engine->sets[i].keep_owed = false;
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

	meeting->link_up = up;
	meeting_renew(engine, 1);
	meeting->peer_number = 0;
	engine->room = 0;
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

static void set_decide(struct mirror_engine *engine, uint32_t index)
{
	const struct mirror_engine_meeting *meeting = &engine->meeting;
	struct mirror_engine_set *at = &engine->sets[index];
	struct remirror_side sides[2];

	if (!at->used || meeting->peer.sets[index].identity == 0)
		return;
	sides[engine->server] =
		(struct remirror_side){ &meeting->own, index, meeting->own_words.disk_present & BIT(index) };
	sides[1 - engine->server] = (struct remirror_side){ &meeting->peer, index,
							    meeting->peer_words.disk_present & BIT(index) };
	remirror_decide(sides, at->keep, &at->decision);
	decision_respect_guest(engine, &at->decision);
	at->decided = true;
	at->decision_untold = true;
}

static void meeting_hold(struct mirror_engine *engine)
{
	struct mirror_engine_meeting *meeting = &engine->meeting;

	if (meeting->met || meeting->owed || meeting->peer_number != meeting->number)
		return;
	meeting->met = true;
	for (uint32_t i = 0; i < MIRROR_SET_MAX; i++)
		set_decide(engine, i);
}

const struct remirror_decision *mirror_engine_decision(const struct mirror_engine *engine, uint32_t index)
{
	ASSERT(index < MIRROR_SET_MAX);
	return engine->sets[index].decided ? &engine->sets[index].decision : NULL;
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
	if (at->decision.verdict != REMIRROR_SPLIT && at->decision.verdict != REMIRROR_FULL)
		return "nobody has to say which disk is right: that is known";
	if (at->decision.verdict == REMIRROR_FULL && at->decision.source != server)
		return "wrong direction: that disk is the new one";
	if (engine->meeting.own_words.runs && engine->meeting.peer_words.runs)
		return "the guest runs on both servers: stop one of them first";
	if (runner != NOBODY && runner != server)
		return "the guest runs from the other disk: stop it first";
	at->keep = (int8_t)server;
	at->keep_owed = true;
	set_decide(engine, index);
	return NULL;
}

/* ---- what comes ---- */

static void keep_receive(struct mirror_engine *engine, const struct mirror_message *message)
{
	struct mirror_engine_set *at = &engine->sets[message->header.set];

	/* Two administrators say different things at the same time: nobody has said anything. */
	if (at->keep >= 0 && at->keep != message->keep.server) {
		engine_meeting_begin(engine);
		return;
	}
	at->keep = (int8_t)message->keep.server;
	set_decide(engine, message->header.set);
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

static int message_take(struct mirror_engine *engine, const struct mirror_message *message,
			const uint8_t *data)
{
	if (message->header.type == MIRROR_MESSAGE_METADATA)
		return metadata_receive(engine, message, data);
	if (!engine->meeting.met)
		return 0; /* of a meeting that is over */
	switch (message->header.type) {
	case MIRROR_MESSAGE_KEEP:
		keep_receive(engine, message);
		return 0;
	default:
		return trace_error(-EINVAL);
	}
}

int64_t mirror_engine_receive(struct mirror_engine *engine, const uint8_t *bytes, uint64_t size)
{
	uint64_t sector_counts[MIRROR_SET_MAX];
	struct mirror_message message;
	int64_t fixed_size;
	uint64_t whole_size;
	int error;

	ASSERT(engine->meeting.link_up);
	for (uint32_t i = 0; i < MIRROR_SET_MAX; i++)
		sector_counts[i] = engine->sets[i].used ? engine->sets[i].set.sector_count : 0;
	fixed_size = mirror_message_check(bytes, size, sector_counts, &message);
	if (fixed_size <= 0)
		return fixed_size;
	whole_size = (uint64_t)fixed_size + mirror_message_data_size(&message);
	if (size < whole_size)
		return 0;
	error = message_take(engine, &message, bytes + fixed_size);
	return error ? error : (int64_t)whole_size;
}

/* ---- what goes out ---- */

/* Are the record's words those that the other one may go by? */
static bool may_speak(struct mirror_engine *engine)
{
	if (engine->mode == MIRROR_DUPLEX || engine->metadata.pair_identity == 0)
		return false;
	/* A guest that runs may write at any time: told before it does, it need not be asked again. */
	if (is_running(engine))
		engine_era_is_written_in(engine);
	return mirror_engine_is_durable(engine, engine->change);
}

static bool metadata_send(struct mirror_engine *engine, struct mirror_message *message, const uint8_t **data)
{
	struct mirror_engine_meeting *meeting = &engine->meeting;

	if (!meeting->owed || !may_speak(engine))
		return false;
	message->header.type = MIRROR_MESSAGE_METADATA;
	message->metadata.meeting = meeting->number;
	message->metadata.runs = is_running(engine);
	for (uint32_t i = 0; i < MIRROR_SET_MAX; i++)
		if (engine->sets[i].used && !engine->sets[i].refusal)
			message->metadata.disk_present |= (uint8_t)BIT(i);
	meeting->own = engine->metadata;
	metadata_seal(&meeting->own); /* faults are counted without a new record */
	meeting->own_words = message->metadata;
	*data = (const uint8_t *)&meeting->own;
	return true;
}

static bool keep_send(struct mirror_engine *engine, struct mirror_message *message)
{
	for (uint32_t i = 0; i < MIRROR_SET_MAX; i++) {
		struct mirror_engine_set *at = &engine->sets[i];

		if (!at->keep_owed)
			continue;
		message->header.type = MIRROR_MESSAGE_KEEP;
		message->header.set = (uint8_t)i;
		message->keep.server = (uint8_t)at->keep;
		return true;
	}
	return false;
}

/* It is on its way: nothing of it is owed any more. */
static void message_sent(struct mirror_engine *engine, const struct mirror_message *message)
{
	switch (message->header.type) {
	case MIRROR_MESSAGE_METADATA:
		engine->meeting.owed = false;
		meeting_hold(engine);
		break;
	case MIRROR_MESSAGE_KEEP:
		engine->sets[message->header.set].keep_owed = false;
		break;
	default:
		ASSERT(false);
	}
}

bool engine_link_take(struct mirror_engine *engine, struct mirror_engine_action *action)
{
	struct mirror_message message = { 0 };
	const uint8_t *data = NULL;
	uint64_t data_size;
	uint64_t fixed_size;

	if (!engine->meeting.link_up ||
	    (!metadata_send(engine, &message, &data) && !keep_send(engine, &message)))
		return false;
	data_size = data ? METADATA_SIZE : 0;
	fixed_size = mirror_message_seal(&message, data_size);
	if (engine->room < fixed_size + data_size)
		return false;
	engine->room -= fixed_size + data_size;
	memcpy(engine->message, &message, fixed_size);
	if (data)
		memcpy(engine->message + fixed_size, data, data_size);
	action->kind = MIRROR_ENGINE_SEND;
	action->bytes = engine->message;
	action->size = (uint32_t)(fixed_size + data_size);
	message_sent(engine, &message);
	return true;
}
