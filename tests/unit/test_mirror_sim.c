/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two mirror engines under faults that one seed decides: servers with a disk that has a
 * volatile cache, a state partition whose writes tear, a link with little room, requests
 * of one guest that runs on one server or on both; crashes of one or both at any step, a
 * link that is cut, replicas that diverge, I/O errors, sectors that cannot be read, disks
 * that die for good and are enabled again, flushes that fail on both. Now and then both disks
 * are compared meanwhile.
 *
 * Seeds of their own have a follower's disk that lies: sectors change that nobody wrote.
 *
 * What decides who runs the guest is lockstep's, and is played here by hand: nobody lets
 * anything out alone before that is durable, and who was in duplex never starts alone.
 *
 * Checked from outside: after healing both raw disks are equal; every sector holds at
 * least the newest version that a flush, acknowledged to the guest, covered; a survivor
 * lacks nothing of what its guest was told; both replicas read the same; the direction of
 * a copy is never wrong; no copy is a full one; no comparison finds a difference where no
 * disk lies, and after one that ended both disks are equal where one does.
 *
 *     test_mirror_sim [SEED [COUNT [ERRORS]]]     ERRORS: the Nth I/O fails, or its server dies at it,
 *                                                 for N up to that
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "include/random.h"
#include "mirror/engine.h"

#define REGIONS 12
#define SECTORS (REGIONS * MIRROR_REGION_SECTORS - 3)
#define PARTITION_SIZE (METADATA_MAPS_OFFSET + 4 * REGION_MAP_BLOCK_SIZE)
#define STEPS 1500
#define HEAL_STEPS 30000
#define REQUEST_MAX 4096
#define REQUEST_SECTORS_MAX 200
#define IO_MAX 256
#define INBOX_SIZE (256 * KIB)
#define MS UINT64_C(1000000)
#define STEP_NS (200 * MS)
#define DELICATE_NS (5 * STEP_NS)
#define PAIR 77

struct request {
	uint8_t operation;
	bool finished; /* on who leads */
	uint64_t sector;
	uint32_t count;
	uint64_t version;
	uint64_t submitted_at; /* on who leads, in events */
	uint64_t finished_at;
	int status;
};

struct server {
	/* kept */
	uint64_t stable[SECTORS];
	bool unreadable[SECTORS];
	bool dead_disk;
	uint8_t partition[PARTITION_SIZE];
	/* lost with the power */
	bool runs;
	uint64_t now[SECTORS]; /* what reads see */
	bool flush_fails;      /* the next one */
	struct mirror_engine engine;
	bool going_alone; /* the era is on its way to the partition */
	uint64_t alone_ticket;
	uint64_t submitted; /* requests taken from the stream */
	uint32_t io_count;
	struct mirror_engine_action ios[IO_MAX]; /* with the disk */
	bool writes_state;
	struct mirror_engine_action state; /* with the partition */
	uint8_t inbox[INBOX_SIZE];
	uint64_t inbox_size;
	uint64_t sent; /* bytes, since the link is up */
	uint64_t received;
	uint32_t held_count; /* follower: finished here, not yet in the log */
	uint32_t held[MIRROR_SLOT_MAX];
	bool hurt[REQUEST_MAX]; /* our disk failed it */
	uint64_t reads[REQUEST_MAX][REQUEST_SECTORS_MAX];
	_Alignas(8) uint8_t memory[65536];
	_Alignas(8) uint8_t buffers[MIRROR_ENGINE_BUFFER_COUNT * MIRROR_ENGINE_BUFFER_SIZE];
};

