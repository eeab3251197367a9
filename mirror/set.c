/* SPDX-License-Identifier: Apache-2.0 */
/* One mirror set: states, requests under way, commands; see set.h. */
#include "mirror/set.h"

#include <errno.h>
#include <string.h>

#include "include/assert.h"

#define SIDE_BIT(side) ((uint8_t)(1u << (side)))
#define NOT_POSSIBLE MIRROR_DISK_STATE_COUNT

static const char *const state_names[MIRROR_DISK_STATE_COUNT] = {
	[MIRROR_MISSING] = "missing",	[MIRROR_GOOD] = "good",	    [MIRROR_REMIRRORING] = "remirroring",
	[MIRROR_OUTDATED] = "outdated", [MIRROR_FAILED] = "failed",
};

/* Nothing but a finished copy, or the generations, makes a disk good. */
static const uint8_t next_state[MIRROR_DISK_STATE_COUNT][MIRROR_CHANGE_COUNT] = {
	/* FOUND, IN_STEP, GONE, FAULT, ADMIN_FAIL, ADMIN_ENABLE, BEHIND, COPY_BEGIN, COPY_END, COPY_BROKEN */
	[MIRROR_MISSING] = { MIRROR_OUTDATED, NOT_POSSIBLE, MIRROR_MISSING, MIRROR_MISSING, NOT_POSSIBLE,
			     NOT_POSSIBLE, MIRROR_MISSING, NOT_POSSIBLE, NOT_POSSIBLE, MIRROR_MISSING },
	[MIRROR_GOOD] = { MIRROR_GOOD, MIRROR_GOOD, MIRROR_MISSING, MIRROR_FAILED, MIRROR_FAILED,
			  NOT_POSSIBLE, MIRROR_OUTDATED, NOT_POSSIBLE, NOT_POSSIBLE, NOT_POSSIBLE },
	[MIRROR_REMIRRORING] = { MIRROR_OUTDATED, NOT_POSSIBLE, MIRROR_MISSING, MIRROR_FAILED, MIRROR_FAILED,
				 NOT_POSSIBLE, MIRROR_OUTDATED, NOT_POSSIBLE, MIRROR_GOOD, MIRROR_OUTDATED },
	[MIRROR_OUTDATED] = { MIRROR_OUTDATED, MIRROR_GOOD, MIRROR_MISSING, MIRROR_FAILED, MIRROR_FAILED,
			      NOT_POSSIBLE, MIRROR_OUTDATED, MIRROR_REMIRRORING, NOT_POSSIBLE,
			      MIRROR_OUTDATED },
	[MIRROR_FAILED] = { MIRROR_FAILED, NOT_POSSIBLE, MIRROR_MISSING, MIRROR_FAILED, MIRROR_FAILED,
			    MIRROR_OUTDATED, MIRROR_FAILED, NOT_POSSIBLE, NOT_POSSIBLE, MIRROR_FAILED },
};

const char *mirror_disk_state_name(enum mirror_disk_state state)
{
	return state < MIRROR_DISK_STATE_COUNT ? state_names[state] : "unknown";
}

void mirror_set_init(struct mirror_set *set, uint64_t identity, uint64_t sector_count,
		     enum mirror_disk_state own, enum mirror_disk_state peer,
		     const struct mirror_set_memory *memory)
{
	memset(set, 0, sizeof(*set));
	set->sector_count = sector_count;
	set->states[MIRROR_OWN] = (uint8_t)own;
	set->states[MIRROR_PEER] = (uint8_t)peer;
	/* The two maps' sectors must not be taken for each other's. */
	region_map_init(&set->dirty, 2 * identity, sector_count, memory->dirty);
	intent_init(&set->intent, 2 * identity + 1, sector_count, memory->intent);
}

/* ---- who takes part ---- */

static bool is_reachable(const struct mirror_set *set, enum mirror_side side)
{
	if (side == MIRROR_OWN)
		return set->states[side] != MIRROR_MISSING;
	return (set->mode == MIRROR_SOURCE || set->mode == MIRROR_DUPLEX || set->mode == MIRROR_TARGET) &&
	       set->states[side] != MIRROR_MISSING;
}

static bool takes_writes(const struct mirror_set *set, enum mirror_side side)
{
	return is_reachable(set, side) &&
	       (set->states[side] == MIRROR_GOOD || set->states[side] == MIRROR_REMIRRORING);
}

static bool is_readable(const struct mirror_set *set, enum mirror_side side)
{
	return is_reachable(set, side) && set->states[side] == MIRROR_GOOD;
}

bool mirror_set_is_last(const struct mirror_set *set, enum mirror_side side)
{
	return set->states[side] == MIRROR_GOOD &&
	       (!is_readable(set, 1 - side) || (side == MIRROR_OWN && set->peer_lost));
}

static void event_put(struct mirror_set *set, const struct mirror_action *action)
{
	if (set->action_count == MIRROR_ACTION_MAX) {
		set->events_lost++;
		return;
	}
	set->actions[(set->action_first + set->action_count++) % MIRROR_ACTION_MAX] = *action;
}

