/* SPDX-License-Identifier: Apache-2.0 */
/* The mirror sets, wired; see mirror_service.h. */
#include "kernel/mirror_service.h"

#include <errno.h>
#include <stdio.h>

#include "include/assert.h"
#include "include/trace.h"
#include "kernel/guest_events.h"
#include "kernel/mirror_disk.h"
#include "kernel/mirror_link.h"
#include "kernel/page_map.h"
#include "kernel/pages.h"
#include "kernel/rtc.h"
#include "kernel/state_partition.h"
#include "kernel/time.h"
#include "kernel/unique.h"
#include "manage/roles.h"
#include "manage/text.h"

TRACE_FILE("mirror", TRACE_INFO);

#define BUSY_NS (2 * NS_PER_MS) /* behind the last that happened */
#define ASK_INTERVAL_NS NS_PER_MS

#define ERAS_SHOWN 4

static struct mirror_engine engine;
static struct metadata_choice choice;
static bool pair_remembered; /* this server is one of a pair, and its record was there at the start */
static bool keeps;	     /* what the engine writes goes to the state partition; else nowhere */
static const struct mirror_service_guest *guest;
static struct {
	void *at;
	uint64_t size;
} maps[MIRROR_SET_MAX]; /* of the sets */

/* At most one for each buffer, and a flush for each set. */
#define JOB_MAX (MIRROR_ENGINE_BUFFER_COUNT + MIRROR_SET_MAX)
static struct job {
	struct mirror_disk_job job; /* first */
	bool used;
	uint64_t physical; /* of its buffer */
} jobs[JOB_MAX + 1];	   /* the last is never used */

struct mirror_engine *mirror_service_engine(void)
{
	return &engine;
}

/* ---- start-up ---- */

static bool load_record(void)
{
	static uint8_t copies[METADATA_COPY_COUNT][METADATA_SIZE];
	const uint8_t *read[METADATA_COPY_COUNT] = { NULL, NULL };

	for (uint32_t i = 0; i < METADATA_COPY_COUNT; i++)
		if (state_partition_read(i * METADATA_COPY_DISTANCE, copies[i], METADATA_SIZE) == 0)
			read[i] = copies[i];
	return mirror_engine_load(&engine, read, &choice);
}

/* Nothing is known, and nothing will be: each start is the first. */
static void keep_nothing(uint32_t server)
{
	keeps = false;
	mirror_engine_init(&engine, server, UINT64_MAX);
	mirror_engine_create(&engine, unique_number());
}

static const char *read_record(uint32_t server, bool is_pair, bool has_disks)
{
	bool is_new;

	mirror_engine_init(&engine, server, state_partition_size());
	keeps = load_record();
	if (keeps)
		return NULL;
	is_new = metadata_may_initialise(choice.verdict);
	if (is_pair) {
		keeps = is_new;
		return is_new ? NULL : choice.reason;
	}
	/* What cannot be read may tell of another server that has the guest's disks as well. */
	if (has_disks && !is_new && choice.verdict != METADATA_FOREIGN)
		return choice.reason;
	keep_nothing(server);
	return NULL;
}

const char *mirror_service_init(uint32_t server, bool is_pair, bool has_disks)
{
	const char *wrong;

	unique_init(rtc_now_s());
	pair_remembered = false;
	if (state_partition_size() >= METADATA_MAPS_OFFSET) {
		wrong = read_record(server, is_pair, has_disks);
		pair_remembered = is_pair && mirror_service_remembers_pair();
		return wrong;
	}
	if (is_pair)
		return state_partition_size()
			       ? "the state partition is too small"
			       : "pair.mode = duplex needs a state partition on the boot disk; "
				 "pair.mode = single runs the guest on this server alone";
	keep_nothing(server);
	return NULL;
}

bool mirror_service_remembers_pair(void)
{
	return keeps && choice.verdict == METADATA_GOOD;
}

int mirror_service_set_guest(const struct mirror_service_guest *service)
{
	guest = service;
	return mirror_link_init(&engine, service->data);
}

/* Of a start that was tried before and refused some is there. */
static bool take_memory(uint32_t index, uint64_t size)
{
	uint64_t physical;

	if (maps[index].size >= size)
		return true;
	physical = pages_allocate(align_up(size, PAGE_SIZE) / PAGE_SIZE, PAGE_SIZE);
	if (!physical)
		return false;
	maps[index].at = pages_pointer(physical);
	maps[index].size = size;
	return true;
}

static void load_maps(uint32_t index)
{
	static uint8_t bytes[REGION_MAP_BLOCK_SIZE];
	uint64_t offset;

	for (uint64_t block = 0; mirror_engine_map_place(&engine, index, block, &offset); block++) {
		int error = state_partition_read(offset, bytes, sizeof(bytes));

		mirror_engine_map_load(&engine, index, block, error ? NULL : bytes);
	}
}