enum join_phase {
	JOIN_NONE,
	JOIN_SOURCE, /* the source's era is on its way, to its partition and to the target */
	JOIN_TOLD,
	JOIN_TARGET, /* the target's, to its partition */
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
static bool link_is_up;
static uint64_t link_cut_until_ns;
static enum join_phase join_phase;
static bool hurried;
static uint64_t join_ticket;
static uint64_t join_sent;
static uint64_t generation; /* the highest that was begun */
static uint64_t now_ns;
static uint64_t delicate_until_ns;
static uint64_t both_failed_until_ns; /* each had dropped its disk for the other one's */
static uint64_t random_state;
static uint64_t seed;
static bool lying;	   /* seeds of the disk that lies */
static bool intents_stuck; /* no block of the leader's write-intent map reaches its partition */
static bool healing;
static uint64_t healing_ns; /* since when */
static bool slow_disks;
static uint64_t io_done;    /* of disks and partitions, in this seed */
static uint64_t io_to_fail; /* 0: none */
static uint64_t io_to_crash;

static struct {
	uint64_t crashes, remirrors, copied, compared, takeovers, repairs, cuts, divergences, deaths, joins,
		joins_with_one, verifies, lies, mismatches;
} total;

static uint64_t random_below(uint64_t limit)
{
	return (random_next(&random_state) >> 11) % limit;
}

static void world_print(void);

static void violation(const char *what, uint64_t where)
{
	world_print();
	fail_msg("seed %lu (fail %lu, crash %lu): %s (%lu); alone: build/host/test_mirror_sim %lu", seed,
		 io_to_fail, io_to_crash, what, where, seed);
}

static struct mirror_set *set_of(struct server *server)
{
	return &server->engine.sets[0].set;
}

static enum mirror_disk_state own_state(struct server *server)
{
	return (enum mirror_disk_state)set_of(server)->states[MIRROR_OWN];
}

static bool is_duplex(const struct server *server)
{
	return server->engine.mode == MIRROR_DUPLEX;
}

static struct server *peer_of(struct server *server)
{
	return &servers[server == servers];
}

/* ---- the guest's data: the version of each sector stands for it ---- */

static uint64_t data_get(const struct server *server, const struct mirror_engine_action *action, uint64_t i)
{
	uint64_t value;

	if (action->buffer >= 0) {
		memcpy(&value,
		       server->buffers + (uint64_t)action->buffer * MIRROR_ENGINE_BUFFER_SIZE +
			       i * MIRROR_SECTOR_SIZE,
		       sizeof(value));
		return value;
	}
	/* What a repair writes is what was read over the link. */
	return requests[action->tag].operation == MIRROR_WRITE ? requests[action->tag].version
							       : server->reads[action->tag][i];
}

static void data_put(struct server *server, const struct mirror_engine_action *action, uint64_t i,
		     uint64_t value)
{
	if (action->buffer < 0)
		server->reads[action->tag][i] = value;
	else
		memcpy(server->buffers + (uint64_t)action->buffer * MIRROR_ENGINE_BUFFER_SIZE +
			       i * MIRROR_SECTOR_SIZE,
		       &value, sizeof(value));
}

/* ---- the state partition ---- */

/* Any of its sectors, or all. */
static void state_put(struct server *server, bool torn)
{
	const struct mirror_engine_action *state = &server->state;

	for (uint64_t at = 0; at < state->size; at += MIRROR_SECTOR_SIZE)
		if (!torn || random_below(2))
			memcpy(server->partition + state->offset + at, state->bytes + at, MIRROR_SECTOR_SIZE);
}

static void power_off(struct server *server);

/* Is it this one that fails? */
static bool io_fails(void)
{
	return ++io_done == io_to_fail;
}

static bool is_stuck(const struct server *server)
{
	return intents_stuck && server - servers == leader &&
	       server->state.offset == server->engine.metadata.sets[0].intent_map_offset;
}

static void state_step(struct server *server)
{
	bool fails;

	if (!server->writes_state || random_below(2))
		return;
	if (is_stuck(server)) {
		server->writes_state = false;
		mirror_engine_state_written(&server->engine, -EIO);
		return;
	}
	fails = io_fails() || (!healing && io_to_fail == 0 && random_below(20) == 0);
	state_put(server, fails);
	server->writes_state = false;
	mirror_engine_state_written(&server->engine, fails ? -EIO : 0);
}

/* ---- power, and who runs the guest ---- */

static void link_set(bool up)
{
	link_is_up = up;
	for (int i = 0; i < 2; i++) {
		servers[i].inbox_size = 0;
		servers[i].sent = servers[i].received = 0;
		if (servers[i].runs)
			mirror_engine_link(&servers[i].engine, up);
	}
	join_phase = JOIN_NONE;
}

static void disk_write(struct server *server, const struct mirror_engine_action *io, bool torn)
{
	for (uint64_t i = 0; i < io->sector_count; i++)
		if (!torn || random_below(2)) {
			server->now[io->sector + i] = data_get(server, io, i);
			server->unreadable[io->sector + i] = false;
		}
}

static void power_off(struct server *server)
{
	if (!server->runs)
		return;
	total.crashes++;
	for (uint32_t i = 0; i < server->io_count; i++)
		if (server->ios[i].operation == MIRROR_WRITE && !server->dead_disk)
			disk_write(server, &server->ios[i], true);
	for (uint64_t s = 0; s < SECTORS; s++)
		if (random_below(2))
			server->stable[s] = server->now[s];
	if (server->writes_state)
		state_put(server, true);
	server->runs = false;
}

static void era_begin(struct server *server, uint64_t token, bool alone, bool leads, uint64_t *ticket)
{
	const struct metadata_pair pair = { .generation = generation, .was_leader = leads };

	*ticket = mirror_engine_era_begin(&server->engine, &pair, token, alone, false);
}

static void go_alone(struct server *server)
{
	generation++;
	server->going_alone = true;
	era_begin(server, random_below(UINT64_MAX), true, true, &server->alone_ticket);
}

static void release_all(struct server *server)
{
	for (uint32_t i = 0; i < server->held_count; i++)
		mirror_engine_release(&server->engine, 0, server->held[i]);
	server->held_count = 0;
}

static void guest_is_gone(struct server *server)
{
	release_all(server);
	mirror_engine_mode(&server->engine, MIRROR_IDLE);
}

/* The rest of its log, and then other requests than the leader's. */
static void take_over(struct server *server)
{
	if (leader == server - servers)
		return;
	total.takeovers++;
	delicate_until_ns = now_ns + DELICATE_NS;
	leader = (int)(server - servers);
	request_count = logged;
	for (uint64_t i = 0; i < request_count; i++)
		requests[i].finished = requests[i].finished && i < server->submitted;
	release_all(server);
}

/* The peer is not to be reached any more, by whatever; `server` had the guest, alone or as one of two. */
static void peer_gone(struct server *server)
{
	bool runs_guest = leader == server - servers || is_duplex(server);

	if (!runs_guest || server->going_alone)
		return;
	if (own_state(server) != MIRROR_GOOD || server->dead_disk) {
		/* It has no whole disk: nobody goes on. */
		power_off(server);
		leader = -1;
		return;
	}
	if (is_duplex(server)) {
		take_over(server);
		go_alone(server);
	} else if (server->engine.mode == MIRROR_SOURCE) {
		go_alone(server); /* a join had begun */
	}
}

static void crash(struct server *server)
{
	struct server *peer = peer_of(server);
	bool peer_has_it = link_is_up && is_duplex(server) && is_duplex(peer) && !server->going_alone;

	if (!server->runs)
		return;
	power_off(server);
	if (link_is_up)
		link_set(false);
	if (!peer->runs || (leader == server - servers && !peer_has_it))
		leader = -1;
	if (peer->runs)
		peer_gone(peer);
}

static void power_on(struct server *server)
{
	const uint8_t *copies[METADATA_COPY_COUNT] = { server->partition,
						       server->partition + METADATA_COPY_DISTANCE };
	const struct mirror_engine_disk disk = { .serial = server == servers ? "A" : "B",
						 .sector_count = SECTORS };
	struct metadata_choice choice;
	uint64_t offset;

	memcpy(server->now, server->stable, sizeof(server->now));
	server->io_count = 0;
	server->writes_state = false;
	server->inbox_size = 0;
	server->held_count = 0;
	server->going_alone = false;
	server->flush_fails = false;
	server->runs = true;
	mirror_engine_init(&server->engine, (uint32_t)(server - servers), PARTITION_SIZE);
	mirror_engine_buffers(&server->engine, server->buffers);
	if (!mirror_engine_load(&server->engine, copies, &choice))
		violation(choice.reason, (uint64_t)(server - servers));
	mirror_engine_open(&server->engine, 0, &disk, 5, server->memory);
	for (uint64_t block = 0; mirror_engine_map_place(&server->engine, 0, block, &offset); block++)
		mirror_engine_map_load(&server->engine, 0, block, server->partition + offset);
	mirror_engine_tick(&server->engine, now_ns, 0);
	/* So much that no bit is set ahead and every round clears: a bit too few shows. */
	set_of(server)->intent.budget = INT64_MAX / 2;
}

/* Nobody has the guest: it boots from this disk. What is there is what there is. */
static void guest_boot(struct server *server)
{
	leader = (int)(server - servers);
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
	go_alone(server);
}

/* Alone means that it is durable. */
static void alone_step(struct server *server)
{
	if (!server->going_alone || !mirror_engine_is_durable(&server->engine, server->alone_ticket))
		return;
	server->going_alone = false;
	mirror_engine_mode(&server->engine, MIRROR_ALONE);
}

/* ---- joining ---- */

static bool is_quiet(struct server *server)
{
	for (uint32_t i = 0; i < MIRROR_SLOT_MAX; i++)
		if (set_of(server)->slots[i].phase != MIRROR_FREE)
			return false;
	return true;
}

static void decision_check(void)
{
	for (int i = 0; i < 2; i++) {
		const struct remirror_decision *decision = mirror_engine_decision(&servers[i].engine, 0);

		if (!decision)
			continue;
		if (decision->verdict == REMIRROR_SPLIT)
			violation("taken for a split", 0);
		if (decision->verdict == REMIRROR_FULL)
			violation("a full copy where a rapid one is possible", 0);
		if (decision->verdict == REMIRROR_NO_SOURCE && total.deaths == 0)
			violation(decision->reason, decision->source);
		if (leader >= 0 && !is_duplex(&servers[leader]) && decision->source != (uint32_t)leader &&
		    decision->verdict != REMIRROR_NO_SOURCE && servers[leader].engine.mode == MIRROR_SOURCE)
			violation("copy onto the disk of the running guest", decision->source);
	}
}

/*
 * Both are there, and nobody runs the guest: the one whose disk is right starts it. Where both
 * are, lockstep takes the higher generation: the other one may have said that it goes alone, and
 * no more.
 */
static void starts_together(void)
{
	const struct remirror_decision *decision = mirror_engine_decision(&servers[0].engine, 0);
	uint64_t generations[2] = { servers[0].engine.metadata.pair.generation,
				    servers[1].engine.metadata.pair.generation };
	uint32_t first;

	if (leader < 0 && link_is_up && decision && mirror_engine_decision(&servers[1].engine, 0) &&
	    decision->verdict != REMIRROR_NO_SOURCE) {
		first = decision->source;
		if (decision->verdict == REMIRROR_NOTHING && generations[0] != generations[1])
			first = generations[1] > generations[0];
		guest_boot(&servers[first]);
	}
}

static void duplex_begin(struct server *source, struct server *target)
{
	join_phase = JOIN_NONE;
	request_count = 0;
	logged = 0;
	source->submitted = 0;
	target->submitted = 0;
	memset(source->hurt, 0, sizeof(source->hurt));
	memset(target->hurt, 0, sizeof(target->hurt));
	mirror_engine_mode(&source->engine, MIRROR_DUPLEX);
	mirror_engine_mode(&target->engine, MIRROR_DUPLEX);
	total.joins++;
	total.joins_with_one += own_state(source) != MIRROR_GOOD || own_state(target) != MIRROR_GOOD;
}

static void join_step(void)
{
	struct server *source = &servers[leader];
	struct server *target = peer_of(source);

	/* For a while the servers would rather join than end a copy, and a join that has begun goes on. */
	if (join_phase == JOIN_NONE && random_below(100) == 0)
		hurried = !hurried;
	mirror_engine_want_join(&source->engine, hurried || join_phase != JOIN_NONE, 0);
	if (!link_is_up || source->engine.mode != MIRROR_SOURCE || target->engine.mode != MIRROR_TARGET ||
	    source->going_alone)
		return;
	if (join_phase == JOIN_NONE && mirror_engine_may_join(&source->engine)) {
		generation++;
		era_begin(source, random_below(UINT64_MAX), false, true, &join_ticket);
		join_phase = JOIN_SOURCE;
	} else if (join_phase == JOIN_SOURCE && mirror_engine_is_durable(&source->engine, join_ticket) &&
		   mirror_engine_era_is_told(&source->engine)) {
		join_sent = source->sent;
		join_phase = JOIN_TOLD;
	} else if (join_phase == JOIN_TOLD && target->received >= join_sent) {
		era_begin(target, 0, false, false, &join_ticket);
		join_phase = JOIN_TARGET;
	} else if (join_phase == JOIN_TARGET && mirror_engine_is_durable(&target->engine, join_ticket) &&
		   mirror_engine_may_join(&source->engine) && mirror_engine_may_join(&target->engine) &&
		   is_quiet(source) && is_quiet(target) && source->submitted == request_count) {
		duplex_begin(source, target);
	}
}

/* ---- requests ---- */

/* A replica makes a request when those that the leader's guest had heard of before have ended on it, too. */
static bool is_too_early(struct server *server, const struct request *request)
{
	for (uint32_t i = 0; i < MIRROR_SLOT_MAX; i++) {
		const struct mirror_slot *slot = &set_of(server)->slots[i];

		if (slot->phase != MIRROR_FREE && slot->phase < MIRROR_TRAILING && slot->tag < REQUEST_MAX &&
		    requests[slot->tag].finished && requests[slot->tag].finished_at < request->submitted_at)
			return true;
	}
	return false;
}

static void request_draw(struct request *request)
{
	uint64_t kind = random_below(10);

	request->operation = kind < 7 ? MIRROR_WRITE : kind < 9 ? MIRROR_READ : MIRROR_FLUSH;
	request->count = 1 + (uint32_t)random_below(random_below(30) ? 20 : REQUEST_SECTORS_MAX - 1);
	/* Mostly in one place that moves on: else every region is always dirty. */
	request->sector = random_below(SECTORS - request->count);
	if (random_below(20))
		request->sector = (version / 40 * 150 + random_below(100)) % (SECTORS - request->count);
	request->version = ++version;
	request->finished = false;
}

static void submit(struct server *server)
{
	struct request *request = &requests[server->submitted];
	bool is_new = server->submitted == request_count;

	if (is_new) {
		if (request_count == REQUEST_MAX - 1)
			return;
		request->submitted_at = ++events;
		/* After a take-over the guest's past has not yet ended on this disk. */
		if (is_too_early(server, request))
			return;
		request_draw(request);
	} else if (is_too_early(server, request)) {
		return;
	}
	server->hurt[server->submitted] = false;
	if (mirror_engine_submit(&server->engine, 0, (enum mirror_operation)request->operation,
				 request->sector, request->operation == MIRROR_FLUSH ? 0 : request->count,
				 server->submitted) < 0)
		return;
	server->submitted++;
	request_count += is_new;
}

/* An error where no other copy is left is the guest's to know. */
static bool may_fail(struct server *server, uint64_t tag)
{
	struct server *peer = peer_of(server);
	const struct request *request = &requests[tag];
	bool own_is_good = own_state(server) == MIRROR_GOOD && !server->hurt[tag];

	if (own_is_good)
		return false;
	/* Sectors have just been mended, or one disk was taken back, and the error is on its way. */
	if ((healing && now_ns < healing_ns + DELICATE_NS) || now_ns < both_failed_until_ns)
		return true;
	if (server->engine.mode == MIRROR_ALONE || !peer->runs || !link_is_up ||
	    set_of(server)->states[MIRROR_PEER] != MIRROR_GOOD || peer->dead_disk ||
	    own_state(peer) != MIRROR_GOOD)
		return true;
	for (uint64_t s = request->sector; s < request->sector + request->count; s++)
		if (peer->unreadable[s])
			return true;
	return io_to_fail != 0 || peer->hurt[tag];
}

/* What the guest is given must be no older than what it wrote before and was told of. */
static void check_read(const struct server *server, uint64_t tag)
{
	const struct request *read = &requests[tag];

	for (uint64_t i = 0; i < tag; i++) {
		const struct request *write = &requests[i];
		uint64_t first = max_u64(read->sector, write->sector);
		uint64_t end = min_u64(read->sector + read->count, write->sector + write->count);

		if (!write->finished || write->status != 0 || write->operation != MIRROR_WRITE)
			continue;
		for (uint64_t s = first; s < end; s++)
			if (server->reads[tag][s - read->sector] < write->version)
				violation("the guest reads what was written over", s);
	}
}

/* A flush makes safe what the guest was told before it. */
static void flush_finished(uint64_t tag)
{
	for (uint64_t i = 0; i < tag; i++) {
		const struct request *write = &requests[i];

		if (!write->finished || write->status != 0 || write->operation != MIRROR_WRITE ||
		    write->finished_at >= requests[tag].submitted_at)
			continue;
		for (uint64_t s = write->sector; s < write->sector + write->count; s++)
			safe[s] = max_u64(safe[s], write->version);
	}
}

/* On who leads: the guest is told. */
static void finished_first(struct server *server, uint64_t tag, int status)
{
	struct request *request = &requests[tag];

	request->finished = true;
	request->finished_at = ++events;
	request->status = status;
	/* Output commit: nobody hears of it before the follower has the log so far. */
	if (is_duplex(server))
		logged = max_u64(logged, tag + 1);
	if (status != 0)
		return;
	if (request->operation == MIRROR_READ)
		check_read(server, tag);
	else if (request->operation == MIRROR_FLUSH)
		flush_finished(tag);
	for (uint64_t s = request->sector;
	     request->operation == MIRROR_WRITE && s < request->sector + request->count; s++)
		told[s] = max_u64(told[s], request->version);
}

static void finished(struct server *server, const struct mirror_engine_action *action)
{
	struct server *peer = peer_of(server);
	const struct request *request = &requests[action->tag];
	bool leads = leader == server - servers;

	if (server->engine.mode == MIRROR_IDLE ||
	    server->engine.mode == MIRROR_TARGET) { /* nobody waits for it */
		mirror_engine_release(&server->engine, 0, action->slot);
		return;
	}
	if (action->status != 0 && !may_fail(server, action->tag))
		violation("the guest gets an error though a good copy is there", action->tag);
	if (leads && !request->finished)
		finished_first(server, action->tag, action->status);
	else if (!leads && request->finished && request->operation == MIRROR_READ && action->status == 0 &&
		 request->status == 0 && is_duplex(server) && peer->runs &&
		 memcmp(server->reads[action->tag], peer->reads[action->tag],
			request->count * sizeof(uint64_t)) != 0)
		violation("the replicas read different data", action->tag);
	if (leads)
		mirror_engine_release(&server->engine, 0, action->slot);
	else
		server->held[server->held_count++] = action->slot;
}

/* The guest was told that it is done, and our disk could not: this replica is no copy of it any more. */
static bool is_other_than_the_log(struct server *server)
{
	for (uint32_t i = 0; i < server->held_count; i++) {
		const struct mirror_slot *slot = &set_of(server)->slots[server->held[i]];

		if (slot->status != 0 && requests[slot->tag].finished && requests[slot->tag].status == 0)
			return true;
	}
	return false;
}

static void follower_diverges(struct server *server)
{
	struct server *peer = peer_of(server);

	total.divergences++;
	guest_is_gone(server);
	if (!peer->runs)
		return;
	if (own_state(peer) == MIRROR_GOOD && !peer->dead_disk) {
		go_alone(peer);
		return;
	}
	/* Nobody has the guest and a whole disk. */
	power_off(peer);
	link_set(false);
	leader = -1;
}

/* The follower's completions have their place when the leader's log says so. */
static void release_step(struct server *server)
{
	uint32_t left = 0;

	if (leader != server - servers && is_duplex(server) && is_other_than_the_log(server))
		follower_diverges(server);
	for (uint32_t i = 0; i < server->held_count; i++) {
		uint32_t slot = server->held[i];

		if (leader == server - servers || requests[set_of(server)->slots[slot].tag].finished)
			mirror_engine_release(&server->engine, 0, slot);
		else
			server->held[left++] = slot;
	}
	server->held_count = left;
}

/* ---- actions ---- */

static void send_message(struct server *server, const struct mirror_engine_action *action)
{
	struct server *peer = peer_of(server);
	uint8_t *at = peer->inbox + peer->inbox_size;

	if (!link_is_up || peer->inbox_size + action->size + action->data_size > INBOX_SIZE)
		violation("more is sent than there is room for", action->size);
	if (action->data_size > 0 && action->buffer < 0 &&
	    set_of(server)->slots[action->slot].phase >= MIRROR_HELD)
		violation("data is sent that the guest has back", action->tag);
	memcpy(at, action->bytes, action->size);
	memset(at + action->size, 0, action->data_size);
	for (uint64_t i = 0; i < action->data_size / MIRROR_SECTOR_SIZE; i++) {
		uint64_t value = data_get(server, action, i + action->data_offset / MIRROR_SECTOR_SIZE);

		memcpy(at + action->size + i * MIRROR_SECTOR_SIZE, &value, sizeof(value));
	}
	peer->inbox_size += action->size + action->data_size;
	server->sent += action->size + action->data_size;
}

/* Both disks have been compared while both were written. */
static void verified(struct server *server)
{
	struct mirror_engine_status status;

	mirror_engine_status(&server->engine, 0, &status);
	if (status.verified_mismatches > 0 && !lying)
		violation("sound disks are found to differ", status.verified_mismatches);
	if (leader != server - servers)
		return;
	total.verifies++;
	total.mismatches += status.verified_mismatches;
}

static void verify_begins(void)
{
	struct server *server = &servers[random_below(2)];

	if (server->runs)
		mirror_engine_command(&server->engine, 0, MIRROR_COMMAND_VERIFY, 0);
}

static void note_event(struct server *server, const struct mirror_engine_action *action)
{
	total.repairs += action->event == MIRROR_EVENT_REPAIRED;
	total.remirrors += action->event == MIRROR_EVENT_DISK_STATE && action->to == MIRROR_REMIRRORING &&
			   action->server != server->engine.server;
	if (action->event == MIRROR_EVENT_DISK_STATE && action->to == MIRROR_GOOD)
		delicate_until_ns = now_ns + DELICATE_NS;
	/* Nothing else does that at once. */
	if (action->event == MIRROR_EVENT_DISK_STATE && action->from == MIRROR_FAILED &&
	    action->to == MIRROR_GOOD)
		both_failed_until_ns = now_ns + DELICATE_NS;
	if (action->event == MIRROR_EVENT_DECISION)
		decision_check();
	if (action->event == MIRROR_EVENT_VERIFIED)
		verified(server);
}

static void pump(struct server *server)
{
	struct mirror_engine_action action;

	mirror_engine_room(&server->engine,
			   link_is_up ? random_below(INBOX_SIZE - peer_of(server)->inbox_size + 1) : 0);
	while (server->runs && mirror_engine_take(&server->engine, &action)) {
		switch (action.kind) {
		case MIRROR_ENGINE_OWN:
			if (server->io_count == IO_MAX)
				violation("too much under way", 0);
			server->ios[server->io_count++] = action;
			break;
		case MIRROR_ENGINE_FINISHED:
			finished(server, &action);
			break;
		case MIRROR_ENGINE_STATE:
			server->state = action;
			server->writes_state = true;
			break;
		case MIRROR_ENGINE_EVENT:
			note_event(server, &action);
			break;
		default:
			send_message(server, &action);
		}
	}
}

static void receive(struct server *server)
{
	struct mirror_engine_data data;
	uint64_t count = random_below(12);

	for (uint64_t i = 0; i < count && link_is_up; i++) {
		int64_t size =
			mirror_engine_receive(&server->engine, server->inbox, server->inbox_size, &data);

		if (size < 0)
			violation("a message is refused", server->inbox[0]);
		if (size == 0)
			return;
		for (uint64_t s = 0; s < data.size / MIRROR_SECTOR_SIZE; s++)
			memcpy(&server->reads[data.tag][data.offset / MIRROR_SECTOR_SIZE + s],
			       data.bytes + s * MIRROR_SECTOR_SIZE, sizeof(uint64_t));
		server->inbox_size -= (uint64_t)size;
		server->received += (uint64_t)size;
		memmove(server->inbox, server->inbox + size, server->inbox_size);
	}
}

static int disk_do(struct server *server, const struct mirror_engine_action *io)
{
	if (server->dead_disk)
		return -EIO;
	if (io->operation == MIRROR_FLUSH) {
		bool fails = server->flush_fails;

		server->flush_fails = false;
		if (!fails)
			memcpy(server->stable, server->now, sizeof(server->now));
		return fails ? -EIO : 0;
	}
	if (io->operation == MIRROR_WRITE) {
		disk_write(server, io, false);
		return 0;
	}
	for (uint64_t i = 0; i < io->sector_count; i++) {
		if (server->unreadable[io->sector + i])
			return -EIO;
		data_put(server, io, i, server->now[io->sector + i]);
	}
	return 0;
}

/* Of a follower's read the log tells what the leader read. */
static bool is_cross_checked(struct server *server, const struct mirror_engine_action *io)
{
	return lying && leader != server - servers && is_duplex(server) && io->operation == MIRROR_READ &&
	       io->buffer < 0;
}

static int cross_check(struct server *server, const struct mirror_engine_action *io, int status)
{
	const struct request *request = &requests[io->tag];

	if (status == 0 && request->status == 0 &&
	    memcmp(server->reads[io->tag], peer_of(server)->reads[io->tag],
		   request->count * sizeof(uint64_t)) != 0)
		return -EBADMSG;
	return status;
}

static void io_end(struct server *server)
{
	struct mirror_engine_action io;
	uint32_t which;
	int status;

	if (!server->runs || server->io_count == 0)
		return;
	which = (uint32_t)random_below(server->io_count);
	io = server->ios[which];
	if (is_cross_checked(server, &io) && !requests[io.tag].finished)
		return;
	server->ios[which] = server->ios[--server->io_count];
	status = io_fails() ? -EIO : disk_do(server, &io);
	if (is_cross_checked(server, &io))
		status = cross_check(server, &io, status);
	if (status && io.slot < MIRROR_SLOT_MAX && io.buffer < 0)
		server->hurt[io.tag] = true;
	mirror_engine_done(&server->engine, 0, io.slot, status);
}

/* ---- faults ---- */

/* The moments in which mirrors have been lost: just after a take-over, and at the end of a copy. */
static bool is_delicate(void)
{
	return now_ns < delicate_until_ns;
}

/* All paths between the servers: one of them goes on, the other stops its guest. */
static void cut(void)
{
	uint64_t who = random_below(2);

	if (!link_is_up)
		return;
	total.cuts++;
	if (leader >= 0 && is_duplex(&servers[leader]) && !servers[leader].going_alone) {
		struct server *on = own_state(&servers[who]) == MIRROR_GOOD && !servers[who].dead_disk
					    ? &servers[who]
					    : peer_of(&servers[who]);

		link_set(false);
		guest_is_gone(peer_of(on));
		peer_gone(on);
	} else {
		link_set(false);
		if (leader >= 0)
			peer_gone(&servers[leader]);
	}
	link_cut_until_ns = now_ns + random_below(100) * STEP_NS;
}

/* The follower stops on a stream that goes on. */
static void diverge(void)
{
	struct server *server = leader >= 0 ? &servers[leader] : NULL;

	if (!server || !is_duplex(server) || own_state(server) != MIRROR_GOOD || server->dead_disk ||
	    !link_is_up)
		return;
	total.divergences++;
	guest_is_gone(peer_of(server));
	go_alone(server);
}

/* Only while the other disk is sound: with none left, all is lost by right. */
static bool may_be_hurt(struct server *server)
{
	struct server *peer = peer_of(server);

	return server->runs && peer->runs && link_is_up && is_duplex(server) && is_duplex(peer) &&
	       !peer->dead_disk && !peer->flush_fails && own_state(server) == MIRROR_GOOD &&
	       own_state(peer) == MIRROR_GOOD;
}

static void disk_dies(struct server *server)
{
	if (!may_be_hurt(server))
		return;
	total.deaths++;
	server->dead_disk = true;
}

/* On both at once. Either disk holds what was safe before. */
static void flushes_fail(struct server *server)
{
	if (!may_be_hurt(server))
		return;
	total.deaths++;
	servers[0].flush_fails = servers[1].flush_fails = true;
}

/* Neither disk is whole, and nobody has the guest: some one is taken. */
static void administrator_speaks(void)
{
	const struct remirror_decision *decision = mirror_engine_decision(&servers[0].engine, 0);

	if (servers[0].runs && leader < 0 && decision && decision->verdict == REMIRROR_NO_SOURCE)
		mirror_engine_command(&servers[0].engine, 0, MIRROR_COMMAND_REMIRROR,
				      (uint32_t)random_below(2));
}

/* It is repaired, and the administrator says so. */
static void disk_enable(struct server *server)
{
	server->dead_disk = false;
	if (server->runs && own_state(server) == MIRROR_FAILED)
		mirror_engine_command(&server->engine, 0, MIRROR_COMMAND_ENABLE, server->engine.server);
}

/* The follower's: of two good disks that differ the leader's is right. */
static void disk_lies(void)
{
	struct server *server = leader >= 0 ? peer_of(&servers[leader]) : NULL;
	uint64_t sector = random_below(SECTORS);
	uint64_t end = min_u64(sector + 1 + random_below(REQUEST_SECTORS_MAX), SECTORS);

	if (!server || !may_be_hurt(server))
		return;
	total.lies++;
	server->unreadable[random_below(SECTORS)] = true;
	for (; sector < end; sector++)
		server->now[sector] = server->stable[sector] = random_below(2) ? UINT64_MAX : 0;
}

static void faults(void)
{
	struct server *server = &servers[random_below(2)];
	uint64_t what = random_below(is_delicate() ? 60 : 800);

	if (io_to_fail != 0)
		return;
	if (what < 3)
		crash(server);
	else if (what == 3) {
		crash(&servers[0]);
		crash(&servers[1]);
	} else if (what < 9 && server->runs && own_state(server) == MIRROR_GOOD &&
		   set_of(server)->states[MIRROR_PEER] == MIRROR_GOOD)
		server->unreadable[random_below(SECTORS)] = true;
	else if (what == 9)
		cut();
	else if (what == 10)
		diverge();
	else if (what == 11)
		server->flush_fails = may_be_hurt(server);
	else if (what == 12)
		disk_dies(server);
	else if (what == 13)
		flushes_fail(server);
	else if (what < 20)
		disk_enable(server);
	else if (what < 50)
		verify_begins();
}

/* Who may start without the other: the one whose state says that it ran alone. */
static bool may_start_alone(struct server *server)
{
	const struct metadata_era *era = metadata_era_now(&server->engine.metadata);

	return era->alone && era->server == server->engine.server && own_state(server) == MIRROR_GOOD &&
	       !server->dead_disk;
}

static void starts(void)
{
	for (int i = 0; i < 2; i++) {
		struct server *server = &servers[i];

		if (!server->runs && random_below(healing ? 5 : 100) == 0)
			power_on(server);
		if (server->runs && !link_is_up && leader < 0 && !peer_of(server)->runs &&
		    random_below(20) == 0 && may_start_alone(server))
			guest_boot(server);
	}
	if (servers[0].runs && servers[1].runs && !link_is_up && (healing || now_ns >= link_cut_until_ns))
		link_set(true);
	starts_together();
}

/* ---- one seed ---- */

static void server_step(struct server *server, bool submitting)
{
	bool leads = leader == server - servers;

	if (!server->runs)
		return;
	if (leads && !server->going_alone && server->submitted < request_count && !is_duplex(server))
		submit(server); /* after a take-over: the rest of its log */
	else if (leads && submitting && !server->going_alone && random_below(3) == 0 &&
		 join_phase != JOIN_TARGET && server->engine.mode != MIRROR_IDLE)
		submit(server);
	if (!leads && is_duplex(server)) {
		if (logged < request_count && random_below(3) == 0)
			logged++;
		if (server->submitted < logged && random_below(2))
			submit(server);
	}
	mirror_engine_tick(&server->engine, now_ns, 0);
	pump(server);
	/* Slow disks do hardly more than is asked for: much is under way when a server dies. */
	if (!slow_disks || random_below(2))
		io_end(server);
	for (uint32_t i = 0; i < 4 && !slow_disks; i++)
		io_end(server);
	state_step(server);
	release_step(server);
	alone_step(server);
	pump(server);
	receive(server);
	if (io_to_crash != 0 && io_done >= io_to_crash) {
		io_to_crash = UINT64_MAX;
		crash(server);
	}
}

static void step(bool submitting)
{
	now_ns += STEP_NS;
	starts();
	server_step(&servers[0], submitting);
	server_step(&servers[1], submitting);
	if (leader >= 0)
		join_step();
}

static void check_survivor(void)
{
	struct server *server = &servers[leader];

	if (!server->runs || own_state(server) != MIRROR_GOOD || server->submitted < request_count ||
	    !is_quiet(server))
		return;
	for (uint64_t s = 0; s < SECTORS; s++)
		if (server->now[s] < told[s])
			violation("the guest was told of a write that is not there", s);
}

/* As a pair that has been one, and knows both disks. */
static void partition_make(struct server *server, uint32_t index)
{
	struct metadata metadata;

	metadata_init(&metadata, PAIR, index);
	assert_int_equal(metadata_set_add(&metadata, 5, SECTORS, PARTITION_SIZE), 0);
	for (uint32_t i = 0; i < 2; i++) {
		metadata.sets[0].disk_states[i] = MIRROR_GOOD;
		metadata.sets[0].disk_sector_counts[i] = SECTORS;
		strcpy(metadata.sets[0].serials[i], i ? "B" : "A");
	}
	metadata.pair.was_leader = index == 0;
	metadata_era_begin(&metadata, &(struct metadata_era){ .generation = 1, .token = 1 });
	for (uint32_t i = 0; i < METADATA_COPY_COUNT; i++) {
		uint64_t offset = metadata_seal(&metadata);

		memcpy(server->partition + offset, &metadata, sizeof(metadata));
	}
	for (uint32_t map = 0; map < 2; map++) {
		struct region_map empty;

		region_map_init(&empty, 2 * 5 + map, SECTORS, server->memory);
		region_map_format(&empty);
		region_map_take_block(&empty, server->partition + (map ? metadata.sets[0].intent_map_offset
								       : metadata.sets[0].dirty_map_offset));
	}
}

static void seed_begin(uint64_t number)
{
	for (uint32_t i = 0; i < 2; i++) {
		struct server *server = &servers[i];

		memset(server->stable, 0, sizeof(server->stable));
		memset(server->unreadable, 0, sizeof(server->unreadable));
		memset(server->hurt, 0, sizeof(server->hurt));
		server->dead_disk = false;
		server->runs = false;
		memset(server->partition, 0, sizeof(server->partition));
		partition_make(server, i);
	}
	memset(safe, 0, sizeof(safe));
	memset(told, 0, sizeof(told));
	seed = number;
	random_state = (number + 1) * UINT64_C(0x9e3779b97f4a7c15);
	version = 0;
	generation = 1;
	now_ns = 0;
	delicate_until_ns = 0;
	both_failed_until_ns = 0;
	link_cut_until_ns = 0;
	leader = -1;
	link_is_up = false;
	join_phase = JOIN_NONE;
	hurried = random_below(2);
	request_count = 0;
	healing = false;
	io_done = 0;
	slow_disks = random_below(2);
	power_on(&servers[0]);
	power_on(&servers[1]);
}

static bool is_whole(const struct mirror_engine *engine)
{
	return mirror_engine_may_join(engine) && mirror_engine_is_current(engine, 0) &&
	       mirror_engine_is_current(engine, 1);
}

static bool is_healed(void)
{
	return leader >= 0 && servers[0].runs && servers[1].runs && is_duplex(&servers[0]) &&
	       is_duplex(&servers[1]) && is_quiet(&servers[0]) && is_quiet(&servers[1]) &&
	       servers[0].submitted == request_count && servers[1].submitted == request_count &&
	       is_whole(&servers[0].engine) && is_whole(&servers[1].engine);
}

/* What a person wants to see of a seed that hangs. */
static void world_print(void)
{
	for (int i = 0; i < 2; i++) {
		struct server *server = &servers[i];
		const struct mirror_engine_set *at = &server->engine.sets[0];

		print_message(
			"%c%s: runs %d, mode %d, own %s, peer %s, submitted %lu of %lu, logged %lu, dirty %lu, "
			"intents %lu, remirror phase %d, copied %lu, offered %lu, round %d, persist %d/%d, "
			"joined %d, meeting %u/%u, held %u, join %d, alone %d\n",
			'a' + i, i == leader ? " leads" : "", server->runs, server->engine.mode,
			mirror_disk_state_name(at->set.states[0]), mirror_disk_state_name(at->set.states[1]),
			server->submitted, request_count, logged, at->set.dirty.set_count,
			at->set.intent.map.set_count, at->remirror.phase, at->set.reach.copied_count,
			at->remirror.in_flight, at->round.phase, at->set.persisting, at->set.persist_wanted,
			at->joined, server->engine.meeting.number, server->engine.meeting.peer_number,
			server->held_count, join_phase, server->going_alone);
		for (uint32_t c = 0; c < MIRROR_ENGINE_COPY_MAX; c++)
			if (server->engine.copies[c].phase != 0)
				print_message("  copy %u: region %lu, phase %u, stamp %lu\n", c,
					      server->engine.copies[c].region, server->engine.copies[c].phase,
					      server->engine.copies[c].stamp.number);
		for (uint32_t id = 0; id < MIRROR_MESSAGE_ASKED_MAX; id++)
			if (server->engine.served[id].type != 0)
				print_message("  served %u: type %u, phase %u, sector %lu\n", id,
					      server->engine.served[id].type, server->engine.served[id].phase,
					      server->engine.served[id].sector);
		for (uint32_t s = 0; s < MIRROR_SLOT_MAX; s++)
			if (at->set.slots[s].phase != MIRROR_FREE)
				print_message(
					"  slot %u: number %lu, operation %u, phase %u, waits %u, issued %u\n",
					s, at->set.slots[s].number, at->set.slots[s].operation,
					at->set.slots[s].phase, at->set.slots[s].waits,
					at->set.slots[s].issued);
	}
}

static void heal(void)
{
	healing = true;
	healing_ns = now_ns;
	for (uint32_t i = 0; i < HEAL_STEPS && !is_healed(); i++) {
		for (uint32_t s = 0; s < 2; s++) {
			memset(servers[s].unreadable, 0, sizeof(servers[s].unreadable));
			servers[s].flush_fails = false;
			disk_enable(&servers[s]);
		}
		administrator_speaks();
		step(false);
	}
	if (is_healed())
		return;
	violation("does not heal", 0);
}

static void check_both(void)
{
	for (uint64_t s = 0; s < SECTORS; s++) {
		if (servers[0].now[s] != servers[1].now[s])
			violation("both disks are good, and differ", s);
		if (servers[0].now[s] < told[s])
			violation("a write is lost", s);
		if (servers[0].now[s] > version)
			violation("what the disk said is taken for right", s);
	}
}

static void run(uint64_t number, uint32_t steps)
{
	seed_begin(number);
	for (uint32_t i = 0; i < steps; i++) {
		faults();
		step(true);
		if (leader >= 0 && i % 50 == 0)
			check_survivor();
	}
	heal();
	check_both();
}

/* Passes while the guest writes and the disk lies, and one more when it lies no more. */
static void run_lies(uint64_t number, uint32_t steps)
{
	uint64_t passes;

	seed_begin(number);
	for (uint32_t i = 0; i < steps; i++) {
		if (random_below(100) == 0)
			disk_lies();
		if (random_below(50) == 0)
			verify_begins();
		step(true);
	}
	heal();
	for (passes = total.verifies; total.verifies < passes + 2; step(true))
		verify_begins();
	heal();
	check_both();
}

static bool both_are_duplex(void)
{
	return is_duplex(&servers[0]) && is_duplex(&servers[1]);
}

/*
 * All is copied, writes are under way, and the blocks of the write-intent map that tell of
 * them do not get to the partition. Until they do the target must not be taken for good: the
 * dirty map, which tells of them as well, goes then, and both servers die as soon as it has.
 */
static void run_end_of_copy(uint64_t number)
{
	struct server *source;
	struct mirror_set *set;

	seed_begin(number);
	for (uint32_t i = 0; i < HEAL_STEPS && !both_are_duplex(); i++)
		step(true);
	crash(peer_of(&servers[leader]));
	source = &servers[leader];
	set = set_of(source);
	for (uint32_t i = 0; i < HEAL_STEPS && source->engine.sets[0].remirror.phase != REMIRROR_TURNING; i++)
		step(true);
	intents_stuck = true;
	for (uint32_t i = 0; i < 60; i++) {
		step(true);
		if (set->states[MIRROR_PEER] == MIRROR_GOOD && set->dirty.set_count == 0 &&
		    region_map_is_settled(&set->dirty))
			break;
	}
	intents_stuck = false;
	for (uint64_t i = random_below(5); i > 0; i--)
		step(true);
	crash(&servers[0]);
	crash(&servers[1]);
	heal();
	check_both();
}

static uint64_t first_seed = 1;
static uint64_t seed_count = 300;
static uint64_t error_count = 500;

static void nothing_is_lost_and_both_disks_end_equal(void **state)
{
	(void)state;
	io_to_fail = 0;
	for (uint64_t i = 0; i < seed_count; i++)
		run(first_seed + i, STEPS);
	print_message("%lu seeds: %lu crashes, %lu cuts, %lu divergences, %lu disks died, %lu remirrors, "
		      "%lu joins (%lu with one disk), %lu take-overs, %lu repairs, %lu comparisons\n",
		      seed_count, total.crashes, total.cuts, total.divergences, total.deaths, total.remirrors,
		      total.joins, total.joins_with_one, total.takeovers, total.repairs, total.verifies);
	if (seed_count >= 100) {
		assert_true(total.crashes > seed_count);
		assert_true(total.takeovers > seed_count / 4);
		assert_true(total.joins > seed_count);
		assert_true(total.joins_with_one > 0);
		assert_true(total.repairs > 0);
		assert_true(total.deaths > 0);
		assert_true(total.verifies > seed_count / 4);
	}
}

static void target_is_good_when_the_last_intents_are_durable(void **state)
{
	(void)state;
	io_to_fail = 0;
	for (uint64_t i = 0; i < (seed_count + 9) / 10; i++)
		run_end_of_copy(first_seed + i);
}

/* A tenth of the seeds. */
static void verify_finds_and_mends_what_a_disk_lies_about(void **state)
{
	uint64_t count = (seed_count + 9) / 10;

	(void)state;
	lying = true;
	io_to_fail = 0;
	for (uint64_t i = 0; i < count; i++)
		run_lies(first_seed + i, STEPS);
	lying = false;
	print_message("%lu seeds: %lu lies, %lu comparisons found %lu differences\n", count, total.lies,
		      total.verifies, total.mismatches);
	if (seed_count >= 100) {
		assert_true(total.lies > count);
		assert_true(total.mismatches > count);
	}
}

/* One I/O, of a disk or a partition, fails and nothing else; or its server dies at it. */
static void any_single_io_may_fail(void **state)
{
	(void)state;
	for (uint64_t i = 1; i <= error_count; i++) {
		io_to_fail = i;
		io_to_crash = 0;
		run(first_seed + i, STEPS / 2);
		assert_true(io_done >= i);
		io_to_fail = UINT64_MAX;
		io_to_crash = i;
		run(first_seed + i, STEPS / 2);
	}
	io_to_crash = 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_lost_and_both_disks_end_equal),
		cmocka_unit_test(target_is_good_when_the_last_intents_are_durable),
		cmocka_unit_test(verify_finds_and_mends_what_a_disk_lies_about),
		cmocka_unit_test(any_single_io_may_fail),
	};

	if (argc > 1) {
		first_seed = strtoull(argv[1], NULL, 0);
		seed_count = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
		error_count = argc > 3 ? strtoull(argv[3], NULL, 0) : 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
