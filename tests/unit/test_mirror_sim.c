/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mirror by itself under faults that one seed decides: two servers with a disk
 * that has a volatile cache, a state partition whose writes tear, requests of one
 * guest, crashes of one or both at any step, I/O errors, sectors that cannot be read.
 *
 * Checked from outside: after healing both raw disks are equal; every sector holds at
 * least the newest version that a flush, acknowledged to the guest, covered; a survivor
 * lacks nothing of what its guest was told; the direction of a copy is never wrong.
 *
 *     test_mirror_sim [SEED [COUNT]]
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mirror/remirror.h"

#define REGIONS 12
#define SECTORS (REGIONS * MIRROR_REGION_SECTORS - 3)
#define STEPS 1500
#define HEAL_STEPS 30000
#define REQUEST_MAX 4096
#define IO_MAX 160
#define MS UINT64_C(1000000)
#define STEP_NS (200 * MS)
#define DELICATE_NS (5 * STEP_NS)

struct io {
	bool used;
	bool link; /* over the link: for the peer's disk */
	uint32_t slot;
	uint8_t operation;
	uint64_t sector;
	uint32_t count;
	uint64_t request;
};

struct request {
	uint8_t operation;
	uint64_t sector;
	uint32_t count;
	uint64_t version;
	bool finished;	       /* on who leads */
	uint64_t submitted_at; /* on who leads, in events */
	uint64_t finished_at;
};

struct offer {
	bool used;
	uint64_t region;
	int64_t stamp; /* -1: not locked yet */
	int lock;
};

struct server {
	/* kept */
	uint64_t stable[SECTORS];
	bool unreadable[SECTORS];
	uint8_t maps[2][REGION_MAP_BLOCK_SIZE];
	uint8_t state[METADATA_COPY_COUNT][METADATA_SIZE];
	/* lost with the power */
	bool runs;
	uint64_t now[SECTORS]; /* what reads see */
	bool dead_disk;
	struct metadata metadata;
	struct mirror_set set;
	struct remirror remirror;
	uint64_t submitted; /* DUPLEX: requests taken from the stream */
	struct io ios[IO_MAX];
	bool map_busy[2];
	uint8_t map_bytes[2][REGION_MAP_BLOCK_SIZE];
	bool persisting;
	bool in_round;
	struct offer offers[4];
	_Alignas(8) uint8_t memory[3][32768];
};

static struct server servers[2];
static struct request requests[REQUEST_MAX];
static uint64_t request_count;
static uint64_t logged; /* requests that the follower's log holds */
static uint64_t version;
static uint64_t events;
static uint64_t safe[SECTORS]; /* flushed, and the guest was told */
static uint64_t told[SECTORS]; /* the guest was told */
static int leader;	       /* -1: nobody runs the guest */
static uint64_t now_ns;
static uint64_t delicate_until_ns;
static uint64_t random_state;
static uint64_t seed;
static bool healing;
static bool slow_disks;
static uint64_t crashes;
static uint64_t remirrors;
static uint64_t remirror_regions;
static uint64_t takeovers;
static uint64_t repairs;

static uint64_t random_below(uint64_t limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (random_state >> 11) % limit;
}

static void violation(const char *what, uint64_t where)
{
	fail_msg("seed %lu: %s (%lu); alone: build/host/test_mirror_sim %lu", seed, what, where, seed);
}

/* ---- the state partition ---- */

static void state_write(struct server *server, bool torn)
{
	uint64_t copy;
	uint64_t size = torn ? random_below(METADATA_SIZE / 512) * 512 : METADATA_SIZE;

	server->metadata.sets[0].disk_states[server->metadata.server] = server->set.states[MIRROR_OWN];
	server->metadata.sets[0].disk_states[1 - server->metadata.server] = server->set.states[MIRROR_PEER];
	copy = metadata_seal(&server->metadata) / METADATA_COPY_DISTANCE;
	memcpy(server->state[copy], &server->metadata, size);
}

static void state_read(struct server *server, uint32_t index)
{
	const uint8_t *copies[2] = { server->state[0], server->state[1] };
	struct metadata_choice choice;

	metadata_choose(copies, 77, index, &server->metadata, &choice);
	if (choice.verdict != METADATA_GOOD)
		violation(choice.reason, index);
}

