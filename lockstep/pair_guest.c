/* SPDX-License-Identifier: Apache-2.0 */
/* What the guest's run loop asks of the pair, and messages on their way; see pair.h. */
#include <errno.h>
#include <string.h>

#include "include/assert.h"
#include "include/trace.h"
#include "lockstep/pair.h"
#include "lockstep/pair_internal.h"

TRACE_FILE("lockstep", TRACE_INFO);

/* The leader keeps this much room, so that no record ever finds none. */
#define LOG_RESERVE (2 * LEADER_RECORD_MAX)

/* Of the leader's time, when it yields some to a follower that lags. */
#define YIELD_SPAN_NS (2 * UINT64_C(1000000))

/* ---- messages ---- */

static bool put_message(struct pair *pair, enum wire_stream stream, enum message_type type, const void *fixed,
			uint32_t fixed_size, const void *data, uint32_t size)
{
	const struct message_header header = { .type = (uint8_t)type, .size = fixed_size + size };

	ASSERT(size <= MESSAGE_DATA_MAX);
	if (channel_write_room(&pair->channel, stream) < sizeof(header) + header.size)
		return false;
	channel_write(&pair->channel, stream, (const uint8_t *)&header, sizeof(header));
	channel_write(&pair->channel, stream, fixed, fixed_size);
	channel_write(&pair->channel, stream, data, size);
	return true;
}

bool pair_send(struct pair *pair, enum message_type type, const void *body, uint32_t size)
{
	return put_message(pair, WIRE_STREAM_CONTROL, type, body, size, NULL, 0);
}

bool pair_send_text(struct pair *pair, enum message_type type, const char *text)
{
	struct message_text message = { 0 };

	memcpy(message.text, text, strnlen(text, sizeof(message.text) - 1));
	return pair_send(pair, type, &message, sizeof(message));
}

void pair_send_identity(struct pair *pair)
{
	struct message_identity identity = pair->config.identity;

	identity.generation = pair->durable.generation;
	identity.durable = pair->durable.state;
	identity.was_leader = pair->durable.was_leader;
	identity.role = (uint8_t)pair->role;
	identity.has_guest = pair->has_guest;
	identity.disks_current = pair->disks_told;
	identity.hardware_faults = pair->hardware_told;
	pair_send(pair, MESSAGE_IDENTITY, &identity, sizeof(identity));
}

bool pair_join_put(struct pair *pair, enum message_type type, const void *fixed, uint32_t fixed_size,
		   const uint8_t *data, uint32_t size)
{
	return pair->copying && put_message(pair, WIRE_STREAM_BULK, type, fixed, fixed_size, data, size);
}

/* ---- what the target takes from the bulk stream ---- */

/* The message whose bytes an earlier JOIN_TAKE showed has been used. */
static void drop_taken_bulk(struct pair *pair)
{
	pair->bulk_size -= pair->bulk_taken;
	memmove(pair->bulk, pair->bulk + pair->bulk_taken, pair->bulk_size);
	pair->bulk_taken = 0;
}

static bool take_bulk(struct pair *pair, struct pair_action *action)
{
	int64_t whole;

	drop_taken_bulk(pair);
	if (pair->role != PAIR_TARGET || pair->join_ended)
		return false;
	pair->bulk_size += channel_read(&pair->channel, WIRE_STREAM_BULK, pair->bulk + pair->bulk_size,
					sizeof(pair->bulk) - pair->bulk_size);
	whole = message_check(pair->bulk, pair->bulk_size, true);
	if (whole <= 0) {
		pair->protocol_faults += whole < 0;
		return false;
	}
	pair->bulk_taken = (uint64_t)whole;
	memset(action, 0, sizeof(*action));
	if (pair->bulk[0] == MESSAGE_JOIN_END) {
		memcpy(&pair->join_end, pair->bulk + sizeof(struct message_header), sizeof(pair->join_end));
		if (pair->channel.receivers[WIRE_STREAM_DISK].consumed < pair->join_end.disk_base) {
			pair->bulk_taken = 0; /* its disks are not there yet: asked again */
			return false;
		}
		pair->join_ended = true;
		action->kind = PAIR_ACTION_JOIN_LOAD;
		action->position = pair->join_end.position;
		action->time_ns = pair->join_end.time_ns;
		action->digest = pair->join_end.digest;
		return true;
	}
	action->kind = PAIR_ACTION_JOIN_TAKE;
	action->message = pair->bulk;
	action->size = (uint64_t)whole;
	return true;
}

bool pair_action_take(struct pair *pair, struct pair_action *action)
{
	if (pair->action_count > 0) {
		*action = pair->actions[pair->action_first];
		pair->action_first = (pair->action_first + 1) % PAIR_ACTION_MAX;
		pair->action_count--;
		return true;
	}
	if (pair->released_number > pair->released_done) {
		memset(action, 0, sizeof(*action));
		action->kind = PAIR_ACTION_RELEASED;
		action->number = pair->released_done = pair->released_number;
		return true;
	}
	return take_bulk(pair, action);
}

/* ---- the log ---- */