/* ---- a request's way ---- */

static void slot_free(struct mirror_set *set, struct mirror_slot *slot)
{
	slot->phase = MIRROR_FREE;
	while (set->slots_end > 0 && set->slots[set->slots_end - 1].phase == MIRROR_FREE)
		set->slots_end--;
}

static void slot_end(struct mirror_slot *slot, int status)
{
	slot->status = status;
	slot->waits = 0;
	slot->phase = MIRROR_ENDING;
}

/* The peer's disk is remirrored, and gets what the guest writes from us. */
static bool is_sent_to_copy(const struct mirror_set *set)
{
	return set->mode == MIRROR_SOURCE && set->states[MIRROR_PEER] == MIRROR_REMIRRORING;
}

/* May the peer's disk do its part later? */
static bool peer_trails(const struct mirror_set *set)
{
	return set->trails && is_sent_to_copy(set) && set->states[MIRROR_OWN] == MIRROR_GOOD;
}

/* Of a disk that holds everything, or, as TARGET, ours as far as it goes. */
static bool is_kept(const struct mirror_set *set, const struct mirror_slot *slot)
{
	return ((slot->done & SIDE_BIT(MIRROR_OWN)) &&
		(set->states[MIRROR_OWN] == MIRROR_GOOD || set->mode == MIRROR_TARGET)) ||
	       ((slot->done & SIDE_BIT(MIRROR_PEER)) && is_readable(set, MIRROR_PEER));
}

/*
 * All have answered, or are no longer waited for. One disk that holds the write is
 * enough: the other has been dropped, durably, before this is told; or it trails.
 */
static void slot_settle(struct mirror_set *set, struct mirror_slot *slot)
{
	if (slot->phase == MIRROR_RUNNING && slot->waits == 0) {
		slot_end(slot, is_kept(set, slot) ? 0 : -EIO);
	} else if (slot->phase == MIRROR_RUNNING && slot->waits == SIDE_BIT(MIRROR_PEER) &&
		   slot->operation == MIRROR_WRITE && slot->is_sent && peer_trails(set)) {
		slot_end(slot, 0);
		slot->waits = SIDE_BIT(MIRROR_PEER);
	} else if (slot->phase == MIRROR_TRAILING && slot->waits == 0) {
		slot_free(set, slot);
	}
}

/* Nobody waits for the peer's disk any more; a read goes to ours if that is whole. */
static void peer_leave(struct mirror_set *set)
{
	for (uint32_t i = 0; i < set->slots_end; i++) {
		struct mirror_slot *slot = &set->slots[i];

		if (slot->phase == MIRROR_FREE || !(slot->waits & SIDE_BIT(MIRROR_PEER)))
			continue;
		slot->waits &= (uint8_t)~SIDE_BIT(MIRROR_PEER);
		if (slot->operation != MIRROR_READ)
			slot_settle(set, slot);
		else if (slot->phase == MIRROR_RUNNING && is_readable(set, MIRROR_OWN))
			slot->phase = MIRROR_QUEUED;
		else
			slot_end(slot, -EIO);
	}
}

static void slot_again(struct mirror_slot *slot)
{
	slot->phase = MIRROR_QUEUED;
	slot->waits = 0;
	slot->done = 0;
}

/*
 * Our disk is being remirrored from now on. What waits for the peer alone, for ours was outdated or
 * failed it, is for ours as well: the peer may make it when the copy is over, and no map tells of it.
 */
static void own_catches_up(struct mirror_set *set)
{
	for (uint32_t i = 0; i < set->slots_end; i++) {
		struct mirror_slot *slot = &set->slots[i];

		if (slot->phase == MIRROR_RUNNING && slot->operation != MIRROR_READ &&
		    !(slot->waits & SIDE_BIT(MIRROR_OWN)))
			slot_again(slot);
	}
}

bool mirror_set_change(struct mirror_set *set, enum mirror_side side, enum mirror_change change)
{
	uint8_t from = set->states[side];
	uint8_t to = next_state[from][change];

	if (to == NOT_POSSIBLE)
		return false;
	if (to == from)
		return true;
	if (mirror_set_is_last(set, side) && change != MIRROR_GONE)
		return false;
	set->states[side] = to;
	set->persist_wanted = true;
	event_put(set, &(struct mirror_action){
			       .kind = MIRROR_ACTION_STATE, .side = (uint8_t)side, .from = from, .to = to });
	if (side == MIRROR_OWN && change == MIRROR_COPY_BEGIN)
		own_catches_up(set);
	if (side == MIRROR_PEER && !takes_writes(set, side)) {
		/* What both may have been writing is now what the other lacks. */
		region_map_merge(&set->dirty, &set->intent.map);
		peer_leave(set);
	}
	return true;
}