static void era_begin(struct server *server, uint64_t generation, uint64_t token, bool alone)
{
	metadata_era_begin(&server->metadata, &(struct metadata_era){ .generation = generation,
								      .token = token,
								      .alone = alone,
								      .changed = alone,
								      .server = server->metadata.server });
	server->metadata.pair.generation = generation;
}

/* ---- power ---- */

static void power_off(int index)
{
	struct server *server = &servers[index];

	if (!server->runs)
		return;
	crashes++;
	for (uint32_t i = 0; i < IO_MAX; i++) {
		const struct io *io = &server->ios[i];

		if (!io->used || io->link || io->operation != MIRROR_WRITE ||
		    server->set.slots[io->slot].phase == MIRROR_REPAIR_WRITE)
			continue;
		/* Under way: each sector the old one or the new one. */
		for (uint64_t s = io->sector; s < io->sector + io->count; s++)
			if (random_below(2))
				server->now[s] = requests[io->request].version;
	}
	for (uint64_t s = 0; s < SECTORS; s++)
		if (random_below(2))
			server->stable[s] = server->now[s];
	for (uint32_t m = 0; m < 2; m++)
		for (uint64_t i = 0; server->map_busy[m] && i < 8; i++)
			if (random_below(2))
				memcpy(server->maps[m] + i * 512, server->map_bytes[m] + i * 512, 512);
	if (server->persisting || random_below(4) == 0)
		state_write(server, true);
	server->runs = false;
}

static void round_give_up(struct server *server)
{
	if (server->set.intent.in_round)
		intent_round_abort(&server->set.intent, now_ns);
	server->in_round = false;
}

/* The peer of `index` has gone; if `index` has the guest, or had it in duplex, it goes on alone. */
static void peer_gone(int index)
{
	struct server *server = &servers[index];
	bool was_follower = server->set.mode == MIRROR_DUPLEX && leader != index;

	round_give_up(server);
	remirror_stop(&server->remirror);
	memset(server->offers, 0, sizeof(server->offers));
	if (server->set.mode == MIRROR_TARGET ||
	    (was_follower && server->set.states[MIRROR_OWN] != MIRROR_GOOD)) {
		/* It has no whole disk: nobody goes on. */
		server->runs = false;
		memcpy(server->stable, server->now, sizeof(server->stable));
		leader = -1;
		return;
	}
	if (server->set.states[MIRROR_OWN] != MIRROR_GOOD) {
		power_off(index);
		leader = -1;
		return;
	}
	if (was_follower) {
		/* To the end of its log, and then other requests than the leader's. */
		takeovers++;
		delicate_until_ns = now_ns + DELICATE_NS;
		leader = index;
		request_count = logged;
		for (uint64_t i = 0; i < request_count; i++)
			requests[i].finished = requests[i].finished && i < server->submitted;
	}
	for (uint32_t i = 0; i < IO_MAX; i++)
		if (server->ios[i].link)
			server->ios[i].used = false;
	/* Durable before anything is let out. */
	era_begin(server, server->metadata.pair.generation + 1, random_below(UINT64_MAX), true);
	server->metadata.pair.was_leader = 1;
	mirror_set_mode(&server->set, MIRROR_ALONE);
	state_write(server, false);
}

static void crash(int index)
{
	if (!servers[index].runs)
		return;
	power_off(index);
	if (leader == index)
		leader = servers[1 - index].runs ? index : -1;
	if (servers[1 - index].runs)
		peer_gone(1 - index);
	else
		leader = -1;
}

static void power_on(int index)
{
	struct server *server = &servers[index];
	struct mirror_set_memory memory = { server->memory[0], server->memory[1] };
	const struct metadata_set *set;

	state_read(server, (uint32_t)index);
	set = &server->metadata.sets[0];
	memcpy(server->now, server->stable, sizeof(server->now));
	memset(server->ios, 0, sizeof(server->ios));
	memset(server->map_busy, 0, sizeof(server->map_busy));
	memset(server->offers, 0, sizeof(server->offers));
	server->persisting = false;
	server->in_round = false;
	server->runs = true;
	mirror_set_init(&server->set, set->identity, SECTORS, set->disk_states[index],
			set->disk_states[1 - index], &memory);
	if (server->set.states[MIRROR_OWN] == MIRROR_REMIRRORING)
		server->set.states[MIRROR_OWN] = MIRROR_OUTDATED;
	if (server->set.states[MIRROR_PEER] == MIRROR_REMIRRORING)
		server->set.states[MIRROR_PEER] = MIRROR_OUTDATED;
	region_map_load_block(&server->set.dirty, 0, server->maps[0]);
	region_map_load_block(&server->set.intent.map, 0, server->maps[1]);
	remirror_init(&server->remirror, SECTORS, server->memory[2]);
	/* So much that no bit is set ahead and every round clears: a bit too few shows. */
	server->set.intent.budget = INT64_MAX / 2;
}

