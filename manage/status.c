/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text and JSON are twins: each part of the status has one function for either.
 * The text has three columns: what, state, details. A reason stands last.
 */
#include "manage/status.h"

#include <string.h>

#include "include/assert.h"
#include "manage/roles.h"

#define STATE_COLUMN 16
#define DETAIL_COLUMN 34

static const char *const server_state_names[STATUS_SERVER_STATE_COUNT] = {
	[STATUS_SERVER_UNKNOWN] = "unknown",
	[STATUS_SERVER_OFF] = "off",
	[STATUS_SERVER_WAITING] = "waiting",
	[STATUS_SERVER_SIMPLEX] = "simplex",
	[STATUS_SERVER_JOINING] = "joining",
	[STATUS_SERVER_DUPLEX_LEADER] = "duplex-leader",
	[STATUS_SERVER_DUPLEX_FOLLOWER] = "duplex-follower",
	[STATUS_SERVER_DISABLED] = "disabled",
	[STATUS_SERVER_FAILED] = "failed",
};

static const char *const guest_state_names[STATUS_GUEST_STATE_COUNT] = {
	[STATUS_GUEST_OFF] = "off",	    [STATUS_GUEST_STARTING] = "starting",
	[STATUS_GUEST_RUNNING] = "running", [STATUS_GUEST_STOPPED] = "stopped",
	[STATUS_GUEST_REFUSED] = "refused",
};

static const char *const link_state_names[STATUS_LINK_STATE_COUNT] = {
	[STATUS_LINK_ABSENT] = "absent",
	[STATUS_LINK_GOOD] = "good",
	[STATUS_LINK_DEGRADED] = "degraded",
	[STATUS_LINK_FAILED] = "failed",
};

static const char *const port_state_names[STATUS_PORT_STATE_COUNT] = {
	[STATUS_PORT_ABSENT] = "absent",
	[STATUS_PORT_ACTIVE] = "active",
	[STATUS_PORT_STANDBY] = "standby",
	[STATUS_PORT_DOWN] = "down",
};

static const char *const disk_state_names[STATUS_DISK_STATE_COUNT] = {
	[STATUS_DISK_ABSENT] = "absent",	   [STATUS_DISK_GOOD] = "good",
	[STATUS_DISK_REMIRRORING] = "remirroring", [STATUS_DISK_OUTDATED] = "outdated",
	[STATUS_DISK_FAILED] = "failed",	   [STATUS_DISK_MISSING] = "missing",
};

static const char *const start_names[] = { "disk", "direct" };
static const char server_letters[STATUS_SERVER_COUNT] = { 'a', 'b' };

const char *status_server_state_name(uint32_t state)
{
	ASSERT(state < STATUS_SERVER_STATE_COUNT);
	return server_state_names[state];
}

const char *status_guest_state_name(uint32_t state)
{
	ASSERT(state < STATUS_GUEST_STATE_COUNT);
	return guest_state_names[state];
}

const char *status_link_state_name(uint32_t state)
{
	ASSERT(state < STATUS_LINK_STATE_COUNT);
	return link_state_names[state];
}

const char *status_port_state_name(uint32_t state)
{
	ASSERT(state < STATUS_PORT_STATE_COUNT);
	return port_state_names[state];
}

const char *status_disk_state_name(uint32_t state)
{
	ASSERT(state < STATUS_DISK_STATE_COUNT);
	return disk_state_names[state];
}

/* First two columns of a line. */
static void add_head(struct text *text, const char *what, const char *state)
{
	text_add(text, "%s", what);
	text_pad(text, STATE_COLUMN);
	text_add(text, "%s", state);
	text_pad(text, DETAIL_COLUMN);
}

/* Ends a line: the reason, and no blanks before the newline. */
static void add_reason(struct text *text, const char *reason)
{
	bool detail = text->used > 0 && text->at[text->used - 1] != ' ';

	if (reason[0] != '\0')
		text_add(text, "%s%s", detail ? ": " : "", reason);
	while (text->used > 0 && text->at[text->used - 1] == ' ')
		text->at[--text->used] = '\0';
	text_add(text, "\n");
}

