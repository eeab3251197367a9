/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each kind of object has one table of its fields, for text and JSON alike. The text
 * has three columns: what, state, details. A reason stands last.
 */
#include "manage/status.h"

#include <string.h>

#include "include/assert.h"
#include "manage/roles.h"

#define STATE_COLUMN 16
#define DETAIL_COLUMN 34
#define SHOW_COLUMN 22 /* of the values of one disk */

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

/* What a field is. JSON has it as it stands, the text in the unit that people read. */
enum field_kind {
	FIELD_TEXT,  /* char[] */
	FIELD_FLAG,  /* bool */
	FIELD_START, /* uint32_t, enum config_start */
	FIELD_NUMBER_32,
	FIELD_NUMBER,	/* uint64_t, as all below */
	FIELD_SIZE,	/* bytes: 512M */
	FIELD_ELAPSED,	/* nanoseconds: 1h 2min */
	FIELD_THOUSAND, /* nanoseconds as microseconds, bits as kbit */
	FIELD_MILLION,	/* nanoseconds as milliseconds */
	FIELD_PPM,	/* as percent */
};

/* When the text shows a field: bits of states, and whether it must be set, so not 0 and not empty. */
#define IN_STATE(state) (UINT32_C(1) << (state))
#define IF_SET (UINT32_C(1) << 31)
#define ALWAYS (IF_SET - 1)
#define NEVER 0

struct field {
	const char *key; /* in JSON */
	enum field_kind kind;
	uint64_t offset;
	uint32_t shown;
	const char *before, *after; /* words around it in the text */
};

/* Objects of one kind. Each begins with its state and the reason for it. */
struct layout {
	const char *word; /* in the text */
	const char *key;  /* of all of them, in JSON */
	const char *(*name)(uint32_t index);
	const char *const *state_names;
	const struct field *fields;
	uint32_t field_count;
	bool hides_absent; /* state 0: there is none */
	uint32_t count;
	uint64_t offset; /* of the first, in struct status */
	uint64_t size;
};

#define AT(object, member) offsetof(struct status_##object, member)
#define HEADED(object)                                                                                       \
	BUILD_ASSERT(AT(object, state) == 0);                                                                \
	BUILD_ASSERT(AT(object, reason) == sizeof(uint32_t))
HEADED(server);
HEADED(guest);
HEADED(link);
HEADED(port);
HEADED(disk);

static const struct field server_fields[] = {
	{ "uptime_ns", FIELD_ELAPSED, AT(server, uptime_ns), ALWAYS | IF_SET, "up ", "" },
	{ "sleep_ns", FIELD_NUMBER, AT(server, sleep_ns), NEVER, "", "" },
	{ "busy_ns", FIELD_NUMBER, AT(server, busy_ns), NEVER, "", "" },
};

static const struct field guest_fields[] = {
	{ "memory", FIELD_SIZE, AT(guest, memory_size), ALWAYS, "", " memory" },
	{ "start", FIELD_START, AT(guest, start), ALWAYS, "starts from ", "" },
	{ "uptime_ns", FIELD_ELAPSED, AT(guest, uptime_ns), IN_STATE(STATUS_GUEST_RUNNING), "up ", "" },
	{ "exits", FIELD_NUMBER, AT(guest, exits), IN_STATE(STATUS_GUEST_RUNNING), "", " exits" },
	{ "restarts", FIELD_NUMBER, AT(guest, restarts), ALWAYS | IF_SET, "restarted ", " times" },
};

#define LINK_WORKS (IN_STATE(STATUS_LINK_GOOD) | IN_STATE(STATUS_LINK_DEGRADED))
static const struct field link_fields[] = {
	{ "rate_mbit", FIELD_NUMBER, AT(link, rate_mbit), LINK_WORKS, "", " Mbit/s" },
	{ "round_trip_ns", FIELD_THOUSAND, AT(link, round_trip_ns), LINK_WORKS, "round trip ", " us" },
	{ "loss_ppm", FIELD_PPM, AT(link, loss_ppm), LINK_WORKS, "loss ", " %" },
};