/* Nobody has the guest: it boots from the disk of `index`. What is there is what there is. */
static void guest_boot(int index)
{
	struct server *server = &servers[index];

	leader = index;
	request_count = 0;
	logged = 0;
	server->submitted = 0;
	for (uint64_t s = 0; s < SECTORS; s++) {
		if (server->now[s] < safe[s])
			violation("a flushed write is lost, or the copy goes the wrong way", s);
		told[s] = server->now[s];
		safe[s] = server->now[s];
	}
	memcpy(server->stable, server->now, sizeof(server->now));
}

/* ---- meeting ---- */

static void meet(void)
{
	struct remirror_side sides[2] = { { &servers[0].metadata, 0, !servers[0].dead_disk },
					  { &servers[1].metadata, 0, !servers[1].dead_disk } };
	struct remirror_decision decision;
	struct server *source;
	struct server *target;

	for (int i = 0; i < 2; i++)
		for (int side = 0; side < 2; side++)
			servers[i].metadata.sets[0].disk_states[i ^ side] = servers[i].set.states[side];
	remirror_decide(sides, -1, &decision);
	if (decision.verdict == REMIRROR_SPLIT)
		violation("taken for a split", 0);
	if (decision.verdict == REMIRROR_NO_SOURCE)
		violation(decision.reason, decision.source);
	if (decision.verdict == REMIRROR_FULL)
		violation("a full copy where a rapid one is possible", 0);
	if (leader >= 0 && decision.source != (uint32_t)leader)
		violation("copy onto the disk of the running guest", decision.source);
	source = &servers[decision.source];
	target = &servers[1 - decision.source];
	source->set.states[MIRROR_PEER] = MIRROR_OUTDATED;
	target->set.states[MIRROR_PEER] = MIRROR_GOOD;
	target->set.states[MIRROR_OWN] = MIRROR_OUTDATED;
	if (leader < 0)
		guest_boot((int)decision.source);
	mirror_set_mode(&source->set, MIRROR_SOURCE);
	mirror_set_mode(&target->set, MIRROR_TARGET);
	mirror_set_change(&source->set, MIRROR_PEER, MIRROR_COPY_BEGIN);
	mirror_set_change(&target->set, MIRROR_OWN, MIRROR_COPY_BEGIN);
	state_write(target, false);
	remirror_add(&source->remirror, &source->set, &source->set.intent.map, true);
	remirror_add(&source->remirror, &source->set, &target->set.intent.map, true);
	remirror_add(&source->remirror, &source->set, &target->set.dirty, false);
	remirror_begin(&source->remirror, &source->set, false, now_ns);
	remirrors++;
	remirror_regions += source->set.dirty.set_count;
}

static bool is_quiet(const struct server *server)
{
	for (uint32_t i = 0; i < MIRROR_SLOT_MAX; i++)
		if (server->set.slots[i].phase != MIRROR_FREE)
			return false;
	return true;
}

/* Both disks are good, no request is under way: the peer's replica starts. */
static void join(void)
{
	struct server *source = &servers[leader];
	struct server *target = &servers[1 - leader];
	uint64_t token = random_below(UINT64_MAX);

	if (source->set.states[MIRROR_PEER] != MIRROR_GOOD || target->set.states[MIRROR_OWN] != MIRROR_GOOD ||
	    source->remirror.phase != REMIRROR_IDLE || !is_quiet(source) || !is_quiet(target) ||
	    source->in_round || source->submitted < request_count)
		return;
	/* What the target no longer lacks by itself. */
	for (uint64_t r = 0; r < REGIONS; r++)
		region_map_clear(&target->set.dirty, r);
	for (int i = 0; i < 2; i++) {
		uint32_t count = source->metadata.era_count;
		struct server *server = &servers[i];

		if (server == target) {
			memcpy(server->metadata.history, source->metadata.history,
			       sizeof(source->metadata.history));
			server->metadata.era_count = count;
			server->metadata.pair.generation = source->metadata.pair.generation;
		}
	}
	for (int i = 0; i < 2; i++) {
		era_begin(&servers[i], servers[i].metadata.pair.generation, token, false);
		servers[i].metadata.pair.was_leader = i == leader;
		state_write(&servers[i], false);
	}
	mirror_set_join(&target->set, source->set.last_number);
	request_count = 0;
	logged = 0;
	source->submitted = 0;
	target->submitted = 0;
	mirror_set_mode(&source->set, MIRROR_DUPLEX);
	mirror_set_mode(&target->set, MIRROR_DUPLEX);
}