/* The peer has ended its reads up to `number`. */
static void watched_end(struct mirror_set *set, uint64_t number)
{
	for (uint32_t i = 0; i < set->slots_end; i++)
		if (set->slots[i].phase == MIRROR_WATCHED && set->slots[i].number <= number)
			slot_free(set, &set->slots[i]);
}

/* All intents become dirty; which of them were written since is seen from what is touched. */
static void alone_begin(struct mirror_set *set)
{
	region_map_merge(&set->dirty, &set->intent.map);
	if (!set->intent.in_round)
		mirror_set_round_begin(set, set->intent.round_ns);
	intent_round_abort(&set->intent, set->intent.round_ns);
	if (set->states[MIRROR_OWN] == MIRROR_GOOD)
		mirror_set_change(set, MIRROR_PEER, MIRROR_BEHIND);
}

/* Nobody waits for what has not begun; and begun later it would write over what others have written. */
static void queued_end(struct mirror_set *set)
{
	for (uint32_t i = 0; i < set->slots_end; i++)
		if (set->slots[i].phase == MIRROR_QUEUED)
			slot_end(&set->slots[i], -EIO);
}

bool mirror_set_is_quiet(const struct mirror_set *set)
{
	for (uint32_t i = 0; i < set->slots_end; i++)
		if (set->slots[i].phase != MIRROR_FREE && set->slots[i].phase < MIRROR_ENDING)
			return false;
	return true;
}

bool mirror_set_may_copy(const struct mirror_set *set)
{
	return set->states[MIRROR_OWN] == MIRROR_GOOD && set->states[MIRROR_PEER] == MIRROR_OUTDATED &&
	       (set->mode != MIRROR_DUPLEX || set->peer_done >= set->lacked_number);
}

bool mirror_set_is_trailed(const struct mirror_set *set)
{
	for (uint32_t i = 0; i < set->slots_end; i++)
		if (set->slots[i].phase >= MIRROR_ENDING && (set->slots[i].waits & SIDE_BIT(MIRROR_PEER)))
			return true;
	return false;
}

void mirror_set_peer_lost(struct mirror_set *set)
{
	set->peer_lost = true;
}

void mirror_set_mode(struct mirror_set *set, enum mirror_mode mode)
{
	bool had_peer = set->mode == MIRROR_SOURCE || set->mode == MIRROR_DUPLEX;

	if (mode != MIRROR_DUPLEX)
		watched_end(set, UINT64_MAX);
	if (mode == MIRROR_DUPLEX && set->mode != MIRROR_DUPLEX)
		set->peer_done = set->last_number;
	set->mode = (uint8_t)mode;
	set->peer_lost = false;
	if (mode != MIRROR_ALONE && mode != MIRROR_IDLE)
		return;
	if (mode == MIRROR_IDLE)
		queued_end(set);
	if (mode == MIRROR_ALONE)
		alone_begin(set);
	if (had_peer)
		peer_leave(set);
}

/* Not by the table of changes: nobody relies on what they were. */
static void states_put(struct mirror_set *set, uint8_t own, uint8_t peer)
{
	const uint8_t states[MIRROR_SIDE_COUNT] = { [MIRROR_OWN] = own, [MIRROR_PEER] = peer };

	for (uint8_t side = 0; side < MIRROR_SIDE_COUNT; side++) {
		if (set->states[side] == states[side])
			continue;
		event_put(set, &(struct mirror_action){ .kind = MIRROR_ACTION_STATE,
							.side = side,
							.from = set->states[side],
							.to = states[side] });
		set->states[side] = states[side];
		set->persist_wanted = true;
	}
}

void mirror_set_meet(struct mirror_set *set, bool is_source, enum mirror_disk_state other)
{
	ASSERT(!is_source || set->states[MIRROR_OWN] == MIRROR_GOOD);
	if (is_source)
		states_put(set, MIRROR_GOOD, (uint8_t)other);
	else
		states_put(set, (uint8_t)other, MIRROR_GOOD);
}

void mirror_set_word(struct mirror_set *set, enum mirror_side right)
{
	uint8_t other = set->states[1 - right] == MIRROR_MISSING ? MIRROR_MISSING : MIRROR_OUTDATED;

	ASSERT(set->mode == MIRROR_IDLE);
	if (right == MIRROR_OWN)
		states_put(set, MIRROR_GOOD, other);
	else
		states_put(set, other, MIRROR_GOOD);
}

/* Made, or ended, while ours counted as failed: it is to be done on ours. */
static bool is_owed(const struct mirror_slot *slot)
{
	if (slot->phase == MIRROR_RUNNING)
		return !(slot->issued & SIDE_BIT(MIRROR_OWN));
	return slot->phase == MIRROR_ENDING && slot->operation != MIRROR_READ && slot->status == 0 &&
	       !(slot->done & SIDE_BIT(MIRROR_OWN));
}