#define PORT_WORKS (ALWAYS & ~IN_STATE(STATUS_PORT_DOWN))
static const struct field port_fields[] = {
	{ "device", FIELD_TEXT, AT(port, device), ALWAYS, "", "" },
	{ "rate_mbit", FIELD_NUMBER, AT(port, rate_mbit), PORT_WORKS, "", " Mbit/s" },
	{ "rx_frames", FIELD_NUMBER, AT(port, rx_frames), ALWAYS, "", " in" },
	{ "tx_frames", FIELD_NUMBER, AT(port, tx_frames), ALWAYS, "", " out" },
	{ "errors", FIELD_NUMBER, AT(port, errors), ALWAYS | IF_SET, "", " errors" },
};

#define DISK_THERE (ALWAYS & ~IN_STATE(STATUS_DISK_MISSING))
static const struct field disk_fields[] = {
	{ "percent", FIELD_NUMBER_32, AT(disk, percent), IN_STATE(STATUS_DISK_REMIRRORING), "", " % done" },
	{ "device", FIELD_TEXT, AT(disk, device), DISK_THERE, "", "" },
	{ "size", FIELD_SIZE, AT(disk, size), DISK_THERE, "", "" },
	{ "reads", FIELD_NUMBER, AT(disk, reads), DISK_THERE, "", " reads" },
	{ "writes", FIELD_NUMBER, AT(disk, writes), DISK_THERE, "", " writes" },
	{ "errors", FIELD_NUMBER, AT(disk, errors), ALWAYS | IF_SET, "", " errors" },
	{ "peer", FIELD_TEXT, AT(disk, peer), ALWAYS | IF_SET, "the other server's: ", "" },
	{ "peer_lacks", FIELD_SIZE, AT(disk, lacks), ALWAYS | IF_SET, "which lacks ", "" },
	{ "peer_remaining_ns", FIELD_ELAPSED, AT(disk, remaining_ns), ALWAYS | IF_SET, "about ", " left" },
	{ "peer_copied", FIELD_SIZE, AT(disk, copied), NEVER, "", "" },
	{ "verify_percent", FIELD_NUMBER_32, AT(disk, verify_percent), ALWAYS | IF_SET, "verifying, ",
	  " % done" },
	{ "verified_ns", FIELD_ELAPSED, AT(disk, verified_ns), ALWAYS | IF_SET, "verified ", " ago" },
	{ "verify_mismatches", FIELD_NUMBER, AT(disk, verify_mismatches), ALWAYS | IF_SET, "",
	  " regions differed" },
	{ "verify_unreadable", FIELD_NUMBER, AT(disk, verify_unreadable), ALWAYS | IF_SET, "",
	  " regions not readable" },
	{ "repaired", FIELD_NUMBER, AT(disk, repaired), NEVER, "", "" },
	{ "faults", FIELD_NUMBER, AT(disk, faults), NEVER, "", "" },
	{ "peer_faults", FIELD_NUMBER, AT(disk, peer_faults), NEVER, "", "" },
	{ "eras", FIELD_TEXT, AT(disk, eras), NEVER, "", "" },
};