/* ---- requests ---- */

/* A replica makes a request when those that the leader's guest had heard of before have ended on it, too. */
static bool is_too_early(const struct server *server, const struct request *request)
{
	for (uint32_t i = 0; i < MIRROR_SLOT_MAX; i++) {
		const struct mirror_slot *slot = &server->set.slots[i];

		if (slot->phase != MIRROR_FREE && slot->phase != MIRROR_WATCHED &&
		    requests[slot->tag].finished && requests[slot->tag].finished_at < request->submitted_at)
			return true;
	}
	return false;
}

static void submit(int index)
{
	struct server *server = &servers[index];
	struct request *request = &requests[server->submitted];

	if (server->submitted == request_count) {
		uint64_t kind = random_below(10);

		request->submitted_at = ++events;
		/* After a take-over the guest's past has not yet ended on this disk. */
		if (is_too_early(server, request))
			return;
		if (request_count == REQUEST_MAX - 1)
			return;
		request->operation = kind < 7 ? MIRROR_WRITE : kind < 8 ? MIRROR_READ : MIRROR_FLUSH;
		request->count = 1 + (uint32_t)random_below(20);
		/* Mostly in one place that moves on: else every region is always dirty. */
		request->sector = random_below(SECTORS - request->count);
		if (random_below(20))
			request->sector =
				(version / 40 * 150 + random_below(100)) % (SECTORS - request->count);
		request->version = ++version;
		request->finished = false;
	} else if (is_too_early(server, request)) {
		return;
	}
	if (mirror_set_submit(&server->set, request->operation, request->sector, request->count,
			      server->submitted, now_ns) < 0)
		return;
	if (server->submitted++ == request_count)
		request_count++;
}

static bool is_unreadable(const struct server *server, const struct request *request)
{
	for (uint64_t s = request->sector; s < request->sector + request->count; s++)
		if (server->unreadable[s])
			return true;
	return false;
}

/* A read error where no other copy is left is the guest's to know. */
static bool is_lost_everywhere(int index, const struct request *request)
{
	return request->operation == MIRROR_READ && is_unreadable(&servers[index], request) &&
	       (servers[index].set.mode == MIRROR_ALONE ||
		servers[index].set.states[MIRROR_PEER] != MIRROR_GOOD ||
		is_unreadable(&servers[1 - index], request));
}

/* The guest is told. A flush makes safe what it was told before. */
static void finished(int index, const struct mirror_action *action)
{
	struct server *server = &servers[index];
	struct request *request = &requests[action->tag];

	if (action->status != 0 && !is_lost_everywhere(index, request))
		violation("the guest gets an error though a good copy is there", action->tag);
	if (index != leader || server->set.mode == MIRROR_TARGET || request->finished)
		return;
	request->finished = true;
	request->finished_at = ++events;
	/* Output commit: nobody hears of it before the follower has the log so far. */
	if (server->set.mode == MIRROR_DUPLEX)
		logged = max_u64(logged, action->tag + 1);
	if (request->operation == MIRROR_WRITE)
		for (uint64_t s = request->sector; s < request->sector + request->count; s++)
			told[s] = max_u64(told[s], request->version);
	else if (request->operation == MIRROR_FLUSH)
		for (uint64_t i = 0; i < action->tag; i++)
			for (uint64_t s = requests[i].sector;
			     requests[i].finished && requests[i].operation == MIRROR_WRITE &&
			     requests[i].finished_at < request->submitted_at &&
			     s < requests[i].sector + requests[i].count;
			     s++)
				safe[s] = max_u64(safe[s], requests[i].version);
}

static void io_put(struct server *server, const struct mirror_action *action)
{
	for (uint32_t i = 0; i < IO_MAX; i++)
		if (!server->ios[i].used) {
			server->ios[i] = (struct io){ .used = true,
						      .link = action->kind == MIRROR_ACTION_PEER,
						      .slot = action->slot,
						      .operation = action->operation,
						      .sector = action->sector,
						      .count = action->sector_count,
						      .request = action->tag };
			return;
		}
	violation("too much under way", 0);
}