void mirror_set_both_failed(struct mirror_set *set, bool keeps_own, enum mirror_disk_state peer)
{
	states_put(set, keeps_own ? MIRROR_GOOD : set->states[MIRROR_OWN], (uint8_t)peer);
	region_map_merge(&set->dirty, &set->intent.map);
	for (uint32_t i = 0; i < set->slots_end && keeps_own; i++) {
		struct mirror_slot *slot = &set->slots[i];

		if (is_owed(slot))
			slot_again(slot);
	}
	peer_leave(set);
}

void mirror_set_join(struct mirror_set *set, uint64_t number)
{
	ASSERT(set->slots_end == 0);
	set->last_number = number;
	set->peer_done = number;
	set->lacked_number = 0;
}

int mirror_set_submit(struct mirror_set *set, enum mirror_operation operation, uint64_t sector,
		      uint32_t sector_count, uint64_t tag, uint64_t now_ns)
{
	if (operation != MIRROR_FLUSH &&
	    (sector_count == 0 || !range_fits(sector, sector_count, set->sector_count)))
		return -EINVAL;
	for (uint32_t i = 0; i < MIRROR_SLOT_MAX; i++) {
		if (set->slots[i].phase != MIRROR_FREE)
			continue;
		set->slots_end = (uint32_t)max_u64(set->slots_end, i + 1);
		set->slots[i] = (struct mirror_slot){
			.number = ++set->last_number,
			.tag = tag,
			.sector = operation == MIRROR_FLUSH ? 0 : sector,
			.sector_count = operation == MIRROR_FLUSH ? 0 : sector_count,
			.operation = (uint8_t)operation,
			.phase = MIRROR_QUEUED,
		};
		set->last_request_ns = now_ns;
		return (int)i;
	}
	return -EAGAIN;
}

/* An empty range, of a flush or a free lock, overlaps nothing. */
static bool ranges_overlap(uint64_t a, uint64_t a_count, uint64_t b, uint64_t b_count)
{
	return a_count != 0 && b_count != 0 && a < b + b_count && b < a + a_count;
}

static bool is_held_back(const struct mirror_set *set, const struct mirror_slot *slot)
{
	for (uint32_t i = 0; i < set->slots_end; i++) {
		const struct mirror_slot *other = &set->slots[i];

		if (other->phase != MIRROR_FREE && other->number < slot->number &&
		    (other->phase != MIRROR_TRAILING || slot->operation != MIRROR_READ) &&
		    (other->operation == MIRROR_WRITE || slot->operation == MIRROR_WRITE) &&
		    ranges_overlap(other->sector, other->sector_count, slot->sector, slot->sector_count))
			return true;
	}
	for (uint32_t i = 0; i < MIRROR_LOCK_MAX && slot->operation == MIRROR_WRITE; i++) {
		const struct mirror_lock *lock = &set->locks[i];

		if (slot->number > lock->number &&
		    ranges_overlap(lock->sector, lock->sector_count, slot->sector, slot->sector_count))
			return true;
	}
	return false;
}

/*
 * Bits of the dirty map for a write. A region that was clean is alike on both disks, and if we
 * send the write to the one that is remirrored it stays so: it is as good as copied.
 */
static void dirty_set(struct mirror_set *set, uint64_t first, uint64_t count)
{
	bool stays_alike = is_sent_to_copy(set);

	for (uint64_t region = first; region < first + count; region++) {
		if (region_map_set_range(&set->dirty, region, 1) == 0 || !stays_alike)
			continue;
		set->reach.copied[region / 64] |= BIT(region % 64);
		set->reach.copied_count++;
	}
}

/* Has a remirror reached any of its regions? */
static bool is_reached(const struct mirror_set *set, uint64_t first, uint64_t count)
{
	for (uint64_t region = first; region < first + count; region++)
		if ((set->reach.offered[region / 64] | set->reach.copied[region / 64]) & BIT(region % 64))
			return true;
	return false;
}

static uint64_t first_region(const struct mirror_slot *slot)
{
	return slot->sector / MIRROR_REGION_SECTORS;
}

static uint64_t region_count(const struct mirror_slot *slot)
{
	return (slot->sector + slot->sector_count - 1) / MIRROR_REGION_SECTORS - first_region(slot) + 1;
}

/* The rule of set.h: is a bit that tells of this write durable? Sets it if not. */
static bool is_recorded(struct mirror_set *set, struct mirror_slot *slot, uint64_t now_ns)
{
	uint64_t first = first_region(slot);
	uint64_t count = region_count(slot);
	/* While it is remirrored the other disk may not have been there yet when this write began. */
	bool both = is_readable(set, MIRROR_PEER);

	/* Who has the whole disk keeps the map. */
	if (!takes_writes(set, MIRROR_OWN) ||
	    (set->mode == MIRROR_TARGET && set->states[MIRROR_OWN] != MIRROR_GOOD))
		return true;
	if (!both) {
		dirty_set(set, first, count);
		intent_touch(&set->intent, first, count);
		return region_map_is_durable(&set->dirty, first, count);
	}
	if (slot->intent_counted) {
		region_map_set_range(&set->intent.map, first, count);
		return intent_may_write(&set->intent, first, count);
	}
	slot->intent_counted = 1;
	return intent_begin_write(&set->intent, first, count, now_ns);
}