static void tell_disk_of(uint32_t set, uint32_t server, enum event_severity severity, const char *from,
			 const char *to, const char *reason)
{
	char object[EVENT_OBJECT_SIZE];

	snprintf(object, sizeof(object), "disk %s %c", disk_role_name(DISK_MIRROR1 + set),
		 (int)('a' + server));
	guest_events_tell(severity, object, from, to, reason);
}

static void tell_missing(uint32_t index, const char *reason)
{
	tell_disk_of(index, engine.server, EVENT_WARNING,
		     mirror_disk_state_name(engine.metadata.sets[index].disk_states[engine.server]),
		     mirror_disk_state_name(MIRROR_MISSING), reason);
}

/* What the engine is to know of the disk in the bay; NULL: it is not there, or does not answer. */
static struct mirror_engine_disk disk_in_bay(const struct disk_device *device,
					     const struct mirror_service_geometry *geometry)
{
	struct mirror_engine_disk disk = { .serial = "", .large_wanted = geometry->large_sectors };

	if (!device)
		return disk;
	disk.serial = device->identity.serial;
	disk.sector_count = geometry->sector_count;
	disk.large_sectors = device->identity.sector_size > MIRROR_SECTOR_SIZE;
	return disk;
}

bool mirror_service_remembers_disk(uint32_t index)
{
	return pair_remembered && engine.metadata.sets[index].identity != 0;
}

static const char *open_set(uint32_t index, const struct mirror_engine_disk *disk,
			    struct mirror_service_geometry *geometry)
{
	int error;

	geometry->sector_count = mirror_engine_sector_count(&engine, index, disk);
	geometry->large_sectors = mirror_engine_large_sectors(&engine, index, disk);
	if (disk->large_wanted && !geometry->large_sectors)
		return "mirror_sector_size says 4096, and the guest knows its sectors as 512 bytes";
	if (geometry->sector_count > REGION_MAP_SECTOR_COUNT_MAX)
		return "it is larger than this version can mirror; mirror_size shows the guest less of it";
	if (!take_memory(index, mirror_engine_memory_size(geometry->sector_count)))
		return "no memory is left for its maps";
	error = mirror_engine_open(&engine, index, disk, unique_number(), maps[index].at);
	if (error == -ENOSPC)
		return "the state partition has no room for its maps";
	if (error == -EEXIST)
		load_maps(index);
	return NULL;
}

const char *mirror_service_open_disk(uint32_t index, struct disk_device *device,
				     struct mirror_service_geometry *geometry)
{
	bool may_be_missing = mirror_service_remembers_disk(index);
	bool is_there = device && !(device->gone && may_be_missing);
	const struct mirror_engine_disk disk = disk_in_bay(is_there ? device : NULL, geometry);
	const char *wrong = is_there ? mirror_disk_open(index, device) : NULL;

	ASSERT(is_there || may_be_missing);
	if (!wrong)
		wrong = open_set(index, &disk, geometry);
	if (wrong)
		return wrong;
	wrong = mirror_engine_refusal(&engine, index);
	if (!wrong || !may_be_missing)
		return wrong;
	tell_missing(index, wrong);
	return NULL;
}

/* ---- what the sets want ---- */

static void tell_disk(const struct mirror_engine_action *action, enum event_severity severity,
		      const char *from, const char *to, const char *reason)
{
	tell_disk_of(action->set, action->server, severity, from, to, reason);
}

static void tell_state(const struct mirror_engine_action *action)
{
	static const enum event_severity severities[MIRROR_DISK_STATE_COUNT] = {
		[MIRROR_MISSING] = EVENT_WARNING,  [MIRROR_GOOD] = EVENT_INFO,
		[MIRROR_REMIRRORING] = EVENT_INFO, [MIRROR_OUTDATED] = EVENT_WARNING,
		[MIRROR_FAILED] = EVENT_ERROR,
	};

	tell_disk(action, severities[action->to], mirror_disk_state_name(action->from),
		  mirror_disk_state_name(action->to), "");
}

static void tell_fault(const struct mirror_engine_action *action)
{
	static const char *const kinds[METADATA_FAULT_KIND_COUNT] = {
		[METADATA_FAULT_NONE] = "",
		[METADATA_FAULT_READ] = "read error",
		[METADATA_FAULT_WRITE] = "write error",
		[METADATA_FAULT_FLUSH] = "flush error",
		[METADATA_FAULT_TIMEOUT] = "time-out",
		[METADATA_FAULT_GONE] = "no answer",
		[METADATA_FAULT_MISMATCH] = "other data than the other server's disk",
	};
	char reason[EVENT_REASON_SIZE];

	snprintf(reason, sizeof(reason), "%s at sector %lu", kinds[action->fault],
		 (unsigned long)action->sector);
	tell_disk(action, EVENT_ERROR, "good", "error", reason);
}