static const enum mirror_change change_of[MIRROR_DISK_STATE_COUNT] = {
	[MIRROR_MISSING] = MIRROR_GONE,		  [MIRROR_GOOD] = MIRROR_COPY_END,
	[MIRROR_FAILED] = MIRROR_FAULT,		  [MIRROR_OUTDATED] = MIRROR_COPY_BROKEN,
	[MIRROR_REMIRRORING] = MIRROR_COPY_BEGIN,
};

static void pump(int index)
{
	struct server *server = &servers[index];
	struct server *peer = &servers[1 - index];
	struct mirror_action action;

	while (mirror_set_take(&server->set, &action, now_ns)) {
		switch (action.kind) {
		case MIRROR_ACTION_OWN:
		case MIRROR_ACTION_PEER:
			io_put(server, &action);
			break;
		case MIRROR_ACTION_PERSIST:
			server->persisting = true;
			break;
		case MIRROR_ACTION_FINISHED:
			finished(index, &action);
			mirror_set_release(&server->set, action.slot);
			break;
		case MIRROR_ACTION_STATE:
			if (peer->runs && server->set.mode != MIRROR_ALONE)
				/* What it is by now: of two messages that cross, neither is to undo the
				 * other. */
				mirror_set_change(&peer->set, 1 - action.side,
						  change_of[server->set.states[action.side]]);
			break;
		case MIRROR_ACTION_REPAIRED:
			repairs++;
			break;
		default:
			break;
		}
	}
}

/* What a read finds must be no older than what the guest wrote before it and was told of. */
static void check_read(const struct server *server, const struct io *io, uint64_t sector)
{
	for (uint64_t i = 0; i < io->request; i++) {
		const struct request *request = &requests[i];

		if (request->finished && request->operation == MIRROR_WRITE && sector >= request->sector &&
		    sector < request->sector + request->count && server->now[sector] < request->version)
			violation("the guest reads what was written over", sector);
	}
}

static int disk_do(struct server *server, const struct io *io)
{
	if (server->dead_disk)
		return -5;
	for (uint64_t s = io->sector; s < io->sector + io->count; s++) {
		if (io->operation == MIRROR_READ && server->unreadable[s])
			return -5;
		if (io->operation == MIRROR_READ)
			check_read(server, io, s);
		if (io->operation != MIRROR_WRITE)
			continue;
		server->unreadable[s] = false;
		server->now[s] = requests[io->request].version;
	}
	if (io->operation == MIRROR_FLUSH)
		memcpy(server->stable, server->now, sizeof(server->now));
	return 0;
}

/* A repair writes what the peer has. */
static int repair_do(struct server *server, const struct server *peer, const struct io *io)
{
	if (server->dead_disk)
		return -5;
	for (uint64_t s = io->sector; s < io->sector + io->count; s++) {
		server->unreadable[s] = false;
		if (peer->runs && server->set.states[MIRROR_PEER] == MIRROR_GOOD)
			server->now[s] = max_u64(peer->now[s], server->now[s]);
	}
	return 0;
}

static void map_step(struct server *server);

