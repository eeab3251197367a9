/* SPDX-License-Identifier: Apache-2.0 */
/* What happens to the guest, told; see guest_events.h. */
#include "kernel/guest_events.h"

#include <stdio.h>

#include "include/trace.h"
#include "kernel/guest_disk.h"
#include "kernel/guest_net.h"
#include "kernel/time.h"
#include "manage/roles.h"

TRACE_FILE("guest", TRACE_INFO);

#define LOOK_INTERVAL_NS (100 * NS_PER_MS)

static struct event_log *events;
static enum status_guest_state guest_state;
static enum status_port_state port_states[MACHINE_NET_PORT_MAX];
static uint64_t disk_errors[MACHINE_DISK_MAX];
static uint64_t next_look_ns;

void guest_events_init(struct event_log *log)
{
	events = log;
}

void guest_events_tell(enum event_severity severity, const char *object, const char *old_state,
		       const char *new_state, const char *reason)
{
	static const enum trace_level levels[] = {
		[EVENT_INFO] = TRACE_INFO, [EVENT_WARNING] = TRACE_WARNING, [EVENT_ERROR] = TRACE_ERROR
	};

	event_add(events, time_now_ns(), severity, object, old_state, new_state, reason);
	trace(levels[severity], "%s: %s -> %s%s%s", object, old_state, new_state, reason[0] ? ": " : "",
	      reason);
}

void guest_events_guest(enum status_guest_state state, enum event_severity severity, const char *reason)
{
	enum status_guest_state old_state = guest_state;

	guest_state = state;
	guest_events_tell(severity, "guest", status_guest_state_name(old_state),
			  status_guest_state_name(state), reason);
}

void guest_events_guest_is(enum status_guest_state state, const char *reason)
{
	if (state != guest_state)
		guest_events_guest(state, EVENT_INFO, reason);
}

static void look_at_port(uint32_t index)
{
	enum status_port_state state = guest_net_link_is_up(index) ? STATUS_PORT_ACTIVE : STATUS_PORT_DOWN;
	enum status_port_state old_state = port_states[index];
	char object[EVENT_OBJECT_SIZE];

	if (!guest_net_statistics(index) || state == old_state)
		return;
	port_states[index] = state;
	snprintf(object, sizeof(object), "port %s", network_role_name(NETWORK_PUBLIC1 + index));
	if (state == STATUS_PORT_ACTIVE)
		guest_events_tell(EVENT_INFO, object, status_port_state_name(old_state),
				  status_port_state_name(state), "");
	else if (old_state == STATUS_PORT_ACTIVE)
		guest_events_tell(EVENT_WARNING, object, status_port_state_name(old_state),
				  status_port_state_name(state), "no carrier");
}

/* Stays on show: nothing here could know that the disk is well again. */
static void look_at_disk(uint32_t index)
{
	uint64_t errors = guest_disk_errors(index);
	char object[EVENT_OBJECT_SIZE];
	char reason[EVENT_REASON_SIZE];

	if (errors == disk_errors[index])
		return;
	snprintf(object, sizeof(object), "disk %s", disk_role_name(DISK_MIRROR1 + index));
	snprintf(reason, sizeof(reason), "%lu of the guest's requests failed", (unsigned long)errors);
	guest_events_tell(EVENT_ERROR, object,
			  status_disk_state_name(disk_errors[index] ? STATUS_DISK_FAILED : STATUS_DISK_GOOD),
			  status_disk_state_name(STATUS_DISK_FAILED), reason);
	disk_errors[index] = errors;
}

void guest_events_poll(void)
{
	if (!time_reached(next_look_ns))
		return;
	next_look_ns = time_now_ns() + LOOK_INTERVAL_NS;
	for (uint32_t index = 0; index < MACHINE_NET_PORT_MAX; index++)
		look_at_port(index);
	for (uint32_t index = 0; index < MACHINE_DISK_MAX; index++)
		look_at_disk(index);
}
