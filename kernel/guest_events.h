/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells people what happens to the guest, its disks and its ports, and to the pair: an event in the
 * log, and a line on the console.
 */
#ifndef KERNEL_GUEST_EVENTS_H
#define KERNEL_GUEST_EVENTS_H

#include "include/bits.h"
#include "manage/event.h"
#include "manage/status.h"

/* Events go to `log`, which must stay. Before the other calls. */
void guest_events_init(struct event_log *log);

/* The guest is now in `state`, which may be the one it was in. */
void guest_events_guest(enum status_guest_state state, enum event_severity severity, const char *reason);

/* Likewise, but told only when it was in another state. */
void guest_events_guest_is(enum status_guest_state state, const char *reason);

/* Whatever else of the server is to be told: `object` went from one state to another. */
void guest_events_tell(enum event_severity severity, const char *object, const char *old_state,
		       const char *new_state, const char *reason);

/* Once a loop turn: looks at links and disks now and then. */
void guest_events_poll(void);

#endif