static void io_end(int index)
{
	struct server *server = &servers[index];
	struct server *peer = &servers[1 - index];
	struct io *io = &server->ios[random_below(IO_MAX)];
	struct io done;
	int slot;

	for (uint32_t i = 0; i < IO_MAX && !io->used; i++)
		io = io == &server->ios[IO_MAX - 1] ? server->ios : io + 1;
	if (!io->used)
		return;
	if (!io->link) {
		bool repair = server->set.slots[io->slot].phase == MIRROR_REPAIR_WRITE;

		done = *io;
		io->used = false;
		mirror_set_done(&server->set, done.slot, MIRROR_OWN,
				repair ? repair_do(server, peer, &done) : disk_do(server, &done));
		return;
	}
	/* The link is in order: the oldest first. */
	for (uint32_t i = 0; i < IO_MAX; i++)
		if (server->ios[i].used && server->ios[i].link &&
		    server->set.slots[server->ios[i].slot].number < server->set.slots[io->slot].number)
			io = &server->ios[i];
	done = *io;
	if (done.operation == MIRROR_READ) {
		/* As of this request: a follower reads when it has come so far. */
		if (server->set.mode == MIRROR_DUPLEX && index == leader &&
		    !mirror_set_has_all(&peer->set, server->set.slots[done.slot].number - 1))
			return;
		io->used = false;
		mirror_set_done(&server->set, done.slot, MIRROR_PEER, disk_do(peer, &done));
		return;
	}
	if (peer->set.mode != MIRROR_TARGET)
		return;
	slot = mirror_set_submit(&peer->set, done.operation, done.sector,
				 done.operation == MIRROR_FLUSH ? 1 : done.count, done.request, now_ns);
	if (slot < 0)
		return;
	/* The target's disk does it, in its turn; here it is waited for. */
	io->used = false;
	for (uint32_t i = 0; i < 200 && peer->set.slots[slot].phase != MIRROR_FREE; i++) {
		if (peer->set.slots[slot].phase == MIRROR_QUEUED) {
			for (uint32_t o = 0; o < ARRAY_SIZE(peer->offers); o++)
				if (peer->offers[o].used && peer->offers[o].lock >= 0) {
					mirror_set_unlock(&peer->set, peer->offers[o].lock);
					peer->offers[o].lock = -1;
					peer->offers[o].stamp = -1;
				}
		}
		pump(1 - index);
		io_end(1 - index);
		map_step(peer); /* a whole disk's server remembers what it writes */
		if (peer->persisting) {
			state_write(peer, false);
			peer->persisting = false;
			mirror_set_persisted(&peer->set);
		}
	}
	if (server->set.states[MIRROR_PEER] == MIRROR_REMIRRORING ||
	    server->set.states[MIRROR_PEER] == MIRROR_GOOD)
		mirror_set_done(&server->set, done.slot, MIRROR_PEER, peer->dead_disk ? -5 : 0);
}

/* ---- copying ---- */

static void copy_step(int index)
{
	struct server *source = &servers[index];
	struct server *target = &servers[1 - index];
	struct offer *offer = &target->offers[random_below(ARRAY_SIZE(target->offers))];
	uint64_t first;
	uint64_t count;
	bool compare;

	if (!target->runs || source->set.mode != MIRROR_SOURCE)
		return;
	remirror_step(&source->remirror, &source->set);
	if (source->remirror.phase >= REMIRROR_TURNING)
		delicate_until_ns = now_ns + DELICATE_NS;
	if (source->remirror.phase != REMIRROR_COPYING)
		return;
	if (!offer->used) {
		int64_t region = remirror_take(&source->remirror, &source->set, now_ns, &compare);

		if (region >= 0)
			*offer = (struct offer){
				.used = true, .region = (uint64_t)region, .stamp = -1, .lock = -1
			};
		return;
	}
	first = offer->region * MIRROR_REGION_SECTORS;
	count = min_u64(MIRROR_REGION_SECTORS, SECTORS - first);
	if (offer->stamp < 0) {
		offer->lock = mirror_set_lock(&target->set, first, count, target->set.last_number);
		/* The target numbers what was forwarded; all of that is on the source or under way there. */
		offer->stamp = offer->lock >= 0 ? (int64_t)source->set.last_number : -1;
		return;
	}
	if (!mirror_set_has_all(&source->set, (uint64_t)offer->stamp))
		return;
	for (uint64_t s = first; s < first + count && !target->dead_disk; s++) {
		target->now[s] = source->now[s];
		target->unreadable[s] = false;
	}
	mirror_set_unlock(&target->set, offer->lock);
	remirror_copied(&source->remirror, offer->region, count * 512);
	offer->used = false;
}

static void rounds(int index)
{
	struct server *server = &servers[index];
	struct server *peer = &servers[1 - index];

	if (server->set.mode != MIRROR_SOURCE && server->set.mode != MIRROR_DUPLEX)
		return;
	if (!server->in_round) {
		if (server->set.mode == MIRROR_SOURCE &&
		    remirror_round_is_due(&server->remirror, &server->set))
			remirror_round_begin(&server->remirror, &server->set, now_ns);
		else if (server->set.mode == MIRROR_DUPLEX &&
			 intent_round_is_due(&server->set.intent, now_ns) &&
			 server->set.peer_done == server->set.last_number &&
			 mirror_set_progress(&peer->set) == server->set.last_number)
			mirror_set_round_begin(&server->set, now_ns);
		else
			return;
		server->in_round = true;
		return;
	}
	if (!server->set.intent.in_round || random_below(3))
		return;
	server->in_round = false;
	memcpy(server->stable, server->now, sizeof(server->now));
	memcpy(peer->stable, peer->now, sizeof(peer->now));
	if (server->set.mode == MIRROR_SOURCE)
		remirror_round_end(&server->remirror, &server->set, now_ns);
	else
		intent_round_end(&server->set.intent, now_ns);
}