/* The first six make one line of text, the rest another one. */
#define LOCKSTEP_FIRST_LINE 6
static const struct field lockstep_fields[] = {
	{ "step_counter", FIELD_TEXT, AT(lockstep, step_counter), ALWAYS, "step counter ", "" },
	{ "exact", FIELD_FLAG, AT(lockstep, exact), NEVER, "", "" },
	{ "lag_ns", FIELD_THOUSAND, AT(lockstep, lag_ns), ALWAYS, "lag ", " us" },
	{ "log_rate_bits", FIELD_THOUSAND, AT(lockstep, log_rate_bits), ALWAYS, "log ", " kbit/s" },
	{ "digest_checks", FIELD_NUMBER, AT(lockstep, digest_checks), ALWAYS, "", " checks" },
	{ "divergences", FIELD_NUMBER, AT(lockstep, divergences), ALWAYS, "", " divergences" },
	{ "joins", FIELD_NUMBER, AT(lockstep, joins), ALWAYS, "", " joins" },
	{ "join_stop_ns", FIELD_MILLION, AT(lockstep, join_stop_ns), ALWAYS, "the last stopped the guest ",
	  " ms" },
	{ "failovers", FIELD_NUMBER, AT(lockstep, failovers), ALWAYS, "", " failovers" },
	{ "failover_ns", FIELD_MILLION, AT(lockstep, failover_ns), ALWAYS, "the last took ", " ms" },
	{ "join_rounds", FIELD_NUMBER, AT(lockstep, join_rounds), NEVER, "", "" },
	{ "join_bytes", FIELD_NUMBER, AT(lockstep, join_bytes), NEVER, "", "" },
	{ "log_bytes", FIELD_NUMBER, AT(lockstep, log_bytes), NEVER, "", "" },
	{ "wait_ns", FIELD_NUMBER, AT(lockstep, wait_ns), NEVER, "", "" },
	{ "held_outputs", FIELD_NUMBER, AT(lockstep, held_outputs), NEVER, "", "" },
	{ "held_ns", FIELD_NUMBER, AT(lockstep, held_ns), NEVER, "", "" },
};

static const char *server_name(uint32_t index)
{
	static const char *const names[STATUS_SERVER_COUNT] = { "a", "b" };

	return names[index];
}

/* A link has the name of its port's role. */
static const char *link_name(uint32_t index)
{
	return network_role_name(NETWORK_CS1 + index);
}

#define FIELDS(object) .fields = object##_fields, .field_count = ARRAY_SIZE(object##_fields)
#define IN_STATUS(member)                                                                                    \
	.count = ARRAY_SIZE(((struct status *)NULL)->member), .offset = offsetof(struct status, member),     \
	.size = sizeof(((struct status *)NULL)->member[0])

static const struct layout server_layout = { "server",		 "servers",	 server_name,
					     server_state_names, FIELDS(server), IN_STATUS(servers) };
static const struct layout link_layout = { "link",	     "links",	   link_name,
					   link_state_names, FIELDS(link), IN_STATUS(links) };
static const struct layout port_layout = {
	"port",	      "ports",		network_role_name,   port_state_names,
	FIELDS(port), IN_STATUS(ports), .hides_absent = true
};
static const struct layout disk_layout = {
	"disk",	      "disks",		disk_role_name,	     disk_state_names,
	FIELDS(disk), IN_STATUS(disks), .hides_absent = true
};

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
static void add_ppm(struct text *text, uint64_t ppm)
{
	uint64_t rest = ppm % 10000;

	text_add(text, "%lu", ppm / 10000);
	if (rest > 0)
		text_add(text, ".%02lu", (rest + 99) / 100);
}

static const char *field_text(const struct field *field, const void *object)
{
	const char *at = (const char *)object + field->offset;

	return field->kind == FIELD_START ? start_names[*(const uint32_t *)(const void *)at] : at;
}

static uint64_t field_number(const struct field *field, const void *object)
{
	const void *at = (const char *)object + field->offset;

	if (field->kind == FIELD_FLAG)
		return *(const bool *)at;
	return field->kind == FIELD_NUMBER_32 ? *(const uint32_t *)at : *(const uint64_t *)at;
}

static bool field_has_text(const struct field *field)
{
	return field->kind == FIELD_TEXT || field->kind == FIELD_START;
}

static bool field_is_set(const struct field *field, const void *object)
{
	return field_has_text(field) ? field_text(field, object)[0] != '\0'
				     : field_number(field, object) != 0;
}

