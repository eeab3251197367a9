/* SPDX-License-Identifier: Apache-2.0 */
/* Times and inputs, decided here or by a log; see guest_door.h. */
#include "kernel/guest_door.h"

#include <errno.h>
#include <string.h>

#include "include/assert.h"
#include "include/trace.h"
#include "kernel/guest_digest.h"
#include "kernel/time.h"

TRACE_FILE("door", TRACE_INFO);

static const struct position power_on;

void guest_door_open(struct guest_door *door)
{
	memset(door, 0, sizeof(*door));
	door->mode = GUEST_DOOR_OPEN;
	door->start_ns = time_now_ns();
}

void guest_door_record(struct guest_door *door, uint8_t *log, uint64_t log_size)
{
	guest_door_open(door);
	door->mode = GUEST_DOOR_RECORD;
	door->log = log;
	door->log_size = log_size;
	leader_init(&door->leader, &power_on, 0);
}

/* The follower's buffer is filled up when it has become half empty: what is left in it moves rarely. */
static void feed(struct guest_door *door)
{
	uint64_t room = follower_room(&door->follower);
	uint64_t size = min_u64(room, door->recording_size);

	if (size == 0 || (room < door->follower.buffer_size / 2 && door->recording_size > room))
		return;
	follower_receive(&door->follower, door->recording, size);
	door->recording += size;
	door->recording_size -= size;
}

void guest_door_replay(struct guest_door *door, const uint8_t *recording, uint64_t recording_size,
		       uint8_t *buffer, uint64_t buffer_size)
{
	ASSERT(buffer_size >= 4 * LEADER_RECORD_MAX); /* half of it holds a record and more */
	guest_door_open(door);
	door->mode = GUEST_DOOR_REPLAY;
	door->recording = recording;
	door->recording_size = recording_size;
	follower_init(&door->follower, buffer, buffer_size, &power_on, 0);
	feed(door);
}

void guest_door_pair(struct guest_door *door, struct pair *pair)
{
	guest_door_open(door);
	door->mode = GUEST_DOOR_PAIR;
	door->pair = pair;
}

void guest_door_end_log(struct guest_door *door, const char *reason)
{
	door->log_ended = true;
	trace(TRACE_WARNING, "the recording ends here: %s", reason);
}

/*
 * Where the next record goes, one with `size` bytes of data; NULL: nothing is
 * recorded. What has not been taken yet moves to the front only when the end is
 * reached, so each byte moves rarely.
 */
static uint8_t *record_place(struct guest_door *door, uint32_t size)
{
	uint64_t needed = RECORD_HEADER_MAX + (uint64_t)size;

	if (door->mode != GUEST_DOOR_RECORD || door->log_ended)
		return NULL;
	if (guest_door_log_room(door) < needed) {
		guest_door_end_log(door, "nobody takes it, and there is no room for more");
		return NULL;
	}
	if (door->log_size - door->log_end < needed) {
		memmove(door->log, door->log + door->log_first, door->log_end - door->log_first);
		door->log_end -= door->log_first;
		door->log_first = 0;
	}
	return door->log + door->log_end;
}

void guest_door_set_time(struct guest_door *door, uint64_t time_ns)
{
	door->start_ns = time_now_ns() - time_ns;
	door->last_ns = time_ns;
}

static int time_by_pair(struct guest_door *door, const struct position *exit, uint64_t *time_ns)
{
	uint64_t local_ns = guest_door_follows(door) ? 0 : guest_door_now_ns(door);
	int error = pair_value(door->pair, exit, local_ns, time_ns);

	if (!error)
		door->last_ns = *time_ns;
	else if (error == -EILSEQ)
		door->diverged = door->pair->reason;
	return error;
}