/* In duplex the peer's replica makes the same request; its progress tells when that has ended. */
static void slot_lean_on_peer(struct mirror_set *set, struct mirror_slot *slot)
{
	if (set->mode != MIRROR_DUPLEX || !takes_writes(set, MIRROR_PEER) || slot->peer_failed ||
	    (slot->done & SIDE_BIT(MIRROR_PEER)))
		return;
	if (set->peer_done >= slot->number)
		slot->done |= SIDE_BIT(MIRROR_PEER);
	else
		slot->waits |= SIDE_BIT(MIRROR_PEER);
}

/*
 * Of what the disk that is being remirrored does not get: a flush comes at the end of the round, and
 * a write to a region that is not reached yet with the copy.
 */
static bool is_left_out(const struct mirror_set *set, const struct mirror_slot *slot)
{
	if (slot->operation == MIRROR_FLUSH)
		return peer_trails(set);
	return slot->operation == MIRROR_WRITE && is_sent_to_copy(set) &&
	       !is_reached(set, first_region(slot), region_count(slot));
}

static void slot_begin(struct mirror_set *set, struct mirror_slot *slot, uint64_t now_ns)
{
	bool own = takes_writes(set, MIRROR_OWN);
	bool peer = takes_writes(set, MIRROR_PEER);

	if (is_held_back(set, slot) || (slot->operation == MIRROR_WRITE && !is_recorded(set, slot, now_ns)))
		return;
	if (slot->operation == MIRROR_READ) {
		own = is_readable(set, MIRROR_OWN);
		peer = !own && is_readable(set, MIRROR_PEER);
	}
	slot->phase = MIRROR_RUNNING;
	slot->waits = (uint8_t)((own ? SIDE_BIT(MIRROR_OWN) : 0));
	if (peer && is_left_out(set, slot)) {
		peer = false;
		if (slot->operation == MIRROR_WRITE)
			set->reach.left_out = max_u64(set->reach.left_out, slot->number);
	}
	if (peer && (set->mode == MIRROR_SOURCE || slot->operation == MIRROR_READ))
		slot->waits |= SIDE_BIT(MIRROR_PEER);
	/* In duplex the peer's own replica writes; we wait for it to flush, or where its disk is all there
	 * is. */
	if (slot->operation == MIRROR_FLUSH ||
	    (slot->operation == MIRROR_WRITE && set->states[MIRROR_OWN] != MIRROR_GOOD))
		slot_lean_on_peer(set, slot);
	slot->issued = 0;
	slot_settle(set, slot);
}

/* A repair's next step: read from the peer, or write what came. */
static void repair_begin(struct mirror_set *set, struct mirror_slot *slot, int status)
{
	mirror_set_tell_fault(set, MIRROR_OWN, (enum mirror_operation)slot->operation, slot->sector,
			      slot->sector_count, status);
	if (is_readable(set, MIRROR_PEER)) {
		slot->phase = MIRROR_REPAIR_READ;
		slot->waits = SIDE_BIT(MIRROR_PEER);
	} else {
		slot_end(slot, -EIO);
	}
}

/* Asks the next side that the slot waits for. */
static bool slot_ask(struct mirror_set *set, struct mirror_slot *slot, struct mirror_action *action)
{
	uint8_t left = slot->waits & (uint8_t)~slot->issued;
	enum mirror_side side = left & SIDE_BIT(MIRROR_OWN) ? MIRROR_OWN : MIRROR_PEER;

	/* In duplex only reads go over the link. */
	if (left == 0 ||
	    (side == MIRROR_PEER && set->mode == MIRROR_DUPLEX && slot->operation != MIRROR_READ))
		return false;
	slot->issued |= SIDE_BIT(side);
	*action = (struct mirror_action){
		.kind = side == MIRROR_OWN ? MIRROR_ACTION_OWN : MIRROR_ACTION_PEER,
		.side = (uint8_t)side,
		.operation = slot->phase == MIRROR_REPAIR_WRITE ? MIRROR_WRITE : slot->operation,
		.slot = (uint32_t)(slot - set->slots),
		.tag = slot->tag,
		.sector = slot->sector,
		.sector_count = slot->sector_count,
	};
	return true;
}