static void put_log(struct pair *pair, const uint8_t *bytes, uint64_t size)
{
	uint64_t taken = channel_write(&pair->channel, WIRE_STREAM_LOG, bytes, size);

	ASSERT(taken == size); /* pair_plan and pair_decides keep LOG_RESERVE free */
}

void pair_pump_log(struct pair *pair)
{
	uint8_t bytes[2048];

	if (pair->role != PAIR_FOLLOWER && pair->role != PAIR_TARGET)
		return;
	for (;;) {
		struct channel_receiver *log = &pair->channel.receivers[WIRE_STREAM_LOG];
		uint64_t skip = pair->log_base - min_u64(pair->log_base, log->consumed);
		uint64_t room = skip			      ? skip
				: pair->role == PAIR_FOLLOWER ? follower_room(&pair->follower)
							      : 0;
		uint64_t size =
			channel_read(&pair->channel, WIRE_STREAM_LOG, bytes, min_u64(room, sizeof(bytes)));

		if (size == 0)
			return;
		if (!skip) /* what lies before log_base is of a duplex that ended */
			follower_receive(&pair->follower, bytes, size);
	}
}

static bool log_has_room(const struct pair *pair)
{
	return channel_write_room(&pair->channel, WIRE_STREAM_LOG) >= LOG_RESERVE;
}

/* ---- divergence ---- */

/* Does a check of ours go into the log, and so into both sides' trails? */
static bool may_check(const struct pair *pair)
{
	return pair->role == PAIR_LEADER && log_has_room(pair);
}

void pair_put_trail(struct pair *pair, const struct position *position, uint64_t digest,
		    const uint64_t *fields, uint32_t count)
{
	if (pair->role == PAIR_FOLLOWER || may_check(pair))
		trail_put(&pair->trail, position, digest, fields, count);
}

/* Our entry for check `number`; without one, the number alone. */
static void send_trail(struct pair *pair, uint64_t number)
{
	const struct trail_entry *entry = trail_find(&pair->trail, number);
	const struct message_trail trail = { .number = number,
					     .position = entry ? entry->position : (struct position){ 0 },
					     .digest = entry ? entry->digest : 0,
					     .field_count = entry ? entry->field_count : 0 };

	put_message(pair, WIRE_STREAM_CONTROL, MESSAGE_TRAIL, &trail, sizeof(trail),
		    entry ? entry->fields : NULL, trail.field_count * (uint32_t)sizeof(entry->fields[0]));
}

/* Who diverged sends its entry first; the other looks, and sends its own for that position. */
void pair_receive_trail(struct pair *pair, const uint8_t *body, uint32_t size)
{
	static struct trail_entry theirs; /* scratch; too large for a stack */
	const struct trail_entry *own;
	struct message_trail trail;
	struct pair_action *action;

	memcpy(&trail, body, sizeof(trail));
	if (size != sizeof(trail) + trail.field_count * sizeof(theirs.fields[0]) ||
	    trail.field_count > TRAIL_FIELD_MAX || (!pair->trail_sent && !pair->trail_owed)) {
		pair->protocol_faults++;
		return;
	}
	theirs.field_count = trail.field_count;
	memcpy(theirs.fields, body + sizeof(trail), trail.field_count * sizeof(theirs.fields[0]));
	own = trail_find(&pair->trail, trail.number);
	action = pair_action_add(pair, PAIR_ACTION_DIVERGED);
	action->number = trail.number;
	action->position = trail.position;
	action->reason = pair->trail_owed ? pair->peer_text : pair->own_text;
	action->digest = own ? own->digest : 0;
	action->peer_digest = trail.digest;
	action->field = own ? trail_difference(own, &theirs) : TRAIL_FIELD_NONE;
	if (pair->trail_owed)
		send_trail(pair, trail.number);
	pair->trail_owed = false;
	pair->trail_sent = false;
}

void pair_diverge(struct pair *pair, const char *what)
{
	if (pair->role != PAIR_FOLLOWER)
		return;
	pair->divergences++;
	memset(pair->own_text, 0, sizeof(pair->own_text));
	memcpy(pair->own_text, what, strnlen(what, sizeof(pair->own_text) - 1));
	trace(TRACE_WARNING, "diverged: %s", pair->own_text);
	pair_send_text(pair, MESSAGE_DIVERGED, pair->own_text);
	if (pair->trail.count > 0) {
		pair->trail_sent = true;
		send_trail(pair, pair->trail.count - 1);
	}
	/* A follower that has decided to go alone cannot: its guest is not the one the outside has seen. */
	pair->going_alone = false;
	pair->stopping = false;
	pair_change_role(pair, PAIR_WAITING, pair->own_text);
	pair->has_guest = false;
	pair_action_add(pair, PAIR_ACTION_GUEST_DISCARD);
	pair_send_identity(pair);
}

/*
 * Does the leader stand still now, so that the follower comes nearer? It yields a part
 * of each span of time: nothing up to half of the greatest lag, all of it from there
 * on. So it becomes as slow as the follower is, and the guest sees no pauses.
 */