int guest_door_time_by_log(struct guest_door *door, const struct position *exit, uint64_t *time_ns)
{
	uint8_t *place;

	if (door->mode == GUEST_DOOR_PAIR)
		return time_by_pair(door, exit, time_ns);
	if (door->mode == GUEST_DOOR_REPLAY) {
		feed(door);
		return follower_value(&door->follower, exit, RECORD_VALUE_TIME, time_ns, &door->diverged);
	}
	door->last_ns = guest_door_now_ns(door);
	*time_ns = door->last_ns;
	place = record_place(door, 0);
	if (place)
		door->log_end += leader_value(&door->leader, exit, RECORD_VALUE_TIME, *time_ns, place);
	return 0;
}

/* In a pair each server has what its own disk read, and the checksum is in `value`. */
static uint32_t size_in_log(const struct machine_input *input)
{
	return input->kind == MACHINE_INPUT_DISK_COMPLETION ? 0 : input->size;
}

void guest_door_put_input(struct guest_door *door, const struct position *position,
			  struct machine_input *input)
{
	const struct record_input fields = {
		.kind = input->kind,
		.index = input->index,
		.request = input->request,
		.status = input->status,
		.value = input->value,
	};
	uint8_t *place;

	ASSERT(!guest_door_follows(door));
	if (input->kind == MACHINE_INPUT_TIME)
		door->last_ns = input->time_ns;
	if (door->mode == GUEST_DOOR_PAIR) {
		door->last_ns = pair_input(door->pair, position, door->last_ns, &fields, input->data,
					   size_in_log(input));
		input->time_ns = door->last_ns;
		return;
	}
	place = record_place(door, input->size);
	if (place)
		door->log_end += leader_input(&door->leader, position, door->last_ns, &fields, input->data,
					      input->size, place);
}

/* Both sides put theirs at the same positions: what differs there can be named later. */
static void put_trail(struct guest_door *door, const struct position *position,
		      const struct guest_digest *digest)
{
	if (door->mode == GUEST_DOOR_PAIR)
		pair_put_trail(door->pair, position, digest->whole, digest->fields, digest->field_count);
}

void guest_door_put_check(struct guest_door *door, const struct position *position,
			  const struct guest_digest *digest)
{
	uint8_t *place;

	ASSERT(!guest_door_follows(door));
	put_trail(door, position, digest);
	if (door->mode == GUEST_DOOR_PAIR) {
		pair_check(door->pair, position, digest->whole);
		return;
	}
	place = record_place(door, 0);
	if (place)
		door->log_end += leader_check(&door->leader, position, digest->whole, place);
}

void guest_door_plan(struct guest_door *door, const struct position *now, struct follower_plan *plan)
{
	if (door->mode == GUEST_DOOR_REPLAY) {
		feed(door);
		follower_plan(&door->follower, now, plan);
	} else if (door->mode == GUEST_DOOR_PAIR) {
		pair_plan(door->pair, now, plan);
	} else {
		plan->verdict = FOLLOWER_RUN;
		plan->steps_max = FOLLOWER_STEPS_UNLIMITED;
	}
	if (plan->verdict == FOLLOWER_DIVERGED)
		door->diverged = plan->reason;
}

void guest_door_applied(struct guest_door *door)
{
	if (door->mode == GUEST_DOOR_REPLAY)
		follower_applied(&door->follower);
	else
		pair_applied(door->pair);
}

bool guest_door_compare(struct guest_door *door, const struct record *record,
			const struct guest_digest *digest)
{
	put_trail(door, &record->position, digest);
	if (digest->whole == record->digest)
		return true;
	door->diverged = digest->whole >> 32 != record->digest >> 32
				 ? "the processor's state differs from the log's"
				 : "machine or memory differ from the log's";
	if (door->mode == GUEST_DOOR_PAIR)
		pair_checked(door->pair, record, digest->whole);
	return false;
}

void guest_door_horizon(struct guest_door *door, const struct position *position)
{
	if (door->mode == GUEST_DOOR_PAIR)
		pair_horizon(door->pair, position);
}

void guest_door_input(const struct record *record, struct machine_input *input)
{
	*input = (struct machine_input){
		.kind = record->input.kind,
		.index = record->input.index,
		.time_ns = record->time_ns,
		.request = record->input.request,
		.status = record->input.status,
		.value = record->input.value,
		.size = record->size,
		.data = record->data,
	};
}
