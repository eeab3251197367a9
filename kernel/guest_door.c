/* SPDX-License-Identifier: Apache-2.0 */
/* Times and inputs, decided here or by a log; see guest_door.h. */
#include "kernel/guest_door.h"

#include <errno.h>
#include <string.h>

#include "include/assert.h"
#include "include/trace.h"
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

void guest_door_replay(struct guest_door *door, const uint8_t *log, uint64_t log_size, uint8_t *buffer,
		       uint64_t buffer_size)
{
	guest_door_open(door);
	door->mode = GUEST_DOOR_REPLAY;
	follower_init(&door->follower, buffer, buffer_size, &power_on, 0);
	ASSERT(log_size <= follower_room(&door->follower));
	follower_receive(&door->follower, log, log_size);
}

/* Is there room for a record with `size` bytes of data? A recording that is full ends; the guest goes on. */
static bool has_room(struct guest_door *door, uint32_t size)
{
	if (door->mode != GUEST_DOOR_RECORD || door->log_full)
		return false;
	if (door->log_size - door->log_used >= RECORD_HEADER_MAX + (uint64_t)size)
		return true;
	door->log_full = true;
	trace(TRACE_WARNING, "the recording is full after %lu bytes and ends here", door->log_used);
	return false;
}

void guest_door_set_time(struct guest_door *door, uint64_t time_ns)
{
	door->start_ns = time_now_ns() - time_ns;
	door->last_ns = time_ns;
}

int guest_door_time_by_log(struct guest_door *door, const struct position *exit, uint64_t *time_ns)
{
	if (door->mode == GUEST_DOOR_REPLAY)
		return follower_value(&door->follower, exit, RECORD_VALUE_TIME, time_ns, &door->diverged);
	door->last_ns = guest_door_now_ns(door);
	*time_ns = door->last_ns;
	if (has_room(door, 0))
		door->log_used += leader_value(&door->leader, exit, RECORD_VALUE_TIME, *time_ns,
					       door->log + door->log_used);
	return 0;
}

void guest_door_put_input(struct guest_door *door, const struct position *position,
			  const struct machine_input *input)
{
	const struct record_input fields = {
		.kind = input->kind,
		.index = input->index,
		.request = input->request,
		.status = input->status,
		.value = input->value,
	};

	ASSERT(door->mode != GUEST_DOOR_REPLAY);
	if (input->kind == MACHINE_INPUT_TIME)
		door->last_ns = input->time_ns;
	if (has_room(door, input->size))
		door->log_used += leader_input(&door->leader, position, door->last_ns, &fields, input->data,
					       input->size, door->log + door->log_used);
}

void guest_door_put_check(struct guest_door *door, const struct position *position, uint64_t digest)
{
	ASSERT(door->mode != GUEST_DOOR_REPLAY);
	if (has_room(door, 0))
		door->log_used += leader_check(&door->leader, position, digest, door->log + door->log_used);
}

void guest_door_plan(struct guest_door *door, const struct position *now, struct follower_plan *plan)
{
	if (door->mode == GUEST_DOOR_REPLAY) {
		follower_plan(&door->follower, now, plan);
		if (plan->verdict == FOLLOWER_DIVERGED)
			door->diverged = plan->reason;
		return;
	}
	plan->verdict = FOLLOWER_RUN;
	plan->steps_max = FOLLOWER_STEPS_UNLIMITED;
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
