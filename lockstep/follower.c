/* SPDX-License-Identifier: Apache-2.0 */
/* The follower's side of the log; see follower.h. Twin of leader.c. */
#include "lockstep/follower.h"

#include <errno.h>
#include <string.h>

#include "include/assert.h"
#include "lockstep/leader.h"

void follower_init(struct follower *follower, uint8_t *buffer, uint64_t buffer_size,
		   const struct position *position, uint64_t time_ns)
{
	ASSERT(buffer_size >= 2 * LEADER_RECORD_MAX);
	memset(follower, 0, sizeof(*follower));
	follower->buffer = buffer;
	follower->buffer_size = buffer_size;
	follower->codec.exits = position->exits;
	follower->codec.steps = position->steps;
	follower->codec.time_ns = time_ns;
}

uint64_t follower_room(const struct follower *follower)
{
	uint64_t held = follower->end - follower->start + (follower->has_next ? RECORD_DATA_MAX : 0);

	return follower->buffer_size - min_u64(held, follower->buffer_size);
}

/* A decoded record's data lies before `start` and must stay until it is applied. */
static uint64_t first_needed(const struct follower *follower)
{
	return follower->has_next ? follower->start - follower->next.size : follower->start;
}

/* Bytes move to the front only when the end is reached, so each moves rarely. */
static void make_room(struct follower *follower, uint64_t size)
{
	uint64_t first = first_needed(follower);

	if (follower->buffer_size - follower->end >= size)
		return;
	memmove(follower->buffer, follower->buffer + first, follower->end - first);
	follower->start -= first;
	follower->end -= first;
	if (follower->has_next)
		follower->next.data = follower->buffer;
}

void follower_receive(struct follower *follower, const uint8_t *bytes, uint64_t size)
{
	ASSERT(size <= follower_room(follower));
	make_room(follower, size);
	memcpy(follower->buffer + follower->end, bytes, size);
	follower->end += size;
	follower->received += size;
}

/*
 * Decodes the next record unless one is decoded already. A horizon matters only
 * while it is the last thing known: with anything behind it, it is left out, so
 * that the guest need not be stopped there.
 */
static bool look_ahead(struct follower *follower)
{
	while (!follower->has_next || follower->next.kind == RECORD_HORIZON) {
		struct record record;
		int64_t taken = record_decode(&follower->codec, follower->buffer + follower->start,
					      follower->end - follower->start, &record);

		if (taken <= 0) {
			follower->broken = taken < 0;
			break;
		}
		follower->start += (uint64_t)taken;
		follower->replayed += follower->has_next;
		follower->next = record;
		follower->has_next = true;
	}
	return follower->has_next;
}

void follower_applied(struct follower *follower)
{
	ASSERT(follower->has_next);
	follower->has_next = false;
	follower->replayed++;
}

static void diverged(struct follower_plan *plan, const char *reason)
{
	plan->verdict = FOLLOWER_DIVERGED;
	plan->reason = reason;
}

/* The next record is further on than `now`. */
static void plan_run(struct follower_plan *plan, const struct record *record, const struct position *now)
{
	plan->verdict = FOLLOWER_RUN;
	plan->steps_max = FOLLOWER_STEPS_UNLIMITED;
	if (record->kind != RECORD_VALUE && record->position.exits == now->exits)
		plan->steps_max = record->position.steps - now->steps;
}

/* The next record is right here. */
static void plan_apply(struct follower_plan *plan, const struct record *record, const struct position *now)
{
	if (!position_equal(&record->position, now)) {
		diverged(plan, "another RIP or RCX than the leader's at the same position");
		return;
	}
	plan->verdict = FOLLOWER_APPLY;
	plan->record = record;
}

void follower_plan(struct follower *follower, const struct position *now, struct follower_plan *plan)
{
	memset(plan, 0, sizeof(*plan));
	while (look_ahead(follower)) {
		const struct record *record = &follower->next;
		int order = position_compare(&record->position, now);

		if (record->kind == RECORD_HORIZON && order <= 0) {
			follower_applied(follower); /* reached: what comes behind it? */
			continue;
		}
		/* The exit that a value belongs to lies ahead: between two runs none is open. */
		if (record->kind == RECORD_VALUE && record->position.exits <= now->exits)
			diverged(plan, "passed an exit at which the leader needed a value");
		else if (record->kind == RECORD_VALUE || order > 0)
			plan_run(plan, record, now);
		else if (order < 0)
			diverged(plan, "passed a position at which the leader stopped");
		else
			plan_apply(plan, record, now);
		return;
	}
	if (follower->broken)
		diverged(plan, "the log holds what no leader writes");
}

int follower_value(struct follower *follower, const struct position *exit, uint32_t source, uint64_t *time_ns,
		   const char **reason)
{
	const struct record *record = &follower->next;

	if (look_ahead(follower) && record->kind == RECORD_HORIZON &&
	    position_compare(&record->position, exit) <= 0)
		follower_applied(follower); /* the last thing known, and behind us */
	if (!follower->has_next) {
		*reason = "the log holds what no leader writes";
		return follower->broken ? -EILSEQ : -EAGAIN;
	}
	if (record->kind != RECORD_VALUE || record->position.exits != exit->exits)
		*reason = "needs a value at an exit at which the leader needed none";
	else if (record->source != source)
		*reason = "needs another kind of value than the leader did";
	else if ((uint16_t)record->position.rip != (uint16_t)exit->rip)
		*reason = "another RIP than the leader's at the same exit";
	else {
		*time_ns = record->time_ns;
		follower_applied(follower);
		return 0;
	}
	return -EILSEQ;
}

bool follower_is_at_end(struct follower *follower)
{
	return !look_ahead(follower);
}