static bool leader_yields(const struct pair *pair)
{
	uint64_t max_ns = pair->config.lag_max_ns;
	uint64_t lag_ns = pair->time_ns - min_u64(pair->time_ns, pair->peer_time_ns);
	uint64_t above_ns = lag_ns - min_u64(lag_ns, max_ns / 2);

	return pair->peer_ready &&
	       pair->now_ns % YIELD_SPAN_NS < above_ns * YIELD_SPAN_NS / (max_ns - max_ns / 2);
}

void pair_plan(struct pair *pair, const struct position *now, struct follower_plan *plan)
{
	pair->exits = now->exits;
	if (pair->role == PAIR_FOLLOWER) {
		pair_pump_log(pair);
		follower_plan(&pair->follower, now, plan);
		if (plan->verdict == FOLLOWER_DIVERGED)
			pair_diverge(pair, plan->reason);
		return;
	}
	memset(plan, 0, sizeof(*plan));
	plan->steps_max = FOLLOWER_STEPS_UNLIMITED;
	plan->verdict = FOLLOWER_RUN;
	if (pair->role == PAIR_LEADER && (!log_has_room(pair) || leader_yields(pair)))
		plan->verdict = FOLLOWER_WAIT;
	if (pair->role != PAIR_LEADER && pair->role != PAIR_ALONE && pair->role != PAIR_SIMPLEX)
		plan->verdict = FOLLOWER_WAIT;
}

void pair_applied(struct pair *pair)
{
	if (pair->role == PAIR_FOLLOWER) {
		pair->time_ns = max_u64(pair->time_ns, pair->follower.next.time_ns);
		follower_applied(&pair->follower);
	}
}

int pair_value(struct pair *pair, const struct position *exit, uint64_t local_ns, uint64_t *time_ns)
{
	uint8_t bytes[RECORD_HEADER_MAX];
	const char *reason = NULL;
	int error;

	if (pair->role == PAIR_FOLLOWER) {
		pair_pump_log(pair);
		error = follower_value(&pair->follower, exit, RECORD_VALUE_TIME, time_ns, &reason);
		if (error == -EILSEQ)
			pair_diverge(pair, reason);
		if (!error)
			pair->time_ns = *time_ns;
		return error;
	}
	if (pair->role != PAIR_LEADER && pair->role != PAIR_ALONE && pair->role != PAIR_SIMPLEX)
		return -EAGAIN;
	if (pair->role == PAIR_LEADER && !log_has_room(pair))
		return -EAGAIN;
	pair->time_ns = max_u64(pair->time_ns, local_ns); /* no step back, also after a takeover */
	*time_ns = pair->time_ns;
	if (pair->role == PAIR_LEADER)
		put_log(pair, bytes, leader_value(&pair->leader, exit, RECORD_VALUE_TIME, *time_ns, bytes));
	return 0;
}

bool pair_decides(const struct pair *pair)
{
	return pair->role == PAIR_ALONE || pair->role == PAIR_SIMPLEX ||
	       (pair->role == PAIR_LEADER && log_has_room(pair));
}

uint64_t pair_input(struct pair *pair, const struct position *position, uint64_t local_ns,
		    const struct record_input *input, const uint8_t *data, uint32_t size)
{
	uint8_t bytes[RECORD_HEADER_MAX];

	ASSERT(pair_decides(pair));
	pair->time_ns = max_u64(pair->time_ns, local_ns);
	if (pair->role == PAIR_LEADER) {
		put_log(pair, bytes,
			leader_input(&pair->leader, position, pair->time_ns, input, NULL, size, bytes));
		put_log(pair, data, size);
	}
	return pair->time_ns;
}

void pair_horizon(struct pair *pair, const struct position *position)
{
	uint8_t bytes[RECORD_HEADER_MAX];

	if (pair->role == PAIR_LEADER && log_has_room(pair))
		put_log(pair, bytes, leader_horizon(&pair->leader, position, bytes));
}

void pair_check(struct pair *pair, const struct position *position, uint64_t digest)
{
	uint8_t bytes[RECORD_HEADER_MAX];

	if (may_check(pair))
		put_log(pair, bytes, leader_check(&pair->leader, position, digest, bytes));
}

void pair_checked(struct pair *pair, const struct record *record, uint64_t digest)
{
	if (pair->role == PAIR_FOLLOWER && record->digest != digest)
		pair_diverge(pair, "another digest than the leader's at the same position");
}

/* ---- output commit ---- */

uint64_t pair_stamp(const struct pair *pair)
{
	return pair->role == PAIR_LEADER ? pair->log_base + pair->leader.written : 0;
}

bool pair_may_release(const struct pair *pair, uint64_t stamp)
{
	if (pair->role == PAIR_SIMPLEX)
		return true;
	return pair->role == PAIR_LEADER && pair->peer_ready && !pair->going_alone &&
	       channel_acknowledged(&pair->channel, WIRE_STREAM_LOG) >= stamp;
}

void pair_released(struct pair *pair, uint64_t number)
{
	if (pair->role == PAIR_LEADER)
		pair->let_out = number;
}