bool mirror_set_take(struct mirror_set *set, struct mirror_action *action, uint64_t now_ns)
{
	if (set->action_count > 0) {
		*action = set->actions[set->action_first];
		set->action_first = (set->action_first + 1) % MIRROR_ACTION_MAX;
		set->action_count--;
		return true;
	}
	if (set->persist_wanted && !set->persisting) {
		set->persist_wanted = false;
		set->persisting = true;
		*action = (struct mirror_action){ .kind = MIRROR_ACTION_PERSIST };
		return true;
	}
	for (uint32_t i = 0; i < set->slots_end; i++) {
		struct mirror_slot *slot = &set->slots[i];

		if (slot->phase == MIRROR_QUEUED)
			slot_begin(set, slot, now_ns);
		if (slot->phase == MIRROR_ENDING && !set->persisting && !set->persist_wanted) {
			slot->phase = MIRROR_HELD;
			*action = (struct mirror_action){ .kind = MIRROR_ACTION_FINISHED,
							  .slot = i,
							  .tag = slot->tag,
							  .status = slot->status,
							  .operation = slot->operation };
			return true;
		}
		if (slot_ask(set, slot, action))
			return true;
	}
	return false;
}

void mirror_set_tell_fault(struct mirror_set *set, enum mirror_side side, enum mirror_operation operation,
			   uint64_t sector, uint32_t sector_count, int status)
{
	set->faults[side]++;
	event_put(set, &(struct mirror_action){ .kind = MIRROR_ACTION_FAULT,
						.side = (uint8_t)side,
						.operation = (uint8_t)operation,
						.status = status,
						.sector = sector,
						.sector_count = sector_count });
}

void mirror_set_tell_repaired(struct mirror_set *set, uint64_t sector, uint32_t sector_count)
{
	set->repaired++;
	event_put(set, &(struct mirror_action){ .kind = MIRROR_ACTION_REPAIRED,
						.side = MIRROR_OWN,
						.sector = sector,
						.sector_count = sector_count });
}

/* A write or flush failed on a disk. It goes, unless it is all there is: then the guest hears of it. */
void mirror_set_fault(struct mirror_set *set, enum mirror_side side, enum mirror_operation operation,
		      uint64_t sector, uint32_t sector_count, int status)
{
	/* One event for each fault: what was under way on a disk already dropped says nothing new. */
	if (!takes_writes(set, side))
		return;
	mirror_set_tell_fault(set, side, operation, sector, sector_count, status);
	if (mirror_set_change(set, side, status == -ENODEV ? MIRROR_GONE : MIRROR_FAULT))
		return;
	/* The last good copy stays without it. One that is being made of it may have it: that is no copy. */
	mirror_set_change(set, 1 - side, MIRROR_COPY_BROKEN);
}

static void side_fault(struct mirror_set *set, const struct mirror_slot *slot, enum mirror_side side,
		       int status)
{
	mirror_set_fault(set, side, (enum mirror_operation)slot->operation, slot->sector, slot->sector_count,
			 status);
	if (side == MIRROR_OWN && set->states[MIRROR_OWN] == MIRROR_GOOD)
		set->lacked_number = max_u64(set->lacked_number, slot->number);
}

static void read_done(struct mirror_set *set, struct mirror_slot *slot, enum mirror_side side, int status)
{
	if (slot->phase == MIRROR_REPAIR_WRITE) {
		if (status == 0)
			mirror_set_tell_repaired(set, slot->sector, slot->sector_count);
		else
			side_fault(set, slot, MIRROR_OWN, status);
		slot_end(slot, 0); /* the guest has the peer's data either way */
	} else if (slot->phase == MIRROR_REPAIR_READ) {
		if (status != 0) {
			slot_end(slot, -EIO);
		} else if (takes_writes(set, MIRROR_OWN)) {
			slot->phase = MIRROR_REPAIR_WRITE;
			slot->waits = SIDE_BIT(MIRROR_OWN);
			slot->issued = 0;
		} else {
			slot_end(slot, 0);
		}
	} else if (status != 0 && side == MIRROR_PEER && is_readable(set, MIRROR_OWN)) {
		slot->phase = MIRROR_QUEUED; /* ours has become good since the peer's was asked */
	} else if (status == 0 || side == MIRROR_PEER) {
		slot_end(slot, status ? -EIO : 0);
	} else {
		slot->issued = 0;
		repair_begin(set, slot, status);
		if (status == -ENODEV)
			mirror_set_change(set, MIRROR_OWN, MIRROR_GONE);
	}
}

void mirror_set_done(struct mirror_set *set, uint32_t index, enum mirror_side side, int status)
{
	struct mirror_slot *slot = &set->slots[index];

	ASSERT(index < MIRROR_SLOT_MAX);
	/* An answer of a peer that was given up meanwhile. */
	if (!(slot->waits & SIDE_BIT(side)))
		return;
	slot->waits &= (uint8_t)~SIDE_BIT(side);
	if (slot->operation == MIRROR_READ) {
		read_done(set, slot, side, status);
		return;
	}
	if (status == 0) {
		slot->done |= SIDE_BIT(side);
	} else {
		side_fault(set, slot, side, status);
	}
	/* Its own failure, or another request's meanwhile: what our disk has of it does not count. */
	if (side == MIRROR_OWN && set->states[MIRROR_OWN] != MIRROR_GOOD)
		slot_lean_on_peer(set, slot);
	slot_settle(set, slot);
}

