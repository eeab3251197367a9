/* SPDX-License-Identifier: Apache-2.0 */
#include "manage/event.h"

#include <string.h>

#include "include/assert.h"

static const char *const severity_names[] = { "info", "warning", "error" };

void event_log_init(struct event_log *log)
{
	memset(log, 0, sizeof(*log));
}

static bool is_ended(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

static bool event_check(const struct event *event)
{
	return event->severity < ARRAY_SIZE(severity_names) && is_ended(event->object, EVENT_OBJECT_SIZE) &&
	       is_ended(event->old_state, EVENT_STATE_SIZE) && is_ended(event->new_state, EVENT_STATE_SIZE) &&
	       is_ended(event->reason, EVENT_REASON_SIZE);
}

bool event_log_check(const struct event_log *log)
{
	if (log->fault_count > EVENT_FAULT_MAX)
		return false;
	for (uint32_t i = 0; i < log->fault_count; i++)
		if (!event_check(&log->faults[i]))
			return false;
	for (uint32_t i = 0; i < event_count(log); i++)
		if (!event_check(event_at(log, i)))
			return false;
	return true;
}

uint32_t event_count(const struct event_log *log)
{
	return (uint32_t)min_u64(log->count, EVENT_RING_SIZE);
}

const struct event *event_at(const struct event_log *log, uint32_t index)
{
	ASSERT(index < event_count(log));
	return &log->ring[(log->count - event_count(log) + index) % EVENT_RING_SIZE];
}

/* The fault of `object`, or fault_count. */
static uint32_t fault_find(const struct event_log *log, const char *object)
{
	uint32_t i;

	for (i = 0; i < log->fault_count; i++)
		if (strcmp(log->faults[i].object, object) == 0)
			break;
	return i;
}

static void fault_end(struct event_log *log, uint32_t index)
{
	if (index == log->fault_count)
		return;
	log->fault_count--;
	memmove(&log->faults[index], &log->faults[index + 1],
		(log->fault_count - index) * sizeof(log->faults[0]));
}

static void fault_keep(struct event_log *log, const struct event *event)
{
	uint32_t index = fault_find(log, event->object);

	if (event->severity == EVENT_INFO) {
		fault_end(log, index);
		return;
	}
	if (index == EVENT_FAULT_MAX) {
		log->faults_dropped++;
		return;
	}
	log->faults[index] = *event;
	if (index == log->fault_count)
		log->fault_count++;
}

const struct event *event_add(struct event_log *log, uint64_t time_ns, enum event_severity severity,
			      const char *object, const char *old_state, const char *new_state,
			      const char *reason)
{
	struct event *event = &log->ring[log->count % EVENT_RING_SIZE];

	memset(event, 0, sizeof(*event));
	event->sequence = ++log->count;
	event->time_ns = time_ns;
	event->severity = severity;
	text_copy(event->object, sizeof(event->object), object);
	text_copy(event->old_state, sizeof(event->old_state), old_state);
	text_copy(event->new_state, sizeof(event->new_state), new_state);
	text_copy(event->reason, sizeof(event->reason), reason);
	fault_keep(log, event);
	return event;
}

const char *event_severity_name(uint32_t severity)
{
	ASSERT(severity < ARRAY_SIZE(severity_names));
	return severity_names[severity];
}

void event_add_text(struct text *text, const struct event *event)
{
	uint64_t time_ms = event->time_ns / 1000000;

	text_add(text, "%6lu.%03lu %-7s %s: %s -> %s", time_ms / 1000, time_ms % 1000,
		 event_severity_name(event->severity), event->object, event->old_state, event->new_state);
	if (event->reason[0] != '\0')
		text_add(text, ": %s", event->reason);
}

void event_add_json(struct text *text, const struct event *event)
{
	text_add(text, "{\"sequence\":%lu,\"time_ns\":%lu,\"severity\":\"%s\",\"object\":", event->sequence,
		 event->time_ns, event_severity_name(event->severity));
	text_add_json(text, event->object);
	text_add(text, ",\"old_state\":");
	text_add_json(text, event->old_state);
	text_add(text, ",\"new_state\":");
	text_add_json(text, event->new_state);
	text_add(text, ",\"reason\":");
	text_add_json(text, event->reason);
	text_add(text, "}");
}