/* A fraction of a million as percent: 0, 0.5, 12.25. */
static void add_percent(struct text *text, uint64_t ppm)
{
	uint64_t rest = ppm % 10000;

	text_add(text, "%lu", ppm / 10000);
	if (rest > 0)
		text_add(text, ".%02lu", (rest + 99) / 100);
	text_add(text, " %%");
}

static void server_add_text(struct text *text, const struct status *status, uint32_t index)
{
	const struct status_server *server = &status->servers[index];
	char name[] = "server a";

	name[7] = server_letters[index];
	add_head(text, name, status_server_state_name(server->state));
	if (server->uptime_ns > 0) {
		text_add(text, "up ");
		text_add_elapsed(text, server->uptime_ns);
	}
	if (index == status->self)
		text_add(text, "%sthis server, Yoke %s", server->uptime_ns > 0 ? ", " : "", status->version);
	add_reason(text, server->reason);
}

static void guest_add_text(struct text *text, const struct status_guest *guest)
{
	add_head(text, "guest", status_guest_state_name(guest->state));
	text_add_size(text, guest->memory_size);
	text_add(text, " memory, starts from %s", start_names[guest->start]);
	if (guest->state == STATUS_GUEST_RUNNING) {
		text_add(text, ", up ");
		text_add_elapsed(text, guest->uptime_ns);
		text_add(text, ", %lu exits", guest->exits);
	}
	if (guest->restarts > 0)
		text_add(text, ", restarted %lu times", guest->restarts);
	add_reason(text, guest->reason);
}

static void lockstep_add_text(struct text *text, const struct status_lockstep *lockstep)
{
	if (lockstep->step_counter[0] == '\0')
		return;
	add_head(text, "lockstep", lockstep->exact ? "possible" : "refused");
	text_add(text, "step counter %s%s, lag ", lockstep->step_counter,
		 lockstep->exact ? "" : " is not exact");
	text_add(text, "%lu us, log %lu kbit/s, %lu checks, %lu divergences", lockstep->lag_ns / 1000,
		 lockstep->log_rate_bits / 1000, lockstep->digest_checks, lockstep->divergences);
	add_reason(text, "");
	text_pad(text, DETAIL_COLUMN);
	text_add(text, "%lu joins, the last stopped the guest %lu ms; %lu failovers, the last took %lu ms",
		 lockstep->joins, lockstep->join_stop_ns / 1000000, lockstep->failovers,
		 lockstep->failover_ns / 1000000);
	add_reason(text, "");
}

static void link_add_text(struct text *text, const struct status_link *link, uint32_t index)
{
	char name[] = "link cs1";

	name[7] = (char)('1' + index);
	add_head(text, name, status_link_state_name(link->state));
	if (link->state == STATUS_LINK_GOOD || link->state == STATUS_LINK_DEGRADED) {
		text_add(text, "%lu Mbit/s, round trip %lu us, loss ", link->rate_mbit,
			 link->round_trip_ns / 1000);
		add_percent(text, link->loss_ppm);
	}
	add_reason(text, link->reason);
}

static void port_add_text(struct text *text, const struct status_port *port, uint32_t role)
{
	char name[32];
	struct text line;

	if (port->state == STATUS_PORT_ABSENT)
		return;
	text_init(&line, name, sizeof(name));
	text_add(&line, "port %s", network_role_name(role));
	add_head(text, name, status_port_state_name(port->state));
	text_add(text, "%s", port->device);
	if (port->state != STATUS_PORT_DOWN)
		text_add(text, ", %lu Mbit/s", port->rate_mbit);
	text_add(text, ", %lu in, %lu out", port->rx_frames, port->tx_frames);
	if (port->errors > 0)
		text_add(text, ", %lu errors", port->errors);
	add_reason(text, port->reason);
}

