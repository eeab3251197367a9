/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events: every change of a state that people see, with its reason. The newest
 * stay in a ring; beside it, what is at fault now stays on show until a later
 * event says that it is repaired. The whole log is flat: writing it to the state
 * partition and reading it back keeps faults on show across restarts.
 */
#ifndef MANAGE_EVENT_H
#define MANAGE_EVENT_H

#include "include/bits.h"
#include "manage/text.h"

#define EVENT_RING_SIZE 128
#define EVENT_FAULT_MAX 48 /* more than there are objects that can fail */
#define EVENT_OBJECT_SIZE 24
#define EVENT_STATE_SIZE 20
#define EVENT_REASON_SIZE 128

enum event_severity {
	EVENT_INFO,    /* as it should be; ends a fault of the same object */
	EVENT_WARNING, /* something is worse than it should be: becomes a fault */
	EVENT_ERROR,   /* something has failed: becomes a fault */
};

struct event {
	uint64_t sequence; /* 1, 2, 3 ... over the life of the log */
	uint64_t time_ns;  /* since this server's power-on */
	uint32_t severity; /* enum event_severity */
	uint32_t reserved;
	char object[EVENT_OBJECT_SIZE]; /* "link cs1", "disk mirror1 b", "server a", "guest" */
	char old_state[EVENT_STATE_SIZE];
	char new_state[EVENT_STATE_SIZE];
	char reason[EVENT_REASON_SIZE]; /* "carrier lost"; "" when the states say it all */
};

struct event_log {
	uint64_t count;		 /* events ever */
	uint64_t faults_dropped; /* faults for which there was no room */
	uint32_t fault_count;
	uint32_t reserved;
	struct event faults[EVENT_FAULT_MAX]; /* in the order in which they began */
	struct event ring[EVENT_RING_SIZE];
};

void event_log_init(struct event_log *log);

/*
 * Is `log`, which came from a disk, one that can be gone on with? Checks what
 * later code relies on. A caller begins a new log when it is not.
 */
bool event_log_check(const struct event_log *log);

/*
 * Adds an event and keeps the faults: one each object, the newest, until an
 * event of EVENT_INFO for that object. Texts too long are cut. The event stays
 * valid until EVENT_RING_SIZE more have come.
 */
const struct event *event_add(struct event_log *log, uint64_t time_ns, enum event_severity severity,
			      const char *object, const char *old_state, const char *new_state,
			      const char *reason);

/* How many events the ring holds, and the index-th of them, oldest first. */
uint32_t event_count(const struct event_log *log);
const struct event *event_at(const struct event_log *log, uint32_t index);

/* "info", "warning", "error". */
const char *event_severity_name(uint32_t severity);

/* Adds one line, without newline: "    12.345 warning link cs1: good -> failed: carrier lost". */
void event_add_text(struct text *text, const struct event *event);

/* Adds one JSON object. */
void event_add_json(struct text *text, const struct event *event);

#endif