void mirror_set_sent(struct mirror_set *set, uint32_t index)
{
	ASSERT(index < MIRROR_SLOT_MAX);
	set->slots[index].is_sent = 1;
	slot_settle(set, &set->slots[index]);
}

void mirror_set_persisted(struct mirror_set *set)
{
	ASSERT(set->persisting);
	set->persisting = false;
}

void mirror_set_release(struct mirror_set *set, uint32_t index)
{
	struct mirror_slot *slot = &set->slots[index];

	ASSERT(index < MIRROR_SLOT_MAX);
	ASSERT(slot->phase == MIRROR_HELD);
	if (slot->waits & SIDE_BIT(MIRROR_PEER))
		slot->phase = MIRROR_TRAILING;
	else if (set->mode == MIRROR_DUPLEX && slot->operation == MIRROR_READ &&
		 slot->number > set->peer_done)
		slot->phase = MIRROR_WATCHED;
	else
		slot_free(set, slot);
}

static bool owes_failure(const struct mirror_slot *slot)
{
	return slot->operation != MIRROR_READ && slot->status != 0 && !slot->failure_told &&
	       (slot->phase == MIRROR_ENDING || slot->phase == MIRROR_HELD);
}

/* Our own part of it is over: a failed disk has none. */
static bool slot_has_ended(const struct mirror_set *set, const struct mirror_slot *slot)
{
	if (slot->phase == MIRROR_QUEUED || owes_failure(slot))
		return false;
	if (slot->phase == MIRROR_FREE || slot->phase >= MIRROR_HELD)
		return true;
	return slot->operation != MIRROR_READ && (slot->done & SIDE_BIT(MIRROR_OWN)) &&
	       takes_writes(set, MIRROR_OWN);
}

uint64_t mirror_set_progress(const struct mirror_set *set)
{
	uint64_t number = set->last_number;

	for (uint32_t i = 0; i < set->slots_end; i++)
		if (!slot_has_ended(set, &set->slots[i]))
			number = min_u64(number, set->slots[i].number - 1);
	return number;
}

uint64_t mirror_set_failure(const struct mirror_set *set)
{
	for (uint32_t i = 0; i < set->slots_end; i++)
		if (owes_failure(&set->slots[i]))
			return set->slots[i].number;
	return 0;
}

/* The write or flush of that number, if it is still there. */
static struct mirror_slot *slot_of(struct mirror_set *set, uint64_t number)
{
	for (uint32_t i = 0; i < set->slots_end; i++)
		if (set->slots[i].phase != MIRROR_FREE && set->slots[i].number == number &&
		    set->slots[i].operation != MIRROR_READ)
			return &set->slots[i];
	return NULL;
}

void mirror_set_failure_told(struct mirror_set *set, uint64_t number)
{
	struct mirror_slot *slot = slot_of(set, number);

	ASSERT(slot);
	slot->failure_told = 1;
}

void mirror_set_peer_failure(struct mirror_set *set, uint64_t number)
{
	struct mirror_slot *slot = slot_of(set, number);

	if (!slot || set->mode != MIRROR_DUPLEX)
		return;
	slot->peer_failed = 1;
	slot->waits &= (uint8_t)~SIDE_BIT(MIRROR_PEER);
	slot_settle(set, slot);
}

void mirror_set_peer_progress(struct mirror_set *set, uint64_t number)
{
	set->peer_done = max_u64(set->peer_done, number);
	watched_end(set, set->peer_done);
	for (uint32_t i = 0; i < set->slots_end && set->mode == MIRROR_DUPLEX; i++) {
		struct mirror_slot *slot = &set->slots[i];

		if (slot->phase != MIRROR_RUNNING || slot->operation == MIRROR_READ ||
		    slot->number > set->peer_done || !(slot->waits & SIDE_BIT(MIRROR_PEER)))
			continue;
		slot->waits &= (uint8_t)~SIDE_BIT(MIRROR_PEER);
		slot->done |= SIDE_BIT(MIRROR_PEER);
		slot_settle(set, slot);
	}
}

/* ---- locks ---- */

/* A write that the range of a lock is about. */
static bool is_write_to(const struct mirror_slot *slot, uint64_t sector, uint64_t sector_count)
{
	return slot->phase != MIRROR_FREE && slot->operation == MIRROR_WRITE &&
	       ranges_overlap(slot->sector, slot->sector_count, sector, sector_count);
}

int mirror_set_lock(struct mirror_set *set, uint64_t sector, uint64_t sector_count, uint64_t number)
{
	for (uint32_t i = 0; i < set->slots_end; i++)
		if (is_write_to(&set->slots[i], sector, sector_count) && set->slots[i].number > number &&
		    set->slots[i].phase != MIRROR_QUEUED)
			return -ESTALE;
	for (int lock = 0; lock < MIRROR_LOCK_MAX; lock++) {
		if (set->locks[lock].sector_count != 0)
			continue;
		set->locks[lock] = (struct mirror_lock){ .sector = sector,
							 .sector_count = sector_count,
							 .number = number };
		return lock;
	}
	return -ENOSPC;
}