static void disk_add_text(struct text *text, const struct status_disk *disk, uint32_t role)
{
	char name[32];
	char state[32];
	struct text line;

	if (disk->state == STATUS_DISK_ABSENT)
		return;
	text_init(&line, name, sizeof(name));
	text_add(&line, "disk %s", disk_role_name(role));
	text_init(&line, state, sizeof(state));
	text_add(&line, "%s", status_disk_state_name(disk->state));
	if (disk->state == STATUS_DISK_REMIRRORING)
		text_add(&line, " %u %%", disk->percent);
	add_head(text, name, state);
	if (disk->device[0] != '\0') {
		text_add(text, "%s ", disk->device);
		text_add_size(text, disk->size);
		text_add(text, ", %lu reads, %lu writes", disk->reads, disk->writes);
	}
	if (disk->errors > 0)
		text_add(text, ", %lu errors", disk->errors);
	add_reason(text, disk->reason);
}

static void faults_add_text(struct text *text, const struct event_log *log)
{
	if (log->fault_count == 0)
		text_add(text, "no faults\n");
	for (uint32_t i = 0; i < log->fault_count; i++) {
		text_add(text, "%s", i == 0 ? "faults" : "");
		text_pad(text, STATE_COLUMN);
		event_add_text(text, &log->faults[i]);
		text_add(text, "\n");
	}
	if (log->faults_dropped > 0) {
		text_pad(text, STATE_COLUMN);
		text_add(text, "and %lu for which there was no room\n", log->faults_dropped);
	}
}

void status_add_text(struct text *text, const struct status *status, const struct event_log *log)
{
	for (uint32_t i = 0; i < STATUS_SERVER_COUNT; i++)
		server_add_text(text, status, i);
	guest_add_text(text, &status->guest);
	lockstep_add_text(text, &status->lockstep);
	for (uint32_t i = 0; i < STATUS_LINK_COUNT; i++)
		link_add_text(text, &status->links[i], i);
	for (uint32_t i = 0; i < NETWORK_ROLE_COUNT; i++)
		port_add_text(text, &status->ports[i], i);
	for (uint32_t i = 0; i < DISK_ROLE_COUNT; i++)
		disk_add_text(text, &status->disks[i], i);
	faults_add_text(text, log);
}

void status_add_line(struct text *text, const struct status *status, const struct event_log *log)
{
	for (uint32_t i = 0; i < STATUS_SERVER_COUNT; i++)
		text_add(text, "%c %s, ", server_letters[i],
			 status_server_state_name(status->servers[i].state));
	text_add(text, "guest %s, ", status_guest_state_name(status->guest.state));
	if (log->fault_count == 0)
		text_add(text, "no faults");
	else
		text_add(text, "%u fault%s", log->fault_count, log->fault_count > 1 ? "s" : "");
}

/* `"key":"value",` */
static void json_string(struct text *text, const char *key, const char *value)
{
	text_add(text, "\"%s\":", key);
	text_add_json(text, value);
	text_add(text, ",");
}

static void json_number(struct text *text, const char *key, uint64_t value)
{
	text_add(text, "\"%s\":%lu,", key, value);
}

/* Ends an object or an array: the comma behind its last member goes. */
static void json_end(struct text *text, const char *bracket)
{
	if (text->used > 0 && text->at[text->used - 1] == ',')
		text->at[--text->used] = '\0';
	text_add(text, "%s,", bracket);
}

static void server_add_json(struct text *text, const struct status_server *server, uint32_t index)
{
	text_add(text, "\"%c\":{", server_letters[index]);
	json_string(text, "state", status_server_state_name(server->state));
	json_string(text, "reason", server->reason);
	json_number(text, "uptime_ns", server->uptime_ns);
	json_end(text, "}");
}

static void guest_add_json(struct text *text, const struct status_guest *guest)
{
	text_add(text, "\"guest\":{");
	json_string(text, "state", status_guest_state_name(guest->state));
	json_string(text, "reason", guest->reason);
	json_string(text, "start", start_names[guest->start]);
	json_number(text, "memory", guest->memory_size);
	json_number(text, "uptime_ns", guest->uptime_ns);
	json_number(text, "restarts", guest->restarts);
	json_number(text, "exits", guest->exits);
	json_end(text, "}");
}