static void map_step(struct server *server)
{
	uint32_t m = (uint32_t)random_below(2);
	struct region_map *map = m ? &server->set.intent.map : &server->set.dirty;

	if (!server->map_busy[m]) {
		server->map_busy[m] = region_map_take_block(map, server->map_bytes[m]) == 0;
		return;
	}
	server->map_busy[m] = false;
	if (!healing && random_below(10) == 0) {
		for (uint64_t i = 0; i < 8; i++)
			if (random_below(2))
				memcpy(server->maps[m] + i * 512, server->map_bytes[m] + i * 512, 512);
		region_map_block_written(map, 0, server->map_bytes[m], false);
		return;
	}
	memcpy(server->maps[m], server->map_bytes[m], REGION_MAP_BLOCK_SIZE);
	region_map_block_written(map, 0, server->map_bytes[m], true);
}

/* ---- one seed ---- */

/* The moments in which mirrors have been lost: just after a take-over, and at the end of a copy. */
static bool is_delicate(void)
{
	return now_ns < delicate_until_ns;
}

static void faults(void)
{
	struct server *server = &servers[random_below(2)];
	uint64_t what = random_below(is_delicate() ? 60 : 800);

	if (what < 3)
		crash((int)(server - servers));
	else if (what == 3) {
		crash(0);
		crash(1);
	} else if (what < 9 && server->runs && server->set.mode == MIRROR_DUPLEX)
		server->unreadable[random_below(SECTORS)] = true;
}

/* Who may start without the other: the one whose state says that it ran alone. */
static void starts(void)
{
	for (int i = 0; i < 2; i++) {
		struct server *server = &servers[i];

		if (server->runs || random_below(healing ? 5 : 100))
			continue;
		power_on(i);
		if (servers[1 - i].runs) {
			meet();
		} else if (metadata_era_now(&server->metadata)->alone &&
			   server->set.states[MIRROR_OWN] == MIRROR_GOOD) {
			guest_boot(i);
			era_begin(server, server->metadata.pair.generation + 1, random_below(UINT64_MAX),
				  true);
			mirror_set_mode(&server->set, MIRROR_ALONE);
			state_write(server, false);
		} else {
			/* Waits for the peer: comes when that one does. */
			server->runs = false;
			if (!servers[1 - i].runs && random_below(2)) {
				power_on(0);
				power_on(1);
				meet();
			}
		}
	}
}

static void step(bool submitting)
{
	now_ns += STEP_NS;
	starts();
	for (int i = 0; i < 2; i++) {
		struct server *server = &servers[i];

		if (!server->runs)
			continue;
		if (submitting && i == leader && random_below(3) == 0)
			submit(i);
		if (i == leader && server->submitted < request_count && server->set.mode != MIRROR_DUPLEX)
			submit(i); /* after a take-over: the rest of its log */
		if (server->set.mode == MIRROR_DUPLEX && i != leader) {
			if (logged < request_count && random_below(3) == 0)
				logged++;
			if (server->submitted < logged && random_below(2))
				submit(i);
		}
		pump(i);
		/* Slow disks do hardly more than is asked for: much is under way when a server dies. */
		if (!slow_disks || random_below(2))
			io_end(i);
		if (!slow_disks)
			io_end(i);
		if (!server->runs)
			continue;
		map_step(server);
		if (server->persisting && random_below(2)) {
			state_write(server, false);
			server->persisting = false;
			mirror_set_persisted(&server->set);
		}
		if (server->set.mode == MIRROR_DUPLEX)
			mirror_set_peer_progress(&server->set, mirror_set_progress(&servers[1 - i].set));
		pump(i);
		if (i == leader) {
			copy_step(i);
			copy_step(i);
			if (server->set.mode == MIRROR_SOURCE)
				join();
		}
		rounds(i);
	}
}

static void check_survivor(void)
{
	const struct server *server = &servers[leader];

	for (uint64_t s = 0; s < SECTORS; s++)
		if (server->now[s] < told[s] && server->set.states[MIRROR_OWN] == MIRROR_GOOD &&
		    server->submitted >= request_count && is_quiet(server))
			violation("the guest was told of a write that is not there", s);
}