static void field_add_value(struct text *text, const struct field *field, const void *object)
{
	if (field_has_text(field))
		text_add(text, "%s", field_text(field, object));
	else if (field->kind == FIELD_SIZE)
		text_add_size(text, field_number(field, object));
	else if (field->kind == FIELD_ELAPSED)
		text_add_elapsed(text, field_number(field, object));
	else if (field->kind == FIELD_PPM)
		add_ppm(text, field_number(field, object));
	else
		text_add(text, "%lu",
			 field_number(field, object) / (field->kind == FIELD_THOUSAND  ? 1000
							: field->kind == FIELD_MILLION ? 1000000
										       : 1));
}

static void field_add_text(struct text *text, const struct field *field, const void *object)
{
	text_add(text, "%s", field->before);
	field_add_value(text, field, object);
	text_add(text, "%s", field->after);
}

/* All that the text shows in this state, with commas between. */
static void fields_add_text(struct text *text, const struct field *fields, uint32_t count, const void *object,
			    uint32_t state)
{
	bool first = true;

	for (uint32_t i = 0; i < count; i++) {
		if (!(fields[i].shown & IN_STATE(state)) ||
		    ((fields[i].shown & IF_SET) && !field_is_set(&fields[i], object)))
			continue;
		text_add(text, "%s", first ? "" : ", ");
		field_add_text(text, &fields[i], object);
		first = false;
	}
}

static const void *object_of(const struct status *status, const struct layout *layout, uint32_t index)
{
	return (const char *)status + layout->offset + index * layout->size;
}

static uint32_t state_of(const void *object)
{
	return *(const uint32_t *)object;
}

static const char *reason_of(const void *object)
{
	return (const char *)object + sizeof(uint32_t);
}

static void objects_add_text(struct text *text, const struct status *status, const struct layout *layout)
{
	for (uint32_t i = 0; i < layout->count; i++) {
		const void *object = object_of(status, layout, i);
		char name[32];
		struct text line;

		if (layout->hides_absent && state_of(object) == 0)
			continue;
		text_init(&line, name, sizeof(name));
		text_add(&line, "%s %s", layout->word, layout->name(i));
		add_head(text, name, layout->state_names[state_of(object)]);
		fields_add_text(text, layout->fields, layout->field_count, object, state_of(object));
		if (layout == &server_layout && i == status->self)
			text_add(text, "%sthis server, Yoke %s", status->servers[i].uptime_ns > 0 ? ", " : "",
				 status->version);
		add_reason(text, reason_of(object));
	}
}

static void guest_add_text(struct text *text, const struct status_guest *guest)
{
	add_head(text, "guest", status_guest_state_name(guest->state));
	fields_add_text(text, guest_fields, ARRAY_SIZE(guest_fields), guest, guest->state);
	add_reason(text, guest->reason);
}