/* An event when an administrator is waited for, and when no longer; the rest is in the trace. */
static void tell_decision(uint32_t set)
{
	static bool waits[MIRROR_SET_MAX];
	const struct remirror_decision *decision = mirror_engine_decision(&engine, set);
	const char *name = disk_role_name(DISK_MIRROR1 + set);
	bool waited = waits[set];
	char object[EVENT_OBJECT_SIZE];

	if (!decision)
		return;
	trace(TRACE_INFO, "%s: %s", name, decision->reason);
	waits[set] = !engine.sets[set].joined || engine.sets[set].apart;
	if (waits[set] == waited)
		return;
	snprintf(object, sizeof(object), "mirror %s", name);
	guest_events_tell(waits[set] ? EVENT_WARNING : EVENT_INFO, object, waited ? "waiting" : "apart",
			  waits[set] ? "waiting" : "together", decision->reason);
}

/* Stays shown while the last pass found something. */
static void tell_verified(uint32_t set, bool stopped)
{
	char object[EVENT_OBJECT_SIZE];
	char reason[EVENT_REASON_SIZE];
	struct mirror_engine_status status;
	uint64_t found;

	mirror_engine_status(&engine, set, &status);
	found = status.verified_mismatches + status.verified_unreadable;
	snprintf(object, sizeof(object), "mirror %s", disk_role_name(DISK_MIRROR1 + set));
	if (stopped)
		snprintf(reason, sizeof(reason),
			 "duplex ended or a disk went: this comparison does not count");
	else if (found == 0)
		snprintf(reason, sizeof(reason), "both disks are the same");
	else
		snprintf(
			reason, sizeof(reason),
			"regions of 64 KiB: %lu differed, written anew from the leader's disk; %lu could not be "
			"read on one",
			(unsigned long)status.verified_mismatches, (unsigned long)status.verified_unreadable);
	guest_events_tell(!stopped && found > 0 ? EVENT_WARNING : EVENT_INFO, object, "verifying",
			  stopped ? "not verified" : "verified", reason);
}

static void tell(const struct mirror_engine_action *action)
{
	char reason[EVENT_REASON_SIZE];

	switch (action->event) {
	case MIRROR_EVENT_DISK_STATE:
		tell_state(action);
		break;
	case MIRROR_EVENT_FAULT:
		tell_fault(action);
		break;
	case MIRROR_EVENT_REPAIRED:
		snprintf(reason, sizeof(reason), "sector %lu was written anew from the other server's disk",
			 (unsigned long)action->sector);
		tell_disk(action, EVENT_INFO, "error", "good", reason);
		break;
	case MIRROR_EVENT_CLEARED:
		tell_disk(action, EVENT_INFO, "error", "good", "");
		break;
	case MIRROR_EVENT_DECISION:
		tell_decision(action->set);
		break;
	case MIRROR_EVENT_VERIFIED:
	case MIRROR_EVENT_VERIFY_STOPPED:
		tell_verified(action->set, action->event == MIRROR_EVENT_VERIFY_STOPPED);
		break;
	case MIRROR_EVENT_STATE_FAILED:
		guest_events_tell(EVENT_ERROR, "state partition", "good", "failed",
				  "it cannot be written; nothing that has to be remembered is done");
		break;
	case MIRROR_EVENT_STATE_BACK:
		guest_events_tell(EVENT_INFO, "state partition", "failed", "good", "");
		break;
	}
}

/* ---- what the engine does on a disk beside the guest's requests ---- */

static void add_buffer(struct mirror_disk_job *job, uint64_t offset, uint64_t size)
{
	const struct job *own = (const struct job *)job;

	mirror_disk_add(job, own->physical + offset, size);
}

static void end_job(struct mirror_disk_job *job, int status)
{
	((struct job *)job)->used = false;
	mirror_engine_done(&engine, job->disk, job->slot, status);
}

static void begin_job(const struct mirror_engine_action *action)
{
	struct job *job = jobs;

	while (job->used)
		job++;
	ASSERT(job < jobs + JOB_MAX);
	job->used = true;
	job->physical = mirror_link_buffer(action->buffer);
	job->job.disk = action->set;
	job->job.slot = action->slot;
	job->job.operation = mirror_disk_operation(action->operation);
	job->job.sector = action->sector;
	job->job.sector_count = action->sector_count;
	job->job.memory = add_buffer;
	job->job.ended = end_job;
	mirror_disk_do(&job->job);
}