static void seed_begin(uint64_t number)
{
	memset(servers, 0, sizeof(servers));
	memset(safe, 0, sizeof(safe));
	memset(told, 0, sizeof(told));
	seed = number;
	random_state = (number + 1) * UINT64_C(0x9e3779b97f4a7c15);
	version = 0;
	now_ns = 0;
	delicate_until_ns = 0;
	leader = -1;
	request_count = 0;
	healing = false;
	slow_disks = random_below(2);
	for (uint32_t i = 0; i < 2; i++) {
		struct server *server = &servers[i];
		struct mirror_set_memory memory = { server->memory[0], server->memory[1] };

		metadata_init(&server->metadata, 77, i);
		assert_int_equal(metadata_set_add(&server->metadata, 5, SECTORS, 64 * MIB), 0);
		mirror_set_init(&server->set, 5, SECTORS, MIRROR_GOOD, MIRROR_GOOD, &memory);
		era_begin(server, 1, 1, false);
		server->metadata.pair.was_leader = i == 0;
		state_write(server, false);
		state_write(server, false);
		region_map_format(&server->set.dirty);
		region_map_format(&server->set.intent.map);
		region_map_take_block(&server->set.dirty, server->maps[0]);
		region_map_take_block(&server->set.intent.map, server->maps[1]);
	}
	power_on(0);
	power_on(1);
	meet();
}

static bool is_healed(void)
{
	return leader >= 0 && servers[0].runs && servers[1].runs && servers[0].set.mode == MIRROR_DUPLEX &&
	       is_quiet(&servers[0]) && is_quiet(&servers[1]) && servers[0].submitted == request_count &&
	       servers[1].submitted == request_count;
}

/* What a person wants to see of a seed that hangs. */
static void world_print(void)
{
	for (int i = 0; i < 2; i++) {
		const struct server *server = &servers[i];

		print_message(
			"%c%s: runs %d, mode %d, own %s, peer %s, submitted %lu of %lu, logged %lu, dirty %lu, "
			"intents %lu, remirror phase %d, copied %lu, offered %lu, round %d/%d, persist %d/%d\n",
			'a' + i, i == leader ? " leads" : "", server->runs, server->set.mode,
			mirror_disk_state_name(server->set.states[0]),
			mirror_disk_state_name(server->set.states[1]), server->submitted, request_count,
			logged, server->set.dirty.set_count, server->set.intent.map.set_count,
			server->remirror.phase, server->remirror.copied_count, server->remirror.in_flight,
			server->in_round, server->set.intent.in_round, server->persisting,
			server->set.persist_wanted);
		for (uint32_t s = 0; s < MIRROR_SLOT_MAX; s++)
			if (server->set.slots[s].phase != MIRROR_FREE)
				print_message(
					"  slot %u: number %lu, operation %u, phase %u, waits %u, issued %u\n",
					s, server->set.slots[s].number, server->set.slots[s].operation,
					server->set.slots[s].phase, server->set.slots[s].waits,
					server->set.slots[s].issued);
	}
}

static void run(uint64_t number)
{
	seed_begin(number);
	for (uint32_t i = 0; i < STEPS; i++) {
		faults();
		step(true);
		if (leader >= 0 && i % 50 == 0)
			check_survivor();
	}
	healing = true;
	for (uint32_t i = 0; i < HEAL_STEPS && !is_healed(); i++)
		step(false);
	if (!is_healed())
		world_print();
	if (!is_healed())
		violation("does not heal", 0);
	for (uint64_t s = 0; s < SECTORS; s++) {
		if (servers[0].now[s] != servers[1].now[s])
			violation("both disks are good, and differ", s);
		if (servers[0].now[s] < told[s])
			violation("a write is lost", s);
	}
}

static uint64_t first_seed = 1;
static uint64_t seed_count = 300;

static void nothing_is_lost_and_both_disks_end_equal(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < seed_count; i++)
		run(first_seed + i);
	print_message("%lu seeds: %lu crashes, %lu remirrors of %lu regions, %lu take-overs, %lu repairs\n",
		      seed_count, crashes, remirrors, remirror_regions, takeovers, repairs);
	if (seed_count >= 100) {
		assert_true(crashes > seed_count);
		assert_true(takeovers > seed_count / 4);
		assert_true(repairs > 0);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_lost_and_both_disks_end_equal),
	};

	if (argc > 1) {
		first_seed = strtoull(argv[1], NULL, 0);
		seed_count = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