static void lockstep_add_text(struct text *text, const struct status_lockstep *lockstep)
{
	if (lockstep->step_counter[0] == '\0')
		return;
	add_head(text, "lockstep", lockstep->exact ? "possible" : "refused");
	fields_add_text(text, lockstep_fields, LOCKSTEP_FIRST_LINE, lockstep, 0);
	add_reason(text, lockstep->exact ? "" : "the step counter is not exact");
	text_pad(text, DETAIL_COLUMN);
	fields_add_text(text, lockstep_fields + LOCKSTEP_FIRST_LINE,
			ARRAY_SIZE(lockstep_fields) - LOCKSTEP_FIRST_LINE, lockstep, 0);
	add_reason(text, "");
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

void status_add_disks(struct text *text, const struct status *status)
{
	uint64_t used = text->used;

	objects_add_text(text, status, &disk_layout);
	if (text->used == used)
		text_add(text, "no disks\n");
}

/* A key as people write it; the unit stands with the value. */
static void add_key(struct text *text, const char *key)
{
	size_t size = strlen(key);

	if (size > 3 && strcmp(key + size - 3, "_ns") == 0)
		size -= 3;
	for (size_t i = 0; i < size; i++)
		text_add(text, "%c", key[i] == '_' ? ' ' : key[i]);
}

void status_add_disk(struct text *text, const struct status *status, uint32_t role)
{
	const struct status_disk *disk = &status->disks[role];

	text_add(text, "disk %s: %s", disk_role_name(role), status_disk_state_name(disk->state));
	add_reason(text, disk->reason);
	for (uint32_t i = 0; i < ARRAY_SIZE(disk_fields); i++) {
		text_add(text, "  ");
		add_key(text, disk_fields[i].key);
		text_pad(text, SHOW_COLUMN);
		field_add_value(text, &disk_fields[i], disk);
		add_reason(text, "");
	}
}

void status_add_text(struct text *text, const struct status *status, const struct event_log *log)
{
	objects_add_text(text, status, &server_layout);
	guest_add_text(text, &status->guest);
	lockstep_add_text(text, &status->lockstep);
	objects_add_text(text, status, &link_layout);
	objects_add_text(text, status, &port_layout);
	objects_add_text(text, status, &disk_layout);
	faults_add_text(text, log);
}

void status_add_line(struct text *text, const struct status *status, const struct event_log *log)
{
	for (uint32_t i = 0; i < STATUS_SERVER_COUNT; i++)
		text_add(text, "%s %s, ", server_name(i), status_server_state_name(status->servers[i].state));
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

/* Ends an object or an array: the comma behind its last member goes. */
static void json_end(struct text *text, const char *bracket)
{
	if (text->used > 0 && text->at[text->used - 1] == ',')
		text->at[--text->used] = '\0';
	text_add(text, "%s,", bracket);
}

static void fields_add_json(struct text *text, const struct field *fields, uint32_t count, const void *object)
{
	for (uint32_t i = 0; i < count; i++) {
		if (field_has_text(&fields[i]))
			json_string(text, fields[i].key, field_text(&fields[i], object));
		else if (fields[i].kind == FIELD_FLAG)
			text_add(text, "\"%s\":%s,", fields[i].key,
				 field_number(&fields[i], object) ? "true" : "false");
		else
			text_add(text, "\"%s\":%lu,", fields[i].key, field_number(&fields[i], object));
	}
}

/* One object: its name, what all have, and its own fields. */
static void object_add_json(struct text *text, const char *name, const char *state, const char *reason,
			    const struct field *fields, uint32_t count, const void *object)
{
	text_add(text, "\"%s\":{", name);
	json_string(text, "state", state);
	json_string(text, "reason", reason);
	fields_add_json(text, fields, count, object);
	json_end(text, "}");
}

static void objects_add_json(struct text *text, const struct status *status, const struct layout *layout)
{
	text_add(text, "\"%s\":{", layout->key);
	for (uint32_t i = 0; i < layout->count; i++) {
		const void *object = object_of(status, layout, i);

		if (!layout->hides_absent || state_of(object) != 0)
			object_add_json(text, layout->name(i), layout->state_names[state_of(object)],
					reason_of(object), layout->fields, layout->field_count, object);
	}
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
	json_string(text, "self", server_name(status->self));
	objects_add_json(text, status, &server_layout);
	object_add_json(text, "guest", status_guest_state_name(status->guest.state), status->guest.reason,
			guest_fields, ARRAY_SIZE(guest_fields), &status->guest);
	text_add(text, "\"lockstep\":{");
	fields_add_json(text, lockstep_fields, ARRAY_SIZE(lockstep_fields), &status->lockstep);
	json_end(text, "}");
	objects_add_json(text, status, &link_layout);
	objects_add_json(text, status, &port_layout);
	objects_add_json(text, status, &disk_layout);
	faults_add_json(text, log);
	json_end(text, "}");
	/* The whole is no member of anything. */
	if (!text->cut)
		text->at[--text->used] = '\0';
}