bool mirror_set_lock_holds(const struct mirror_set *set, int index)
{
	const struct mirror_lock *lock = &set->locks[index];

	ASSERT(index >= 0);
	ASSERT(index < MIRROR_LOCK_MAX);
	if (lock->number > set->last_number)
		return false;
	for (uint32_t i = 0; i < set->slots_end; i++)
		if (is_write_to(&set->slots[i], lock->sector, lock->sector_count) &&
		    set->slots[i].number <= lock->number && set->slots[i].phase < MIRROR_ENDING)
			return false;
	return true;
}

void mirror_set_unlock(struct mirror_set *set, int lock)
{
	ASSERT(lock >= 0);
	ASSERT(lock < MIRROR_LOCK_MAX);
	set->locks[lock].sector_count = 0;
}

/* Over the link the peer gets a write when it begins here, not before. */
bool mirror_set_has_all(const struct mirror_set *set, uint64_t number)
{
	if (number > set->last_number)
		return false;
	for (uint32_t i = 0; i < set->slots_end; i++)
		if (set->slots[i].operation == MIRROR_WRITE && set->slots[i].number <= number &&
		    ((set->slots[i].phase == MIRROR_QUEUED && set->mode != MIRROR_SOURCE) ||
		     (set->slots[i].phase == MIRROR_RUNNING && (set->slots[i].waits & SIDE_BIT(MIRROR_OWN)))))
			return false;
	return true;
}

int mirror_set_may_read(const struct mirror_set *set, uint64_t sector, uint64_t sector_count, uint64_t number)
{
	if (set->mode != MIRROR_DUPLEX || !mirror_set_has_all(set, number - 1))
		return -EAGAIN;
	for (uint32_t i = 0; i < set->slots_end; i++) {
		const struct mirror_slot *slot = &set->slots[i];

		if (slot->phase != MIRROR_FREE && slot->phase != MIRROR_QUEUED &&
		    slot->operation == MIRROR_WRITE && slot->number > number &&
		    ranges_overlap(slot->sector, slot->sector_count, sector, sector_count))
			return -ESTALE;
	}
	return 0;
}

void mirror_set_round_begin(struct mirror_set *set, uint64_t now_ns)
{
	intent_round_begin(&set->intent, now_ns);
	for (uint32_t i = 0; i < set->slots_end; i++) {
		const struct mirror_slot *slot = &set->slots[i];

		if (slot->phase != MIRROR_FREE && slot->operation == MIRROR_WRITE)
			intent_touch(&set->intent, first_region(slot), region_count(slot));
	}
}

/* ---- console ---- */

static const char *refusal_fail(const struct mirror_set *set, enum mirror_side side)
{
	if (set->states[side] == MIRROR_FAILED || set->states[side] == MIRROR_MISSING)
		return "this disk is out of the set already";
	if (mirror_set_is_last(set, side))
		return "this is the last good copy: bring the other disk up to date first";
	return NULL;
}

static const char *refusal_remirror(const struct mirror_set *set, enum mirror_side side)
{
	enum mirror_side source = 1 - side;

	switch (set->states[side]) {
	case MIRROR_GOOD:
		return set->states[source] == MIRROR_GOOD
			       ? "this disk is good: there is nothing to copy"
			       : "wrong direction: this disk is good and the other is not; name the other one";
	case MIRROR_REMIRRORING:
		return "this disk is being remirrored already";
	case MIRROR_MISSING:
		return "this disk is not there";
	case MIRROR_FAILED:
		return "this disk has failed: replace it, or `disk enable` it first";
	default:
		break;
	}
	if (set->states[source] != MIRROR_GOOD)
		return "the other disk is not good either: stop the guest on both servers, then say it again";
	return set->mode == MIRROR_SOURCE || set->mode == MIRROR_DUPLEX || set->mode == MIRROR_TARGET
		       ? NULL
		       : "the other server is not there";
}

const char *mirror_set_refusal(const struct mirror_set *set, enum mirror_command command,
			       enum mirror_side side)
{
	switch (command) {
	case MIRROR_COMMAND_FAIL:
		return refusal_fail(set, side);
	case MIRROR_COMMAND_ENABLE:
		if (set->states[side] == MIRROR_MISSING)
			return "this disk is not there";
		return set->states[side] == MIRROR_FAILED
			       ? NULL
			       : "this disk has not failed, nor has it faults on record: nothing to enable";
	case MIRROR_COMMAND_REMIRROR:
		return refusal_remirror(set, side);
	case MIRROR_COMMAND_VERIFY:
		if (set->states[MIRROR_OWN] != MIRROR_GOOD || set->states[MIRROR_PEER] != MIRROR_GOOD)
			return "only two good disks can be compared";
		return set->mode == MIRROR_DUPLEX ? NULL : "only in duplex can the disks be compared";
	default:
		return "no such command";
	}
}