static void act(const struct mirror_engine_action *action)
{
	switch (action->kind) {
	case MIRROR_ENGINE_STATE:
		if (keeps)
			state_partition_write(action->offset, action->bytes, action->size);
		else
			mirror_engine_state_written(&engine, 0);
		break;
	case MIRROR_ENGINE_EVENT:
		tell(action);
		break;
	case MIRROR_ENGINE_SEND:
		mirror_link_send(action);
		break;
	case MIRROR_ENGINE_FINISHED:
		guest->act(action);
		break;
	case MIRROR_ENGINE_OWN:
		if (action->slot < MIRROR_SLOT_MAX && action->buffer < 0)
			guest->act(action);
		else
			begin_job(action);
		break;
	}
}

static bool poll_state(void)
{
	int status;

	if (!keeps || !state_partition_poll(&status))
		return false;
	mirror_engine_state_written(&engine, status);
	return true;
}

static bool take_actions(void)
{
	uint64_t now_ns = time_now_ns();
	struct mirror_engine_action action;
	bool worked = false;

	mirror_engine_tick(&engine, now_ns, rtc_now_s());
	while (mirror_engine_take(&engine, &action)) {
		act(&action);
		worked = true;
	}
	return worked;
}

/*
 * To ask the engine costs thousands of instructions. While something happens, and a little
 * longer, it is asked each round; else now and then, for what only time brings.
 */
static bool is_to_be_asked(bool happened)
{
	static uint64_t busy_until_ns;
	static uint64_t asked_ns;
	uint64_t now_ns = time_now_ns();

	if (happened)
		busy_until_ns = now_ns + BUSY_NS;
	if (now_ns >= busy_until_ns && now_ns - asked_ns < ASK_INTERVAL_NS)
		return false;
	asked_ns = now_ns;
	return true;
}

bool mirror_service_poll(void)
{
	static bool acted;
	bool worked = poll_state();

	worked |= mirror_disk_poll();
	worked |= mirror_link_receive();
	acted = is_to_be_asked(guest->poll() | worked | acted) && take_actions();
	mirror_disk_start();
	return worked | acted;
}

bool mirror_service_wait(uint64_t ticket)
{
	while (!mirror_engine_is_durable(&engine, ticket) && !engine.write_failed) {
		poll_state(); /* the disk driver's own time-outs bound it */
		take_actions();
	}
	return mirror_engine_is_durable(&engine, ticket);
}

/* ---- status ---- */

static void print_eras(char *to, size_t size)
{
	const struct metadata *metadata = &engine.metadata;
	uint32_t first = metadata->era_count > ERAS_SHOWN ? metadata->era_count - ERAS_SHOWN : 0;
	struct text text;

	text_init(&text, to, size);
	for (uint32_t i = first; i < metadata->era_count; i++) {
		const struct metadata_era *era = &metadata->history[i];

		text_add(&text, "%s%lu ", i > first ? ", " : "", (unsigned long)era->generation);
		if (era->alone)
			text_add(&text, "%c alone%s", 'a' + era->server, era->changed ? " (written)" : "");
		else
			text_add(&text, "both");
	}
}

void mirror_service_status(uint32_t index, struct status_disk *status)
{
	static const uint32_t states[MIRROR_DISK_STATE_COUNT] = {
		[MIRROR_MISSING] = STATUS_DISK_MISSING,		[MIRROR_GOOD] = STATUS_DISK_GOOD,
		[MIRROR_REMIRRORING] = STATUS_DISK_REMIRRORING, [MIRROR_OUTDATED] = STATUS_DISK_OUTDATED,
		[MIRROR_FAILED] = STATUS_DISK_FAILED,
	};
	struct mirror_engine_status set;
	uint32_t self = engine.server;
	const char *peer;

	if (!keeps || !mirror_engine_status(&engine, index, &set))
		return;
	status->state = states[set.states[self]];
	peer = mirror_disk_state_name(set.states[1 - self]);
	if (set.refusal)
		snprintf(status->reason, sizeof(status->reason), "%s", set.refusal);
	if (set.copying)
		snprintf(status->peer, sizeof(status->peer), "%s %u %%", peer, set.percent);
	else
		snprintf(status->peer, sizeof(status->peer), "%s", peer);
	status->lacks = set.dirty_bytes;
	status->copied = set.bytes_copied;
	if (set.copying && set.remaining_s != UINT64_MAX)
		status->remaining_ns = set.remaining_s * NS_PER_S;
	status->verify_percent = set.verifying ? set.verify_percent : 0;
	if (set.verified_time_s)
		status->verified_ns =
			(max_u64(engine.now_s, set.verified_time_s + 1) - set.verified_time_s) * NS_PER_S;
	status->verify_mismatches = set.verified_mismatches;
	status->verify_unreadable = set.verified_unreadable;
	status->repaired = set.repaired;
	status->faults = set.faults[self];
	status->peer_faults = set.faults[1 - self];
	print_eras(status->eras, sizeof(status->eras));
}