static void lockstep_add_json(struct text *text, const struct status_lockstep *lockstep)
{
	text_add(text, "\"lockstep\":{");
	json_string(text, "step_counter", lockstep->step_counter);
	text_add(text, "\"exact\":%s,", lockstep->exact ? "true" : "false");
	json_number(text, "lag_ns", lockstep->lag_ns);
	json_number(text, "log_rate_bits", lockstep->log_rate_bits);
	json_number(text, "digest_checks", lockstep->digest_checks);
	json_number(text, "divergences", lockstep->divergences);
	json_number(text, "joins", lockstep->joins);
	json_number(text, "join_stop_ns", lockstep->join_stop_ns);
	json_number(text, "failovers", lockstep->failovers);
	json_number(text, "failover_ns", lockstep->failover_ns);
	json_end(text, "}");
}

static void link_add_json(struct text *text, const struct status_link *link, uint32_t index)
{
	text_add(text, "\"cs%u\":{", index + 1);
	json_string(text, "state", status_link_state_name(link->state));
	json_string(text, "reason", link->reason);
	json_number(text, "rate_mbit", link->rate_mbit);
	json_number(text, "round_trip_ns", link->round_trip_ns);
	json_number(text, "loss_ppm", link->loss_ppm);
	json_end(text, "}");
}

static void port_add_json(struct text *text, const struct status_port *port, uint32_t role)
{
	text_add(text, "\"%s\":{", network_role_name(role));
	json_string(text, "state", status_port_state_name(port->state));
	json_string(text, "reason", port->reason);
	json_string(text, "device", port->device);
	json_number(text, "rate_mbit", port->rate_mbit);
	json_number(text, "rx_frames", port->rx_frames);
	json_number(text, "tx_frames", port->tx_frames);
	json_number(text, "errors", port->errors);
	json_end(text, "}");
}

static void disk_add_json(struct text *text, const struct status_disk *disk, uint32_t role)
{
	text_add(text, "\"%s\":{", disk_role_name(role));
	json_string(text, "state", status_disk_state_name(disk->state));
	json_string(text, "reason", disk->reason);
	json_string(text, "device", disk->device);
	json_number(text, "size", disk->size);
	json_number(text, "percent", disk->percent);
	json_number(text, "reads", disk->reads);
	json_number(text, "writes", disk->writes);
	json_number(text, "errors", disk->errors);
	json_end(text, "}");
}

static void faults_add_json(struct text *text, const struct event_log *log)
{
	text_add(text, "\"faults\":[");
	for (uint32_t i = 0; i < log->fault_count; i++) {
		event_add_json(text, &log->faults[i]);
		text_add(text, ",");
	}
	json_end(text, "]");
}

void status_add_json(struct text *text, const struct status *status, const struct event_log *log)
{
	text_add(text, "{");
	json_string(text, "version", status->version);
	text_add(text, "\"self\":\"%c\",\"servers\":{", server_letters[status->self]);
	for (uint32_t i = 0; i < STATUS_SERVER_COUNT; i++)
		server_add_json(text, &status->servers[i], i);
	json_end(text, "}");
	guest_add_json(text, &status->guest);
	lockstep_add_json(text, &status->lockstep);
	text_add(text, "\"links\":{");
	for (uint32_t i = 0; i < STATUS_LINK_COUNT; i++)
		link_add_json(text, &status->links[i], i);
	json_end(text, "}");
	text_add(text, "\"ports\":{");
	for (uint32_t i = 0; i < NETWORK_ROLE_COUNT; i++)
		if (status->ports[i].state != STATUS_PORT_ABSENT)
			port_add_json(text, &status->ports[i], i);
	json_end(text, "}");
	text_add(text, "\"disks\":{");
	for (uint32_t i = 0; i < DISK_ROLE_COUNT; i++)
		if (status->disks[i].state != STATUS_DISK_ABSENT)
			disk_add_json(text, &status->disks[i], i);
	json_end(text, "}");
	faults_add_json(text, log);
	json_end(text, "}");
	/* The whole is no member of anything. */
	if (!text->cut)
		text->at[--text->used] = '\0';
}
