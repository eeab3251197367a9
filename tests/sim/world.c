/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated world; see world.h. */
#include "tests/sim/world.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "include/assert.h"

#define SAFETY_NS (1500 * MS)
#define LIVENESS_NS (6000 * MS)
#define SLICE_STEPS 200 /* on average, half as many to half as many again; a step takes 1 us */
#define STEP_NS US
#define CHECK_SLICES 8
#define TAKE_OVER_NS (450 * MS)	     /* longest time-out, asking, replaying, writing */
#define EARLY_TAKE_OVER_NS (30 * MS) /* with carrier lost on both links, and a station that answers */
#define DUPLEX_NS (900 * MS)	     /* from power-on, or a divergence, when nothing is in the way */
#define TOLD_NS (100 * MS)	     /* from a flipped bit */
#define FRAMES_A_TURN 8
#define PAGES_A_TURN 4 /* of a join: its end takes several turns, with words on all paths in between */
#define STREAM_SIZE (1 * MIB)
#define FOLLOWER_SIZE (2 * LEADER_RECORD_MAX)

struct flying {
	uint64_t arrives_ns;
	uint32_t to;
	uint32_t path; /* CS link, or WORLD_MANAGEMENT */
	uint32_t size;
	uint8_t frame[WIRE_FRAME_MAX];
};

static uint8_t stream_memory[2][WIRE_STREAM_COUNT][2][STREAM_SIZE];
static uint8_t follower_memory[2][FOLLOWER_SIZE];

static uint64_t random_u64(struct world *world)
{
	world->random_state = world->random_state * 6364136223846793005u + 1442695040888963407u;
	return world->random_state >> 31;
}

static uint64_t random_below(struct world *world, uint64_t limit)
{
	return random_u64(world) % limit;
}

static bool chance_permille(struct world *world, uint32_t permille)
{
	return random_below(world, 1000) < permille;
}

static void violate(struct world *world, const char *what, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void violate(struct world *world, const char *what, const char *format, ...)
{
	va_list arguments;

	if (world->violation)
		return;
	world->violation = what;
	va_start(arguments, format);
	vsnprintf(world->detail, sizeof(world->detail), format, arguments);
	va_end(arguments);
}

static void say(const struct world *world, uint32_t side, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void say(const struct world *world, uint32_t side, const char *format, ...)
{
	va_list arguments;

	if (!world->verbose)
		return;
	printf("%10.3f ms  %c  ", (double)world->now_ns / 1e6, side < 2 ? (char)('a' + side) : '-');
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
}

static uint64_t server_now_ns(const struct world *world, const struct server *server)
{
	int64_t drift = (int64_t)(world->now_ns / 1000000) * server->clock_drift_ppm;

	return world->now_ns + server->clock_offset_ns + (uint64_t)drift;
}

/* ---- servers: power on and off ---- */

static struct message_identity identity_of_build(bool is_other)
{
	struct message_identity identity = { .memory_size = sizeof(struct guest), .step_counter_exact = 1 };

	memcpy(identity.build, is_other ? "another" : "simulated", is_other ? 8 : 10);
	memcpy(identity.processor, "simulated", 10);
	memcpy(identity.step_counter, "steps, exact", 13);
	return identity;
}

/* Both hear of it at once: who was told of a failed disk has said so before anything went by it. */
static void tell_disks(struct world *world, uint32_t side)
{
	pair_disks(&world->servers[side].pair, world->stale_side != side, world->stale_side != 1 - side);
}

static void server_start(struct world *world, uint32_t side)
{
	struct server *server = &world->servers[side];
	struct pair_memory memory = { .follower = follower_memory[side], .follower_size = FOLLOWER_SIZE };
	bool is_other = world->kind == WORLD_BUILDS && side == world->script_side && !world->is_mended &&
			server->starts >= world->seed / 8 % 2 && random_below(world, 3) > 0;
	struct pair_config config = pair_fixture_config(77, side, ++server->starts);

	if (world->seed % 3 != 1)
		config.preferred = world->seed % 3 == 0 ? ARBITER_SERVER_NONE : ARBITER_SERVER_B;
	config.continue_when_unsure = world->is_unsure;
	config.beacon_ns = (const uint64_t[]){ 2 * MS, 5 * MS, 10 * MS }[world->seed / 8 % 3];
	config.identity = identity_of_build(is_other);
	for (uint32_t i = 0; i < WIRE_STREAM_COUNT; i++)
		memory.streams[i] = (struct channel_buffers){ stream_memory[side][i][0], STREAM_SIZE,
							      stream_memory[side][i][1], STREAM_SIZE };
	server->running = true;
	server->guest_runs = false;
	server->copying = false;
	server->step_ns = world->kind == WORLD_QUIET ? STEP_NS : 0;
	if (world->seed / 8 % 2 && side == world->script_side)
		server->step_ns = server->step_ns * 4 / 3;
	server->run_at_ns = 0;
	server->is_other_build = is_other;
	server->rejoin_wait_ns = 0;
	server->rejoin_at_ns = 0;
	server->hold_until_ns = 0;
	server->persist_done_ns = 0;
	held_output_init(&server->held, server->held_ring, sizeof(server->held_ring));
	server->paused_until_ns = 0;
	server->crash_at_ns = 0;
	memset(server->disk_done_ns, 0, sizeof(server->disk_done_ns));
	server->clock_offset_ns = random_below(world, 1000) * MS;
	server->clock_drift_ppm = (int64_t)random_below(world, 400) - 200;
	pair_init(&server->pair, &config, &memory, &server->durable, server_now_ns(world, server));
	tell_disks(world, side);
	pair_hardware(&server->pair, world->seed % 5 == 4 && (world->seed / 5 + server->starts) % 2 == side);
	server->next_turn_ns = world->now_ns;
	say(world, side, "power on: generation %lu, %u", (unsigned long)server->durable.generation,
	    server->durable.state);
}

static void server_crash(struct world *world, uint32_t side, uint64_t back_after_ns)
{
	struct server *server = &world->servers[side];

	/* A write to the state partition that is under way happens, or does not. */
	if (server->persist_done_ns && random_below(world, 2))
		server->durable = server->persisting;
	server->running = false;
	server->start_at_ns = world->now_ns + back_after_ns;
	world->crashes++;
	world->joins += server->pair.joins;
	world->failovers += server->pair.failovers;
	say(world, side, "crash as %s", pair_role_name(server->pair.role));
}

/* ---- cables ---- */

static bool is_cut(const struct world *world, uint32_t to, uint32_t path)
{
	if (path < WIRE_LINK_COUNT)
		return world->cut.cs[path][to];
	return world->cut.management_out[1 - to] || world->cut.management_in[to];
}

static void fly_once(struct world *world, uint32_t to, uint32_t path, const void *frame, uint64_t size)
{
	struct flying *flying;

	if (world->flying_count == WORLD_FLYING_MAX)
		return; /* the cable's queue is full: lost */
	flying = &world->flying[world->flying_count++];
	flying->arrives_ns = world->now_ns + 60 * US + random_below(world, 1 + world->faults.jitter_us) * US;
	if (path == WORLD_MANAGEMENT)
		flying->arrives_ns += random_below(world, 1 + world->beacon_jitter_us) * US;
	flying->to = to;
	flying->path = path;
	flying->size = (uint32_t)size;
	memcpy(flying->frame, frame, size);
	if (path < WIRE_LINK_COUNT && chance_permille(world, world->faults.corruption_permille))
		flying->frame[random_below(world, size)] ^= (uint8_t)(1u << random_below(world, 8));
}

static void fly(struct world *world, uint32_t to, uint32_t path, const void *frame, uint64_t size)
{
	if (is_cut(world, to, path) || chance_permille(world, world->faults.loss_permille))
		return;
	fly_once(world, to, path, frame, size);
	if (chance_permille(world, world->faults.duplication_permille))
		fly_once(world, to, path, frame, size);
}

static void arrive(struct world *world)
{
	for (uint32_t i = 0; i < world->flying_count;) {
		struct flying *flying = &world->flying[i];
		struct server *server = &world->servers[flying->to];
		struct message_beacon beacon;

		if (flying->arrives_ns > world->now_ns || server->paused_until_ns > world->now_ns) {
			i++;
			continue;
		}
		if (server->running && flying->path < WIRE_LINK_COUNT) {
			pair_receive(&server->pair, flying->path, server_now_ns(world, server), flying->frame,
				     flying->size);
		} else if (server->running) {
			memcpy(&beacon, flying->frame, sizeof(beacon));
			pair_beacon(&server->pair, WORLD_MANAGEMENT, server_now_ns(world, server), &beacon);
		}
		if (server->running)
			server->next_turn_ns = min_u64(server->next_turn_ns, world->now_ns);
		*flying = world->flying[--world->flying_count];
	}
}

/* ---- what the outside sees ---- */

static void outside_sees(struct world *world, uint32_t side, const struct guest_frame *frame)
{
	if (frame->boot < world->seen_boot) {
		violate(world, "an output of a guest that was restarted since",
			"server %c, boot %lu after %lu", 'a' + side, (unsigned long)frame->boot,
			(unsigned long)world->seen_boot);
		return;
	}
	if (frame->boot > world->seen_boot) {
		world->seen_boot = frame->boot;
		memset(world->seen, 0, sizeof(world->seen));
	}
	ASSERT(frame->number < WORLD_OUTPUT_MAX);
	world->outputs_seen++;
	/* A duplicate is allowed, another content is not: that would be two guests. */
	if (world->seen[frame->number] && world->seen[frame->number] != frame->content)
		violate(world, "two outputs with one number: split brain or divergence",
			"server %c, output %lu", 'a' + side, (unsigned long)frame->number);
	world->seen[frame->number] = frame->content;
	if (frame->request && frame->request == world->pending_request) {
		world->acknowledged[frame->key] = frame->version > world->acknowledged[frame->key]
							  ? frame->version
							  : world->acknowledged[frame->key];
		world->acknowledged_count++;
		world->pending_request = 0;
		world->client_next_ns = world->now_ns + random_below(world, 5 * MS);
	}
}

static void release_outputs(struct world *world, uint32_t side)
{
	struct server *server = &world->servers[side];
	uint64_t left_before;
	struct held_frame held;
	struct guest_frame frame;

	while (held_output_first_gone(&server->held, &held))
		held_output_drop(&server->held);
	left_before = held_output_left(&server->held);
	while (held_output_first(&server->held, &held) && pair_may_release(&server->pair, held.stamp)) {
		memcpy(&frame, held.data, sizeof(frame));
		ASSERT(frame.number == held_output_left(&server->held) + 1);
		outside_sees(world, side, &frame);
		held_output_drop(&server->held);
	}
	if (held_output_left(&server->held) != left_before)
		pair_released(&server->pair, held_output_left(&server->held));
}

/* ---- the guest's run loop, as the hypervisor's ---- */

/* What the mirror says of a write to a server whose disks are being made the same. */
struct disk_word {
	uint32_t key;
	uint32_t version;
};

/*
 * Each replica writes its own disk; while it joins, the target hears of it on the disk stream. One whose
 * disks are not current tells its guest of a write when the other one's disk has it.
 */
static void write_disk(struct world *world, struct server *server, uint32_t key, uint32_t version)
{
	const struct disk_word word = { .key = key, .version = version };
	struct server *peer = &world->servers[server == world->servers];

	server->disk[key] = (uint32_t)max_u64(server->disk[key], version);
	if (world->stale_side == server - world->servers && peer->running && peer->disk[key] < version)
		peer->disk[key] = version;
	if (server->copying && channel_write(&server->pair.channel, WIRE_STREAM_DISK, (const uint8_t *)&word,
					     sizeof(word)) != sizeof(word))
		ASSERT(!"there is room for the few words of a join");
}

/* Words may overtake the beginning of their join, so that not this but a new channel begins the disk anew. */
static void take_disk_words(struct server *server)
{
	struct channel *channel = &server->pair.channel;
	struct channel_receiver *stream = &channel->receivers[WIRE_STREAM_DISK];
	struct disk_word word;

	if (server->incoming_of[0] != channel->config.incarnation ||
	    server->incoming_of[1] != channel->peer) {
		server->incoming_of[0] = channel->config.incarnation;
		server->incoming_of[1] = channel->peer;
		memset(server->incoming_disk, 0, sizeof(server->incoming_disk));
	}
	while (stream->received - stream->consumed >= sizeof(word)) {
		channel_read(&server->pair.channel, WIRE_STREAM_DISK, (uint8_t *)&word, sizeof(word));
		if (server->incoming_disk[word.key] < word.version) /* else it is of a join given up */
			server->incoming_disk[word.key] = word.version;
	}
}

/* False: the exit stays open, waiting for a value. */
static bool finish_exit(struct world *world, struct server *server)
{
	struct guest *guest = &server->guest;
	struct guest_frame frame;
	uint64_t time_ns;
	uint32_t slot;
	uint32_t key;
	uint32_t version;

	switch (guest->exit) {
	case GUEST_EXIT_TIME:
		if (pair_value(&server->pair, &guest->position, server_now_ns(world, server), &time_ns))
			return false;
		if (time_ns < guest->time_ns)
			violate(world, "the guest's time went back", "by %lu ns",
				(unsigned long)(guest->time_ns - time_ns));
		guest_finish_time(guest, time_ns);
		return true;
	case GUEST_EXIT_SEND:
		guest_finish_send(guest, &frame);
		held_output_put(&server->held, 0, (const uint8_t *)&frame, sizeof(frame));
		return true;
	case GUEST_EXIT_DISK:
		guest_finish_disk(guest, &slot, &key, &version);
		write_disk(world, server, key, version);
		server->disk_done_ns[slot] = world->now_ns + 50 * US + random_below(world, 2 * MS);
		return true;
	default:
		return true;
	}
}

static void put_trail(struct server *server)
{
	uint64_t fields[GUEST_FIELD_COUNT];

	guest_digest_fields(&server->guest, fields);
	pair_put_trail(&server->pair, &server->guest.position, guest_digest(&server->guest), fields,
		       GUEST_FIELD_COUNT);
}

static void apply_record(struct world *world, struct server *server, const struct record *record)
{
	if (record->kind == RECORD_INPUT) {
		guest_input(&server->guest, record->time_ns, record->input.kind, record->input.index,
			    record->input.value);
		if (record->input.kind == GUEST_INPUT_DISK_DONE)
			server->disk_done_ns[record->input.index] = 0;
	}
	if (record->kind == RECORD_CHECK) {
		world->checks++;
		put_trail(server);
		pair_checked(&server->pair, record, guest_digest(&server->guest));
	}
}

static void deliver(struct world *world, struct server *server, uint32_t kind, uint32_t index, uint32_t value)
{
	const struct record_input input = { .kind = kind, .index = index, .value = value };
	uint64_t time_ns = pair_input(&server->pair, &server->guest.position, server_now_ns(world, server),
				      &input, NULL, 0);

	guest_input(&server->guest, time_ns, kind, index, value);
}

/* Of eight slices one begins with a digest of everything. */
static void check_now_and_then(struct server *server)
{
	if (++server->slices % CHECK_SLICES || !pair_decides(&server->pair))
		return;
	put_trail(server);
	pair_check(&server->pair, &server->guest.position, guest_digest(&server->guest));
}

/* Who decides delivers what has arrived, where the last slice happened to end. */
static void deliver_inputs(struct world *world, struct server *server)
{
	if (random_below(world, 20) == 0 && pair_decides(&server->pair))
		deliver(world, server, GUEST_INPUT_TICK, 0, 0);
	check_now_and_then(server);
	for (uint32_t slot = 0; slot < GUEST_MAILBOX; slot++) {
		if (!server->disk_done_ns[slot] || server->disk_done_ns[slot] > world->now_ns ||
		    !pair_decides(&server->pair))
			continue;
		server->disk_done_ns[slot] = 0;
		deliver(world, server, GUEST_INPUT_DISK_DONE, slot, 0);
	}
	/* The client's request reaches whoever answers for the guest's address. */
	if (world->pending_request && world->now_ns - world->pending_sent_ns >= 10 * MS &&
	    pair_decides(&server->pair)) {
		world->pending_sent_ns = world->now_ns;
		deliver(world, server, GUEST_INPUT_PUT, world->pending_request,
			world->pending_key << 16 | world->pending_version);
	}
}

/* With no room for what a slice may put out the guest stands still, as with a full transmit ring. */
static bool can_run(const struct server *server)
{
	return server->guest_runs && server->pair.has_guest &&
	       held_output_room(&server->held) >=
		       2 * SLICE_STEPS * HELD_OUTPUT_ROOM(sizeof(struct guest_frame));
}

/* At most `steps_max` steps or to a synchronous exit, which is acted upon; false: it waits for a value. */
static bool run(struct world *world, struct server *server, uint64_t steps_max, uint64_t *left)
{
	uint64_t steps = min_u64(*left, steps_max);
	uint64_t steps_left = steps;

	guest_run(&server->guest, &steps_left);
	*left -= steps - steps_left;
	return finish_exit(world, server);
}

/* The log decides. */
static void follow(struct world *world, struct server *server, uint64_t *left)
{
	while (*left > 0 && can_run(server)) {
		struct follower_plan plan;

		pair_plan(&server->pair, &server->guest.position, &plan);
		if (plan.verdict == FOLLOWER_APPLY) {
			apply_record(world, server, plan.record);
			pair_applied(&server->pair);
		} else if (plan.verdict != FOLLOWER_RUN || !run(world, server, plan.steps_max, left)) {
			return;
		}
	}
}

/* How far the follower may come, and so far what was put out has its stamp. */
static void tell_horizon(struct server *server)
{
	const struct position *here = &server->guest.position;

	if (position_compare(here, &server->horizon) == 0 || !pair_decides(&server->pair))
		return;
	server->horizon = *here;
	pair_horizon(&server->pair, here);
	held_output_stamp(&server->held, pair_stamp(&server->pair));
}

/* This server decides: inputs first, then a whole slice, then the follower hears of it. */
static void lead(struct world *world, struct server *server, uint64_t *left)
{
	struct follower_plan plan;

	pair_plan(&server->pair, &server->guest.position, &plan);
	if (plan.verdict != FOLLOWER_RUN)
		return;
	deliver_inputs(world, server);
	while (*left > 0 && can_run(server) && run(world, server, FOLLOWER_STEPS_UNLIMITED, left))
		;
	tell_horizon(server);
}

static void run_slice(struct world *world, struct server *server, uint64_t *left)
{
	if (!can_run(server) || !finish_exit(world, server))
		return;
	if (server->pair.role == PAIR_FOLLOWER)
		follow(world, server, left);
	else
		lead(world, server, left);
}

/* Slices end anywhere, and on the other server elsewhere. */
static void run_guest(struct world *world, struct server *server)
{
	uint64_t steps = SLICE_STEPS / 2 + random_below(world, SLICE_STEPS);
	uint64_t left = steps;

	if (world->now_ns < server->run_at_ns)
		return;
	run_slice(world, server, &left);
	/* What a turn that came late could not do is caught up with, one slice at most. */
	server->run_at_ns = max_u64(server->run_at_ns, world->now_ns - SLICE_STEPS * STEP_NS) +
			    (steps - left) * server->step_ns;
}

/* ---- joining ---- */

/*
 * Disk and guest go over as one row of pages, the disk first; it stands for the
 * mirror's copying and is not sent again at the end: what is written meanwhile goes by
 * the disk stream.
 */
#define DISK_PAGES ((sizeof(((struct server *)0)->disk) + GUEST_PAGE_SIZE - 1) / GUEST_PAGE_SIZE)
#define COPY_PAGES (DISK_PAGES + (sizeof(struct guest) + GUEST_PAGE_SIZE - 1) / GUEST_PAGE_SIZE)

static void copy_pages(const struct server *server, uint8_t pages[COPY_PAGES][GUEST_PAGE_SIZE])
{
	memset(pages, 0, COPY_PAGES * GUEST_PAGE_SIZE);
	memcpy(pages, server->disk, sizeof(server->disk));
	memcpy(pages[DISK_PAGES], &server->guest, sizeof(server->guest));
}

static bool page_is_zero(const uint8_t *page)
{
	return page[0] == 0 && memcmp(page, page + 1, GUEST_PAGE_SIZE - 1) == 0;
}

/* Puts the page at `copy_page`, or the run of zero pages there; false: no room. */
static bool put_pages(struct server *server)
{
	uint8_t pages[COPY_PAGES][GUEST_PAGE_SIZE];
	struct message_pages_zero zero = { .first = server->copy_page };
	struct message_page fixed = { .index = server->copy_page };
	bool is_put;

	copy_pages(server, pages);
	while (zero.first + zero.count < COPY_PAGES && page_is_zero(pages[zero.first + zero.count]))
		zero.count++;
	if (zero.count)
		is_put = pair_join_put(&server->pair, MESSAGE_PAGES_ZERO, &zero, sizeof(zero), NULL, 0);
	else
		is_put = pair_join_put(&server->pair, MESSAGE_PAGE, &fixed, sizeof(fixed),
				       pages[server->copy_page], GUEST_PAGE_SIZE);
	if (is_put)
		server->copy_page += zero.count ? zero.count : 1;
	return is_put;
}

/* The last pages have been put while the guest stood still. */
static void end_copy(struct server *server)
{
	if (!pair_join_end(&server->pair, &server->guest.position, server->guest.time_ns,
			   guest_digest(&server->guest)))
		return;
	server->copying = false;
	server->guest_runs = true;
}

/* All pages have been put while the guest ran: once more, or from here on it stands still. */
static void end_round(struct world *world, struct server *server)
{
	if (world->now_ns < server->copy_until_ns) {
		server->copy_page = 0;
	} else if (server->guest.exit == GUEST_RUNNING && pair_join_prepare(&server->pair)) {
		server->guest_runs = false;
		server->copy_page = DISK_PAGES;
	}
}

/* Pages while the guest runs; then, the guest standing still, all of them once more and the end. */
static void copy_step(struct world *world, struct server *server)
{
	for (uint32_t i = 0; i < PAGES_A_TURN; i++) {
		if (server->copy_page < COPY_PAGES) {
			if (!put_pages(server))
				return;
			continue;
		}
		if (server->guest_runs)
			end_round(world, server);
		else
			end_copy(server);
		return;
	}
}

static void take_page(struct server *server, const struct pair_action *action)
{
	uint8_t all[COPY_PAGES][GUEST_PAGE_SIZE];
	struct message_pages pages;
	int error = message_pages_decode(action->message, COPY_PAGES, GUEST_PAGE_SIZE, &pages);

	ASSERT(!error);
	memcpy(all, server->incoming_disk, sizeof(server->incoming_disk));
	memcpy(all[DISK_PAGES], &server->incoming, sizeof(server->incoming));
	if (pages.data)
		memcpy(all[pages.first], pages.data, GUEST_PAGE_SIZE);
	else
		memset(all[pages.first], 0, pages.count * GUEST_PAGE_SIZE);
	/* A page of the disk may have been overtaken by words about newer writes. */
	for (uint32_t key = 0; key < GUEST_KEY_COUNT && pages.first < DISK_PAGES; key++) {
		uint32_t version;

		memcpy(&version, all[0] + key * sizeof(version), sizeof(version));
		server->incoming_disk[key] =
			version > server->incoming_disk[key] ? version : server->incoming_disk[key];
	}
	memcpy(&server->incoming, all[DISK_PAGES], sizeof(server->incoming));
}

static void load_guest(struct world *world, struct server *server, const struct pair_action *action)
{
	bool right = guest_digest(&server->incoming) == action->digest &&
		     position_equal(&server->incoming.position, &action->position);

	if (!right)
		violate(world, "a join brought another guest than the source's", "digest or position differ");
	if (server->is_other_build)
		violate(world, "another build takes the guest", "server %c",
			(char)('a' + (server - world->servers)));
	if (world->stale_side == server - world->servers)
		world->stale_side = NOBODY; /* all of the source's was copied */
	if (memcmp(server->incoming_disk, server->incoming.versions, sizeof(server->incoming_disk)))
		violate(world, "a join ended before the disks were the same", "server %c",
			(char)('a' + (server - world->servers)));
	server->guest = server->incoming;
	memcpy(server->disk, server->incoming_disk, sizeof(server->disk));
	memset(server->disk_done_ns, 0, sizeof(server->disk_done_ns));
	for (uint32_t slot = 0; slot < GUEST_MAILBOX; slot++)
		if (server->guest.puts[slot].state == 2)
			/* Complete from our own disk, should we lead. */
			server->disk_done_ns[slot] = world->now_ns + MS;
	held_output_restart(&server->held, server->guest.outputs);
	server->guest_runs = true;
	pair_join_loaded(&server->pair, right);
}

/* ---- actions ---- */

/* The other one's disks have what these lack. */
static void check_disks(struct world *world, uint32_t side)
{
	if (world->stale_side == side)
		violate(world, "a guest goes on without the disks that it needs", "server %c", 'a' + side);
}

static void boot_guest(struct world *world, uint32_t side)
{
	struct server *server = &world->servers[side];

	check_disks(world, side);
	guest_boot(&server->guest, ++world->boots, server->disk);
	server->guest_runs = true;
	memset(server->disk_done_ns, 0, sizeof(server->disk_done_ns));
	held_output_restart(&server->held, 0);
	for (uint32_t key = 0; key < GUEST_KEY_COUNT; key++)
		if (server->disk[key] < world->acknowledged[key])
			violate(world, "an acknowledged write is lost at a boot",
				"server %c, key %u: %u, acknowledged %u", 'a' + side, key, server->disk[key],
				world->acknowledged[key]);
}

static bool is_rough(const struct world *world)
{
	return world->kind == WORLD_ROUGH || world->kind == WORLD_BUILDS;
}

/* How long the next join must wait after a divergence, told by the roles alone. */
static void see_divergence(struct world *world, struct server *server)
{
	bool was_good = world->now_ns - server->leader_since_ns >= GOOD_STRETCH_NS;

	if (server->rejoin_wait_ns == 0 || was_good)
		server->rejoin_wait_ns = REJOIN_WAIT_MIN_NS;
	else
		server->rejoin_wait_ns = min_u64(2 * server->rejoin_wait_ns, REJOIN_WAIT_MAX_NS);
	server->rejoin_at_ns = world->now_ns + server->rejoin_wait_ns;
}

static void see_role(struct world *world, struct server *server, const struct pair_action *action)
{
	if (action->to == PAIR_LEADER)
		server->leader_since_ns = world->now_ns;
	if (action->to == PAIR_TARGET)
		memset(&server->incoming, 0, sizeof(server->incoming));
	if (action->from == PAIR_LEADER && !strcmp(action->reason, "the follower diverged"))
		see_divergence(world, server);
	if (action->to == PAIR_SIMPLEX)
		server->hold_until_ns = world->now_ns + random_below(world, 30 * MS);
}

static void see_join(struct world *world, const struct server *server)
{
	if (world->now_ns < server->hold_until_ns)
		violate(world, "a join began while it was held", "%lu ns early",
			(unsigned long)(server->hold_until_ns - world->now_ns));
	/* The clocks drift by less than this. */
	if (world->now_ns + MS < server->rejoin_at_ns)
		violate(world, "joined again too soon after a divergence", "%lu ns early",
			(unsigned long)(server->rejoin_at_ns - world->now_ns));
	if (world->kind == WORLD_FLIPS && server->rejoin_at_ns &&
	    world->now_ns > server->rejoin_at_ns + 60 * MS)
		violate(world, "joined again too late after a divergence", "%lu ns late",
			(unsigned long)(world->now_ns - server->rejoin_at_ns));
}

static void do_action(struct world *world, uint32_t side, const struct pair_action *action)
{
	struct server *server = &world->servers[side];

	switch (action->kind) {
	case PAIR_ACTION_ROLE:
		/* Changes of role are short, and the best moments to die in. */
		if (world->is_safety_phase && is_rough(world) && random_below(world, 6) == 0)
			server->crash_at_ns = world->now_ns + random_below(world, 4 * MS);
		see_role(world, server, action);
		say(world, side, "%s -> %s: %s", pair_role_name(action->from), pair_role_name(action->to),
		    action->reason);
		break;
	case PAIR_ACTION_PERSIST:
		server->persisting = action->durable;
		server->persist_done_ns = world->now_ns + 100 * US + random_below(world, 3 * MS);
		if (is_rough(world) && random_below(world, 6) == 0) /* a disk that tries again and again */
			server->persist_done_ns += random_below(world, 150 * MS);
		break;
	case PAIR_ACTION_GUEST_BOOT:
		boot_guest(world, side);
		break;
	case PAIR_ACTION_GUEST_RESUME:
		check_disks(world, side);
		server->guest_runs = true;
		break;
	case PAIR_ACTION_GUEST_FREEZE:
	case PAIR_ACTION_GUEST_DISCARD:
		server->guest_runs = false;
		break;
	case PAIR_ACTION_JOIN_COPY:
		see_join(world, server);
		server->copying = true;
		server->copy_page = 0;
		server->copy_until_ns = world->now_ns + random_below(world, 30 * MS);
		break;
	case PAIR_ACTION_JOIN_ABORT:
		server->copying = false;
		server->guest_runs = true;
		break;
	case PAIR_ACTION_JOIN_TAKE:
		take_page(server, action);
		break;
	case PAIR_ACTION_JOIN_LOAD:
		load_guest(world, server, action);
		break;
	case PAIR_ACTION_TAKE_OVER:
		break;
	case PAIR_ACTION_DIVERGED:
		say(world, side, "diverged: %s: field %u", action->reason, action->field);
		server->told = *action;
		break;
	case PAIR_ACTION_RELEASED:
		held_output_left_elsewhere(&server->held, action->number);
		break;
	}
}

/* ---- a server's turn ---- */

static void transmit(struct world *world, uint32_t side)
{
	struct server *server = &world->servers[side];
	uint64_t now_ns = server_now_ns(world, server);
	struct message_beacon beacon;
	uint8_t frame[WIRE_FRAME_MAX];

	for (uint32_t i = 0; i < FRAMES_A_TURN * WIRE_LINK_COUNT; i++) {
		uint32_t link = i % WIRE_LINK_COUNT;
		uint64_t size = pair_transmit(&server->pair, link, now_ns, frame);

		if (size)
			fly(world, 1 - side, link, frame, size);
	}
	if (!pair_beacon_make(&server->pair, now_ns, &beacon))
		return;
	fly(world, 1 - side, WORLD_MANAGEMENT, &beacon, sizeof(beacon));
	/* The station is asked with each beacon, and answers when both ways work. */
	if (!world->cut.management_out[side] && !world->cut.management_in[side] && !world->cut.station &&
	    !chance_permille(world, world->faults.loss_permille))
		pair_station(&server->pair, WORLD_MANAGEMENT, now_ns);
}

static void tell_carriers(struct world *world, uint32_t side, uint64_t now_ns)
{
	bool carrier = !world->cut.pulled && (world->servers[1 - side].running || !world->has_carriers);

	for (uint32_t link = 0; link < WIRE_LINK_COUNT; link++)
		pair_carrier(&world->servers[side].pair, link, carrier, now_ns);
}

/* A follower that is a third slower makes the leader slower, before the greatest lag is there. */
static void check_lag(struct world *world, const struct server *server)
{
	const struct pair *pair = &server->pair;

	if (world->kind == WORLD_QUIET && pair->role == PAIR_LEADER && pair->peer_ready &&
	    pair->time_ns > pair->peer_time_ns + LAG_MAX_NS)
		violate(world, "the follower lags too far", "by %lu ns",
			(unsigned long)(pair->time_ns - pair->peer_time_ns));
}

/* As the mirrored disks do: one is not written over while its server keeps a guest that wrote to it. */
static bool disks_hold_the_join(const struct world *world, uint32_t side)
{
	const struct server *peer = &world->servers[1 - side];

	return world->now_ns < world->servers[side].hold_until_ns || (peer->running && peer->pair.has_guest);
}

static void take_turn(struct world *world, uint32_t side)
{
	struct server *server = &world->servers[side];
	struct pair_action action;
	uint64_t now_ns = server_now_ns(world, server);
	uint64_t wait_ns;

	pair_hold_join(&server->pair, disks_hold_the_join(world, side));
	tell_carriers(world, side, now_ns);
	tell_disks(world, side);
	pair_tick(&server->pair, now_ns);
	take_disk_words(server);
	if (server->persist_done_ns && world->now_ns >= server->persist_done_ns) {
		server->persist_done_ns = 0;
		server->durable = server->persisting;
		pair_persisted(&server->pair);
	}
	while (pair_action_take(&server->pair, &action))
		do_action(world, side, &action);
	check_lag(world, server);
	run_guest(world, server);
	if (server->copying)
		copy_step(world, server);
	while (pair_action_take(&server->pair, &action))
		do_action(world, side, &action);
	release_outputs(world, side);
	transmit(world, side);
	wait_ns = pair_next_deadline_ns(&server->pair);
	wait_ns = wait_ns > now_ns ? wait_ns - now_ns : 0;
	if (can_run(server) || server->copying || server->persist_done_ns)
		wait_ns = min_u64(wait_ns, SLICE_STEPS * STEP_NS);
	server->next_turn_ns = world->now_ns + max_u64(min_u64(wait_ns, 5 * MS), 20 * US);
}

/* ---- faults ---- */

static void isolate(struct world *world, uint32_t side)
{
	memset(world->cut.cs, 1, sizeof(world->cut.cs));
	world->cut.management_out[side] = world->cut.management_in[side] = true;
	say(world, 2, "all cut around %c", 'a' + side);
}

static void pull_cables(struct world *world)
{
	memset(world->cut.cs, 1, sizeof(world->cut.cs));
	world->cut.pulled = true;
	say(world, 2, "both links pulled");
}

/*
 * One goes on, as soon as may be, and dies; the other neither hears nor says anything
 * meanwhile, and must not believe afterwards that nothing has happened.
 */
static void pull_cables_of_deaf(struct world *world, uint32_t side)
{
	uint64_t deaf_until_ns = world->now_ns + 16 * MS + random_below(world, 14 * MS);

	pull_cables(world);
	if (random_below(world, 2))
		world->servers[side].paused_until_ns = deaf_until_ns;
	world->cut.management_out[side] = world->cut.management_in[side] = true;
	world->hear_at_ns = deaf_until_ns;
	world->servers[1 - side].crash_at_ns = deaf_until_ns - random_below(world, 2 * MS);
	say(world, side, "deaf until %.3f ms", (double)deaf_until_ns / 1e6);
}

static bool is_duplex(const struct world *world)
{
	const struct pair *a = &world->servers[0].pair;
	const struct pair *b = &world->servers[1].pair;

	if (!world->servers[0].running || !world->servers[1].running)
		return false;
	return (a->role == PAIR_LEADER && a->peer_ready && b->role == PAIR_FOLLOWER) ||
	       (b->role == PAIR_LEADER && b->peer_ready && a->role == PAIR_FOLLOWER);
}

/* Only where the other one's are whole, and no decision has fallen that counts on these. */
static void disks_fail(struct world *world, uint32_t side)
{
	const struct pair *pair = &world->servers[side].pair;
	struct server *peer = &world->servers[1 - side];

	if (!is_duplex(world) || world->stale_side != NOBODY || pair->going_alone)
		return;
	world->stale_side = side;
	/* What the other one has yet to replay would be on no disk, should it die as well: two faults at once. */
	for (uint32_t key = 0; key < GUEST_KEY_COUNT; key++)
		peer->disk[key] = (uint32_t)max_u64(peer->disk[key], world->servers[side].disk[key]);
	for (uint32_t i = 0; i < 2; i++)
		tell_disks(world, i);
	say(world, side, "its disks fail");
	if (random_below(world, 2)) /* the other one dies, and may be back before that is noticed */
		server_crash(world, 1 - side, random_below(world, 30 * MS));
}

static void random_fault(struct world *world)
{
	uint32_t side = (uint32_t)random_below(world, 2);
	struct server *server = &world->servers[side];
	bool *const cuts[] = { &world->cut.cs[0][0],	      &world->cut.cs[0][1],
			       &world->cut.cs[1][0],	      &world->cut.cs[1][1],
			       &world->cut.management_out[0], &world->cut.management_out[1],
			       &world->cut.management_in[0],  &world->cut.management_in[1] };

	switch (random_below(world, world->disks_fail ? 19 : 16)) {
	case 0:
	case 1:
		if (server->running)
			server_crash(world, side, random_below(world, 300 * MS));
		break;
	case 2: /* power lost in both */
		for (uint32_t i = 0; i < 2; i++)
			if (world->servers[i].running)
				server_crash(world, i, random_below(world, 300 * MS));
		break;
	case 3:
		server->paused_until_ns = world->now_ns + random_below(world, 300 * MS);
		say(world, side, "paused until %.3f ms", (double)server->paused_until_ns / 1e6);
		break;
	case 4: /* both CS links, both ways */
		memset(world->cut.cs, 1, sizeof(world->cut.cs));
		say(world, 2, "both links cut");
		break;
	case 5: /* everything of one server, alive */
		isolate(world, side);
		break;
	case 6:
	case 7:
		*cuts[random_below(world, ARRAY_SIZE(cuts))] = true;
		break;
	case 8:
	case 9:
		memset(&world->cut, 0, sizeof(world->cut));
		say(world, 2, "cables mended");
		break;
	case 13:
		world->cut.station = true;
		say(world, 2, "the station is down");
		break;
	case 14: /* words that come later than one side waits would be the one fault that no rule bears */
		if (world->beacon_jitter_us == 0)
			pull_cables(world);
		break;
	case 15:
		if (world->beacon_jitter_us == 0)
			pull_cables_of_deaf(world, side);
		break;
	case 10: /* one stands still, the other goes on and is isolated before the first wakes up */
		server->paused_until_ns = world->now_ns + 150 * MS + random_below(world, 150 * MS);
		world->isolate_at_ns = server->paused_until_ns - random_below(world, 50 * MS);
		world->isolate_side = 1 - side;
		say(world, side, "paused until %.3f ms", (double)server->paused_until_ns / 1e6);
		break;
	case 16:
	case 17:
	case 18:
		disks_fail(world, side);
		break;
	default:
		world->faults =
			(struct world_faults){ .loss_permille = (uint32_t)random_below(world, 60),
					       .duplication_permille = (uint32_t)random_below(world, 50),
					       .corruption_permille = (uint32_t)random_below(world, 30),
					       .jitter_us = (uint32_t)random_below(world, 400) };
		break;
	}
}

static void heal(struct world *world)
{
	world->is_safety_phase = false;
	say(world, 2, "healed");
	memset(&world->cut, 0, sizeof(world->cut));
	memset(&world->faults, 0, sizeof(world->faults));
	for (uint32_t i = 0; i < 2; i++)
		world->servers[i].paused_until_ns = world->servers[i].crash_at_ns = 0;
	world->is_mended = true;
	if (world->servers[world->script_side].is_other_build && world->servers[world->script_side].running)
		server_crash(world, world->script_side, 50 * MS); /* to start the right build */
}

/* ---- the client ---- */

static void client_step(struct world *world)
{
	if (world->pending_request || world->now_ns < world->client_next_ns)
		return;
	world->pending_request = ++world->next_request;
	world->pending_key = (uint32_t)random_below(world, GUEST_KEY_COUNT);
	world->pending_version = world->next_request & 0xffff;
	world->pending_sent_ns = 0;
}

/* ---- what is tried on purpose ---- */

/* A bit of one replica's memory turns over. */
static void flip_bit(struct world *world)
{
	uint32_t side = (uint32_t)random_below(world, 2);
	struct guest *guest = &world->servers[side].guest;
	uint32_t bit = 1u << random_below(world, 32);

	world->flipped = random_below(world, 2) ? GUEST_FIELD_NOISE : GUEST_FIELD_BALLAST;
	if (world->flipped == GUEST_FIELD_NOISE)
		guest->noise[random_below(world, ARRAY_SIZE(guest->noise))] ^= bit;
	else /* only a digest can tell */
		guest->ballast[random_below(world, ARRAY_SIZE(guest->ballast))] ^= bit;
	world->servers[0].told.kind = world->servers[1].told.kind = 0;
	world->expect_by_ns = world->now_ns + TOLD_NS;
	say(world, side, "a bit flips");
}

/* Both sides say the same of it, each from its own side. */
static void see_flip_told(struct world *world)
{
	const struct pair_action *a = &world->servers[0].told;
	const struct pair_action *b = &world->servers[1].told;

	if (!a->kind || !b->kind) {
		if (world->now_ns > world->expect_by_ns)
			violate(world, "a flipped bit was not told on both sides", "a %u, b %u", a->kind != 0,
				b->kind != 0);
		return;
	}
	world->expect_by_ns = 0;
	if (a->field != b->field || a->digest != b->peer_digest || b->digest != a->peer_digest ||
	    strcmp(a->reason, b->reason) || !position_equal(&a->position, &b->position))
		violate(world, "both sides tell a divergence differently", "fields %u and %u", a->field,
			b->field);
	if (strstr(a->reason, "digest") && a->digest == b->digest)
		violate(world, "not the check that failed is told", "%s", a->reason);
	/* When it was a digest that differed, that field is known. */
	if (a->field != (a->digest == a->peer_digest ? TRAIL_FIELD_NONE : world->flipped))
		violate(world, "another field is named than the one that differed", "field %u", a->field);
}

/* The slow follower is behind as far as it may be: much of the log is not replayed yet. */
static void slow_down_follower(struct world *world)
{
	for (uint32_t i = 0; i < 2; i++)
		world->servers[i].step_ns =
			world->servers[i].pair.role == PAIR_FOLLOWER ? 3 * STEP_NS : STEP_NS;
}

static void cut_links(struct world *world)
{
	memset(world->cut.cs, 1, sizeof(world->cut.cs));
	world->expect_by_ns = world->now_ns + DUPLEX_NS;
	say(world, 2, "both links cut");
}

/*
 * One has stopped for the other to go on alone, and just before or just after that the
 * other loses power. Whichever goes on: what was seen outside must not be contradicted.
 */
static void kill_who_goes_on(struct world *world)
{
	for (uint32_t i = 0; i < 2; i++) {
		if (!world->cut.cs[0][0] || world->servers[i].pair.role != PAIR_STOPPED)
			continue;
		memset(&world->cut, 0, sizeof(world->cut));
		world->servers[1 - i].crash_at_ns = world->now_ns + random_below(world, 3 * MS);
	}
}

static void kill_one(struct world *world)
{
	world->script_side = (uint32_t)random_below(world, 2);
	server_crash(world, world->script_side, 600 * MS);
	world->expect_by_ns = world->now_ns +
			      (world->has_carriers && !world->is_unsure ? EARLY_TAKE_OVER_NS : TAKE_OVER_NS);
}

/* The one that is left over knows all it needs, or is to go on without: it must go on. */
static void expect_take_over(struct world *world)
{
	const struct server *survivor = &world->servers[1 - world->script_side];

	if (survivor->pair.role == PAIR_SIMPLEX)
		world->expect_by_ns = 0;
	else if (world->now_ns > world->expect_by_ns)
		violate(world, "the survivor did not go on", "it is %s: %s",
			pair_role_name(survivor->pair.role), survivor->pair.reason);
}

static uint64_t script_delay_ns(struct world *world)
{
	if (world->kind == WORLD_FLIPS)
		return 10 * MS + random_below(world, random_below(world, 2) ? 60 * MS : 900 * MS);
	if (world->kind == WORLD_CUT_OFF)
		return 150 * MS + random_below(world, 200 * MS);
	return random_below(world, random_below(world, 2) ? 10 * MS : 200 * MS);
}

/* In worlds without random faults: becoming duplex, staying so, and what ends it. */
static void script_step(struct world *world)
{
	bool duplex = is_duplex(world);

	if (duplex && !world->was_duplex) {
		world->script_at_ns = world->now_ns + script_delay_ns(world);
		if (world->kind == WORLD_CUT_OFF) {
			slow_down_follower(world);
			world->expect_by_ns = 0;
		}
	}
	if (!duplex && world->was_duplex && !world->expect_by_ns)
		violate(world, "duplex ended for no reason", "%s", "nothing was done to the pair");
	if (duplex)
		world->duplex_ns = world->now_ns;
	else if (world->now_ns - world->duplex_ns > DUPLEX_NS)
		violate(world, "not duplex in time, with nothing in the way", "a is %s, b is %s",
			pair_role_name(world->servers[0].pair.role),
			pair_role_name(world->servers[1].pair.role));
	world->was_duplex = duplex;
	if (world->kind == WORLD_FLIPS && world->expect_by_ns)
		see_flip_told(world);
	if (world->kind == WORLD_TAKE_OVER && world->expect_by_ns)
		expect_take_over(world);
	if (world->kind == WORLD_CUT_OFF && world->expect_by_ns)
		kill_who_goes_on(world);
	if (!duplex || world->expect_by_ns || world->now_ns < world->script_at_ns)
		return;
	if (world->kind == WORLD_FLIPS)
		flip_bit(world);
	if (world->kind == WORLD_TAKE_OVER)
		kill_one(world);
	if (world->kind == WORLD_CUT_OFF)
		cut_links(world);
}

static void step(struct world *world)
{
	uint64_t next_ns = UINT64_MAX;

	for (uint32_t i = 0; i < 2; i++) {
		const struct server *server = &world->servers[i];

		next_ns = min_u64(next_ns, server->running
						   ? max_u64(server->next_turn_ns, server->paused_until_ns)
						   : server->start_at_ns);
	}
	for (uint32_t i = 0; i < world->flying_count; i++)
		if (world->servers[world->flying[i].to].paused_until_ns <= world->flying[i].arrives_ns)
			next_ns = min_u64(next_ns, world->flying[i].arrives_ns);
	world->now_ns = max_u64(world->now_ns, min_u64(next_ns, world->now_ns + 10 * MS));
	arrive(world);
	client_step(world);
	for (uint32_t i = 0; i < 2; i++) {
		struct server *server = &world->servers[i];

		if (!server->running && world->now_ns >= server->start_at_ns)
			server_start(world, i);
		else if (server->running && server->crash_at_ns && world->now_ns >= server->crash_at_ns)
			server_crash(world, i, random_below(world, 300 * MS));
		else if (server->running && world->now_ns >= server->next_turn_ns &&
			 world->now_ns >= server->paused_until_ns)
			take_turn(world, i);
	}
}

static void check_end(struct world *world)
{
	if (!is_duplex(world)) {
		violate(world, "not duplex again after the faults healed", "a is %s (%s), b is %s (%s)",
			world->servers[0].running ? pair_role_name(world->servers[0].pair.role) : "off",
			world->servers[0].running ? world->servers[0].pair.reason : "",
			world->servers[1].running ? pair_role_name(world->servers[1].pair.role) : "off",
			world->servers[1].running ? world->servers[1].pair.reason : "");
		return;
	}
	for (uint32_t i = 0; i < 2; i++) {
		const struct server *server = &world->servers[i];

		for (uint32_t key = 0; key < GUEST_KEY_COUNT; key++)
			if (server->pair.role == PAIR_LEADER &&
			    server->guest.versions[key] < world->acknowledged[key])
				violate(world, "an acknowledged write is lost",
					"server %c, key %u: %u, acknowledged %u", (char)('a' + i), key,
					server->guest.versions[key], world->acknowledged[key]);
	}
}

static enum world_kind kind_of(uint64_t seed)
{
	switch (seed % 8) {
	case 3:
		return seed / 8 % 2 ? WORLD_CUT_OFF : WORLD_ROUGH;
	case 4:
		return WORLD_QUIET;
	case 5:
		return WORLD_FLIPS;
	case 6:
		return WORLD_BUILDS;
	case 7:
		return WORLD_TAKE_OVER;
	default:
		return WORLD_ROUGH;
	}
}

static void world_begin(struct world *world, uint64_t seed, bool verbose)
{
	free(world->flying);
	memset(world, 0, sizeof(*world));
	world->flying = malloc(WORLD_FLYING_MAX * sizeof(struct flying));
	ASSERT(world->flying != NULL);
	world->seed = seed;
	world->kind = kind_of(seed);
	world->verbose = verbose;
	world->random_state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	world->now_ns = world->duplex_ns = 1000 * MS;
	world->is_safety_phase = true;
	world->script_side = (uint32_t)random_below(world, 2);
	world->has_carriers = seed / 16 % 2;
	world->stale_side = NOBODY;
	world->disks_fail = is_rough(world) && seed / 8 % 2;
	world->is_unsure = world->kind == WORLD_TAKE_OVER && seed / 8 % 2;
	world->cut.station = world->is_unsure;
	if (world->kind == WORLD_TAKE_OVER) /* below every time-out: late words, but no false signs of life */
		world->beacon_jitter_us = world->has_carriers ? 0 : 40000;
	else if (seed % 5 == 0)
		world->beacon_jitter_us = 100000;
}

/* The hard half: everything happens that may. */
static void be_rough(struct world *world, uint64_t *next_fault_ns)
{
	if (world->isolate_at_ns && world->now_ns >= world->isolate_at_ns) {
		world->isolate_at_ns = 0;
		isolate(world, world->isolate_side);
		/* Time for the one that wakes up to make up its mind. */
		*next_fault_ns = world->now_ns + 400 * MS;
	}
	if (world->hear_at_ns && world->now_ns >= world->hear_at_ns) {
		world->hear_at_ns = 0;
		memset(world->cut.management_out, 0, sizeof(world->cut.management_out));
		memset(world->cut.management_in, 0, sizeof(world->cut.management_in));
		*next_fault_ns = world->now_ns + 400 * MS;
	}
	if (world->now_ns >= *next_fault_ns) {
		random_fault(world);
		*next_fault_ns = world->now_ns + random_below(world, 200 * MS);
	}
}

void world_run(struct world *world, uint64_t seed, bool verbose)
{
	uint64_t next_fault_ns;
	uint64_t faults_until_ns;
	uint64_t end_ns;

	world_begin(world, seed, verbose);
	world->servers[1].start_at_ns = world->now_ns + random_below(world, 100 * MS);
	world->servers[0].start_at_ns = world->now_ns + random_below(world, 100 * MS);
	faults_until_ns = world->now_ns + SAFETY_NS;
	next_fault_ns = world->now_ns + random_below(world, 400 * MS);
	while (world->now_ns < faults_until_ns && !world->violation) {
		step(world);
		if (is_rough(world))
			be_rough(world, &next_fault_ns);
		else
			script_step(world);
	}
	heal(world);
	end_ns = world->now_ns + LIVENESS_NS;
	world->duplex_ns = world->now_ns; /* from here: since when it has been duplex */
	/* Some life in duplex, digests compared: it must hold, not only be there when the faults end. */
	while (world->now_ns < end_ns && !world->violation && world->now_ns - world->duplex_ns < 100 * MS) {
		step(world);
		if (!is_duplex(world))
			world->duplex_ns = world->now_ns;
	}
	if (!world->violation)
		check_end(world);
	for (uint32_t i = 0; i < 2; i++) {
		world->joins += world->servers[i].pair.joins;
		world->failovers += world->servers[i].pair.failovers;
		if (world->servers[i].pair.divergences && world->kind != WORLD_FLIPS)
			violate(world, "a follower diverged", "server %c: %s", (char)('a' + i),
				world->servers[i].pair.peer_text);
	}
}
