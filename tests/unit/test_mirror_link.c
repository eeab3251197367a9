/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mirror/engine_*.c: two servers' engines on one link, each with a disk and a state
 * partition as bytes, restarted at will.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "mirror/engine.h"

#define SECTORS (10 * MIRROR_REGION_SECTORS - 3)
#define PARTITION_SIZE (256 * KIB)
#define MS UINT64_C(1000000)
#define PAIR UINT64_C(0x1122334455667788)
#define INBOX_SIZE (4 * MIB)

#define DISK_SIZE (SECTORS * MIRROR_SECTOR_SIZE)
#define TAG_MAX 64

struct server {
	/* kept */
	uint8_t partition[PARTITION_SIZE];
	uint8_t disk[DISK_SIZE];
	const char *in_bay; /* serial number; NULL: the one that belongs there, "": no disk */
	/* lost with the power */
	struct mirror_engine engine;
	uint8_t inbox[INBOX_SIZE];
	uint64_t inbox_size;
	uint64_t sent[MIRROR_MESSAGE_TYPE_COUNT];
	char trail[2048];
	int disk_error; /* of every request to the disk */
	bool is_off;
	uint64_t state_writes_left; /* at the next one the power is lost */
	bool disk_stands;
	uint32_t standing_count; /* requests that the disk has and does not do */
	struct mirror_engine_action standing[256];
	_Alignas(8) uint8_t memory[65536];
	uint8_t buffers[MIRROR_ENGINE_BUFFER_COUNT * MIRROR_ENGINE_BUFFER_SIZE];
	uint8_t requests[TAG_MAX][4 * MIRROR_REGION_SIZE]; /* the guest's data, by tag */
};

static struct server servers[2];
static uint64_t now_ns;
static uint64_t room; /* of each stream in each turn */
static bool link_is_up;

static void note(struct server *server, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void note(struct server *server, const char *format, ...)
{
	size_t at = strlen(server->trail);
	va_list list;

	va_start(list, format);
	vsnprintf(server->trail + at, sizeof(server->trail) - at, format, list);
	va_end(list);
}

static void note_event(struct server *server, const struct mirror_engine_action *action)
{
	if (action->event == MIRROR_EVENT_DISK_STATE)
		note(server, "%c %s; ", 'a' + action->server, mirror_disk_state_name(action->to));
	else if (action->event == MIRROR_EVENT_DECISION)
		note(server, "decision %u; ", mirror_engine_decision(&server->engine, action->set)->verdict);
	else
		note(server, "event %u; ", action->event);
}

static uint8_t *data_of(struct server *server, const struct mirror_engine_action *action)
{
	return action->buffer >= 0 ? server->buffers + (uint64_t)action->buffer * MIRROR_ENGINE_BUFFER_SIZE
				   : server->requests[action->tag] + action->data_offset;
}

static void send_message(struct server *server, const struct mirror_engine_action *action)
{
	struct server *peer = &servers[server == servers];

	assert_true(link_is_up);
	assert_true(peer->inbox_size + action->size + action->data_size <= INBOX_SIZE);
	memcpy(peer->inbox + peer->inbox_size, action->bytes, action->size);
	peer->inbox_size += action->size;
	if (action->data_size > 0)
		memcpy(peer->inbox + peer->inbox_size, data_of(server, action), action->data_size);
	peer->inbox_size += action->data_size;
	server->sent[action->bytes[0]]++;
}

static void disk_do(struct server *server, const struct mirror_engine_action *action)
{
	uint8_t *place = server->disk + action->sector * MIRROR_SECTOR_SIZE;
	uint64_t size = action->sector_count * MIRROR_SECTOR_SIZE;

	assert_true(range_fits(action->sector, action->sector_count, SECTORS));
	if (!server->disk_error && action->operation == MIRROR_READ)
		memcpy(data_of(server, action), place, size);
	else if (!server->disk_error && action->operation == MIRROR_WRITE)
		memcpy(place, data_of(server, action), size);
	mirror_engine_done(&server->engine, action->set, action->slot, server->disk_error);
}

static void act(struct server *server, const struct mirror_engine_action *action)
{
	switch (action->kind) {
	case MIRROR_ENGINE_EVENT:
		note_event(server, action);
		break;
	case MIRROR_ENGINE_OWN:
		if (server->disk_stands)
			server->standing[server->standing_count++] = *action;
		else
			disk_do(server, action);
		break;
	case MIRROR_ENGINE_FINISHED:
		note(server, "finished %lu:%d; ", action->tag, action->status);
		mirror_engine_release(&server->engine, action->set, action->slot);
		break;
	case MIRROR_ENGINE_STATE:
		server->is_off = server->state_writes_left-- == 0;
		if (server->is_off)
			break;
		memcpy(server->partition + action->offset, action->bytes, action->size);
		mirror_engine_state_written(&server->engine, 0);
		break;
	default:
		send_message(server, action);
	}
}

static void disk_goes_on(struct server *server)
{
	server->disk_stands = false;
	for (uint32_t i = 0; i < server->standing_count; i++)
		disk_do(server, &server->standing[i]);
	server->standing_count = 0;
}

static void take(struct server *server)
{
	struct mirror_engine_action action;

	mirror_engine_tick(&server->engine, now_ns, 77);
	mirror_engine_room(&server->engine, room);
	while (!server->is_off && mirror_engine_take(&server->engine, &action))
		act(server, &action);
}

static void receive(struct server *server)
{
	struct mirror_engine_data data;
	int64_t size;

	if (server->is_off)
		return;
	while ((size = mirror_engine_receive(&server->engine, server->inbox, server->inbox_size, &data)) >
	       0) {
		if (data.size > 0)
			memcpy(server->requests[data.tag] + data.offset, data.bytes, data.size);
		server->inbox_size -= (uint64_t)size;
		memmove(server->inbox, server->inbox + size, server->inbox_size);
	}
	assert_int_equal(size, 0);
}

static void turn(void)
{
	now_ns += MS;
	take(&servers[0]);
	take(&servers[1]);
	for (uint32_t s = 0; s < 2 && link_is_up; s++)
		receive(&servers[s]);
}

/* Both take and receive until nothing moves. */
static void settle(void)
{
	for (uint32_t i = 0; i < 200; i++)
		turn();
}

static void connect_servers(bool up)
{
	link_is_up = up;
	for (uint32_t i = 0; i < 2; i++) {
		servers[i].inbox_size = 0;
		mirror_engine_link(&servers[i].engine, up);
	}
}

static void power_on(uint32_t index)
{
	struct server *server = &servers[index];
	const uint8_t *copies[METADATA_COPY_COUNT] = { server->partition,
						       server->partition + METADATA_COPY_DISTANCE };
	const char *serial = server->in_bay ? server->in_bay : index ? "B1" : "A1";
	const struct mirror_engine_disk disk = { .serial = serial, .sector_count = serial[0] ? SECTORS : 0 };
	struct metadata_choice choice;
	uint64_t offset;

	mirror_engine_init(&server->engine, index, PARTITION_SIZE);
	mirror_engine_buffers(&server->engine, server->buffers);
	server->disk_stands = false;
	server->standing_count = 0;
	server->disk_error = 0;
	server->is_off = false;
	server->state_writes_left = UINT64_MAX;
	if (!mirror_engine_load(&server->engine, copies, &choice))
		mirror_engine_create(&server->engine, PAIR);
	assert_true(mirror_engine_memory_size(SECTORS) <= sizeof(server->memory));
	if (mirror_engine_open(&server->engine, 0, &disk, 5, server->memory) == -EEXIST)
		for (uint64_t block = 0; mirror_engine_map_place(&server->engine, 0, block, &offset); block++)
			mirror_engine_map_load(&server->engine, 0, block, server->partition + offset);
	memset(server->sent, 0, sizeof(server->sent));
	server->trail[0] = '\0';
	take(server);
}

static void era(uint32_t index, uint64_t generation, uint64_t token, bool alone)
{
	const struct metadata_pair pair = { .generation = generation };

	mirror_engine_era_begin(&servers[index].engine, &pair, token, alone, false);
	take(&servers[index]);
}

static void go_alone(uint32_t index, uint64_t generation)
{
	era(index, generation, 100 * generation + index, true);
	mirror_engine_mode(&servers[index].engine, MIRROR_ALONE);
	take(&servers[index]);
}

/* Two servers that were one pair, and know each other's disks. */
static int begin(void **state)
{
	(void)state;
	memset(servers, 0, sizeof(servers));
	link_is_up = false;
	room = MIB;
	for (uint32_t i = 0; i < 2; i++) {
		struct metadata_set *known;

		power_on(i);
		known = &servers[i].engine.metadata.sets[0];
		strcpy(known->serials[0], "A1");
		strcpy(known->serials[1], "B1");
		known->disk_sector_counts[0] = known->disk_sector_counts[1] = SECTORS;
		known->disk_states[0] = known->disk_states[1] = MIRROR_GOOD;
		era(i, 1, 11, false);
		power_on(i);
	}
	return 0;
}

static const struct remirror_decision *decision(void)
{
	const struct remirror_decision *decisions[2] = { mirror_engine_decision(&servers[0].engine, 0),
							 mirror_engine_decision(&servers[1].engine, 0) };

	assert_non_null(decisions[0]);
	assert_non_null(decisions[1]);
	assert_int_equal(decisions[0]->verdict, decisions[1]->verdict);
	assert_int_equal(decisions[0]->source, decisions[1]->source);
	assert_string_equal(decisions[0]->reason, decisions[1]->reason);
	return decisions[0];
}

/* ---- meeting ---- */

static void both_decide_alike(void **state)
{
	(void)state;
	go_alone(1, 2);
	connect_servers(true);
	settle();
	assert_int_equal(decision()->verdict, REMIRROR_RAPID);
	assert_int_equal(decision()->source, 1);
	assert_int_equal(servers[0].sent[MIRROR_MESSAGE_METADATA], 1);
	assert_int_equal(servers[1].sent[MIRROR_MESSAGE_METADATA], 1);
	connect_servers(false);
	assert_null(mirror_engine_decision(&servers[0].engine, 0));
}

/* Which guest runs where is what they meet about: once one starts, they do it again. */
static void start_of_the_guest_is_a_new_meeting(void **state)
{
	(void)state;
	connect_servers(true);
	settle();
	assert_int_equal(decision()->verdict, REMIRROR_NOTHING);
	go_alone(1, 2);
	settle();
	assert_int_equal(decision()->verdict, REMIRROR_RAPID);
	assert_int_equal(decision()->source, 1);
	assert_int_equal(servers[0].sent[MIRROR_MESSAGE_METADATA], 2);
	assert_int_equal(servers[1].sent[MIRROR_MESSAGE_METADATA], 2);
	/* Told as written in before it was: nothing that the guest does now changes the answer. */
	assert_true(metadata_era_now(&servers[1].engine.metadata)->changed);
}

static void write_alone(uint32_t index, uint64_t generation)
{
	go_alone(index, generation);
	assert_true(mirror_engine_submit(&servers[index].engine, 0, MIRROR_WRITE, 0, 8, 1) >= 0);
	take(&servers[index]);
	assert_non_null(strstr(servers[index].trail, "finished 1:0; "));
}

static void split_waits_for_a_word(void **state)
{
	(void)state;
	write_alone(0, 2);
	write_alone(1, 3);
	power_on(0); /* the guest runs on b only */
	connect_servers(true);
	settle();
	assert_int_equal(decision()->verdict, REMIRROR_SPLIT);
	assert_non_null(strstr(decision()->reason, "both servers wrote alone"));
	assert_non_null(strstr(servers[0].trail, "decision"));
	assert_non_null(strstr(mirror_engine_keep(&servers[0].engine, 0, 0), "runs from the other disk"));
	assert_null(mirror_engine_keep(&servers[0].engine, 0, 1));
	settle();
	assert_int_equal(decision()->verdict, REMIRROR_RAPID);
	assert_int_equal(decision()->source, 1);
	assert_non_null(strstr(mirror_engine_keep(&servers[1].engine, 0, 1), "nobody has to say"));
}

static void two_words_at_once_are_none(void **state)
{
	(void)state;
	write_alone(0, 2);
	write_alone(1, 2);
	power_on(0);
	power_on(1);
	connect_servers(true);
	settle();
	assert_null(mirror_engine_keep(&servers[0].engine, 0, 0));
	assert_null(mirror_engine_keep(&servers[1].engine, 0, 1));
	settle();
	assert_int_equal(decision()->verdict, REMIRROR_SPLIT);
	assert_null(mirror_engine_keep(&servers[1].engine, 0, 0));
	settle();
	assert_int_equal(decision()->verdict, REMIRROR_RAPID);
	assert_int_equal(decision()->source, 0);
}

static void guest_on_both_is_no_direction(void **state)
{
	(void)state;
	go_alone(0, 2);
	go_alone(1, 3);
	connect_servers(true);
	settle();
	assert_int_equal(decision()->verdict, REMIRROR_SPLIT);
	assert_non_null(strstr(mirror_engine_keep(&servers[1].engine, 0, 1), "stop one of them"));
}

/* In duplex nobody is to be met; who leaves it first says so, and the other answers when it left, too. */
static void duplex_that_ends_on_a_live_stream_meets_again(void **state)
{
	(void)state;
	connect_servers(true);
	settle();
	for (uint32_t i = 0; i < 2; i++)
		mirror_engine_mode(&servers[i].engine, MIRROR_DUPLEX);
	settle();
	assert_int_equal(servers[0].sent[MIRROR_MESSAGE_METADATA], 1);
	go_alone(0, 2);
	settle();
	assert_int_equal(servers[1].sent[MIRROR_MESSAGE_METADATA], 1);
	assert_null(mirror_engine_decision(&servers[0].engine, 0));
	mirror_engine_mode(&servers[1].engine, MIRROR_IDLE);
	settle();
	assert_int_equal(decision()->verdict, REMIRROR_RAPID);
	assert_int_equal(decision()->source, 0);
	assert_int_equal(servers[1].sent[MIRROR_MESSAGE_METADATA], 2);
}

static void nothing_is_sent_without_room(void **state)
{
	(void)state;
	room = METADATA_SIZE;
	connect_servers(true);
	settle();
	assert_int_equal(servers[0].sent[MIRROR_MESSAGE_METADATA], 0);
	room = METADATA_SIZE + 16;
	settle();
	assert_int_equal(servers[0].sent[MIRROR_MESSAGE_METADATA], 1);
	assert_int_equal(decision()->verdict, REMIRROR_NOTHING);
}

/* ---- over the link ---- */

static void submit(uint32_t index, enum mirror_operation operation, uint64_t sector, uint32_t count,
		   uint64_t tag, uint8_t fill)
{
	if (operation == MIRROR_WRITE)
		memset(servers[index].requests[tag], fill, count * MIRROR_SECTOR_SIZE);
	assert_true(mirror_engine_submit(&servers[index].engine, 0, operation, sector, count, tag) >= 0);
}

static void states_are(const char *a, const char *b)
{
	for (uint32_t i = 0; i < 2; i++) {
		struct mirror_engine_status status;

		mirror_engine_status(&servers[i].engine, 0, &status);
		assert_string_equal(mirror_disk_state_name(status.states[0]), a);
		assert_string_equal(mirror_disk_state_name(status.states[1]), b);
		/* And so says the record. */
		assert_string_equal(mirror_disk_state_name(servers[i].engine.metadata.sets[0].disk_states[0]),
				    a);
		assert_string_equal(mirror_disk_state_name(servers[i].engine.metadata.sets[0].disk_states[1]),
				    b);
	}
}

static void disks_are_equal(void)
{
	for (uint64_t i = 0; i < DISK_SIZE; i++)
		if (servers[0].disk[i] != servers[1].disk[i])
			fail_msg("byte %lu: %u and %u", i, servers[0].disk[i], servers[1].disk[i]);
}

/* a has run alone and written regions 0 and 3; b is back. */
static void part_and_meet(void)
{
	go_alone(0, 2);
	submit(0, MIRROR_WRITE, 5, 8, 1, 0x11);
	submit(0, MIRROR_WRITE, 3 * MIRROR_REGION_SECTORS + 120, 4, 2, 0x22);
	take(&servers[0]);
	assert_non_null(strstr(servers[0].trail, "finished 2:0; "));
	servers[0].trail[0] = '\0';
	connect_servers(true);
}

static void changed_regions_are_copied(void **state)
{
	struct mirror_engine_status status;

	(void)state;
	part_and_meet();
	settle();
	disks_are_equal();
	states_are("good", "good");
	assert_int_equal(servers[0].sent[MIRROR_MESSAGE_COPY], 2);
	assert_int_equal(servers[0].engine.sets[0].set.dirty.set_count, 0);
	assert_non_null(strstr(servers[1].trail, "b remirroring; b good; "));
	assert_true(mirror_engine_may_join(&servers[0].engine));
	assert_true(mirror_engine_may_join(&servers[1].engine));
	mirror_engine_status(&servers[0].engine, 0, &status);
	assert_int_equal(status.bytes_copied, 2 * MIRROR_REGION_SIZE);
	assert_int_equal(status.percent, 100);
	assert_false(status.copying);
}

static void writes_go_to_both_and_reads_stay(void **state)
{
	uint64_t reads;

	(void)state;
	part_and_meet();
	settle();
	reads = servers[0].sent[MIRROR_MESSAGE_READ];
	submit(0, MIRROR_WRITE, 900, 300, 3, 0x33); /* three parts */
	submit(0, MIRROR_READ, 5, 8, 4, 0);
	submit(0, MIRROR_FLUSH, 0, 0, 5, 0);
	settle();
	assert_non_null(strstr(servers[0].trail, "finished 3:0; "));
	assert_non_null(strstr(servers[0].trail, "finished 4:0; "));
	assert_non_null(strstr(servers[0].trail, "finished 5:0; "));
	assert_int_equal(servers[0].sent[MIRROR_MESSAGE_WRITE], 3);
	assert_int_equal(servers[0].sent[MIRROR_MESSAGE_READ], reads);
	assert_int_equal(servers[0].requests[4][0], 0x11);
	disks_are_equal();
}

/* The disk under the guest goes: it runs on from the other server's. */
static void guest_runs_from_the_peers_disk(void **state)
{
	(void)state;
	part_and_meet();
	settle();
	servers[0].disk_error = -EIO;
	submit(0, MIRROR_WRITE, 700, 200, 3, 0x44);
	settle();
	assert_non_null(strstr(servers[0].trail, "a failed; finished 3:0; "));
	states_are("failed", "good");
	submit(0, MIRROR_READ, 690, 200, 4, 0);
	settle();
	assert_non_null(strstr(servers[0].trail, "finished 4:0; "));
	assert_int_equal(servers[0].requests[4][9 * 512], 0);
	assert_int_equal(servers[0].requests[4][10 * 512], 0x44);
	assert_int_equal(servers[0].requests[4][199 * 512], 0x44);
	/* The other server may as well join, and then goes on if this one dies. */
	assert_true(mirror_engine_may_join(&servers[0].engine));
	assert_false(mirror_engine_is_current(&servers[0].engine, 0));
	assert_true(mirror_engine_is_current(&servers[1].engine, 1));
	/* Enabled again, it is brought up to date from there. */
	servers[0].disk_error = 0;
	assert_null(mirror_engine_command(&servers[0].engine, 0, MIRROR_COMMAND_ENABLE, 0));
	submit(0, MIRROR_WRITE, 1250, 8, 5, 0x55);
	settle();
	states_are("good", "good");
	disks_are_equal();
}

static void failing_target_is_dropped_and_nobody_waits(void **state)
{
	(void)state;
	part_and_meet();
	servers[1].disk_error = -EIO;
	settle();
	states_are("good", "failed");
	submit(0, MIRROR_WRITE, 0, 8, 3, 0x66);
	settle();
	assert_non_null(strstr(servers[0].trail, "finished 3:0; "));
	servers[1].disk_error = 0;
	assert_null(mirror_engine_command(&servers[0].engine, 0, MIRROR_COMMAND_ENABLE, 1));
	settle();
	states_are("good", "good");
	disks_are_equal();
}

/* The source gives the copy up and begins another, while the target still repeats what it said before. */
static void what_the_other_server_repeats_is_no_news(void **state)
{
	(void)state;
	part_and_meet();
	for (uint32_t i = 0; i < 100 && !strstr(servers[1].trail, "b remirroring"); i++) {
		now_ns += MS;
		take(&servers[0]);
		receive(&servers[1]);
		take(&servers[1]);
		if (!strstr(servers[1].trail, "b remirroring"))
			receive(&servers[0]);
	}
	servers[0].disk_error = -EIO; /* of the last good copy, which stays; what is made of it may have it */
	submit(0, MIRROR_WRITE, 5, 8, 3, 0x66);
	take(&servers[0]);
	servers[0].disk_error = 0;
	assert_non_null(strstr(servers[0].trail, "b outdated; "));
	take(&servers[0]);
	receive(&servers[0]);
	settle();
	states_are("good", "good");
	disks_are_equal();
}

/* The source gives the copy up, and the target's disk fails at that time: what the source says is older. */
static void a_failure_is_not_enabled_by_words_that_cross_it(void **state)
{
	(void)state;
	part_and_meet();
	for (uint32_t i = 0; i < 100 && !strstr(servers[1].trail, "b remirroring"); i++) {
		now_ns += MS;
		for (uint32_t s = 0; s < 2; s++) {
			take(&servers[s]);
			receive(&servers[1 - s]);
		}
	}
	mirror_set_change(&servers[0].engine.sets[0].set, MIRROR_PEER, MIRROR_COPY_BROKEN);
	mirror_set_fault(&servers[1].engine.sets[0].set, MIRROR_OWN, MIRROR_FLUSH, 0, 0, -EIO);
	take(&servers[0]);
	take(&servers[1]);
	settle();
	states_are("good", "failed");
	assert_null(mirror_engine_command(&servers[1].engine, 0, MIRROR_COMMAND_ENABLE, 1));
	settle();
	states_are("good", "good");
	disks_are_equal();
}

/* A write that comes while its region is on its way: what was read before it is not put over it. */
static void later_write_is_behind_the_copy(void **state)
{
	(void)state;
	part_and_meet();
	for (uint32_t i = 0; i < 100 && servers[0].sent[MIRROR_MESSAGE_OFFER] < 2; i++) {
		now_ns += MS;
		take(&servers[0]);
		receive(&servers[1]);
		take(&servers[1]);
		receive(&servers[0]);
	}
	take(&servers[1]);
	receive(&servers[0]); /* stamps */
	servers[0].disk_stands = true;
	take(&servers[0]); /* reads under way */
	assert_int_equal(servers[0].standing_count, 2);
	submit(0, MIRROR_WRITE, 6, 8, 3, 0x77);
	take(&servers[0]);
	disk_goes_on(&servers[0]);
	settle();
	assert_non_null(strstr(servers[0].trail, "finished 3:0; "));
	assert_int_equal(servers[1].disk[6 * 512], 0x77);
	disks_are_equal();
	states_are("good", "good");
}

static void broken_link_is_taken_up_where_it_was(void **state)
{
	(void)state;
	part_and_meet();
	for (uint32_t i = 0; i < 100 && servers[0].sent[MIRROR_MESSAGE_COPY] < 1; i++) {
		now_ns += MS;
		for (uint32_t s = 0; s < 2; s++) {
			take(&servers[s]);
			receive(&servers[1 - s]);
		}
	}
	submit(0, MIRROR_WRITE, 400, 8, 3, 0x88);
	take(&servers[0]);
	connect_servers(false);
	settle();
	assert_non_null(strstr(servers[0].trail, "finished 3:0; ")); /* alone */
	states_are("good", "outdated");
	connect_servers(true);
	settle();
	states_are("good", "good");
	disks_are_equal();
}

/* Power lost on either side after any number of messages: what is left is copied, from the right one. */
static void power_may_go_at_any_message(void **state)
{
	uint32_t last = 1;

	(void)state;
	for (uint32_t count = 0; last; count++) {
		uint32_t victim = count % 2;

		begin(NULL);
		part_and_meet();
		last = 200 - count;
		for (uint32_t i = 0; i < count; i++) {
			now_ns += MS;
			take(&servers[i % 2]);
			if (i % 3)
				receive(&servers[1 - i % 2]);
			if (i == 4)
				submit(0, MIRROR_WRITE, 5 + 130, 8, 3, 0x99);
		}
		connect_servers(false);
		servers[1].trail[0] = '\0';
		power_on(victim);
		if (victim == 0)
			go_alone(0, 3);
		settle();
		submit(0, MIRROR_WRITE, 20, 8, 6, (uint8_t)count);
		settle();
		connect_servers(true);
		settle();
		states_are("good", "good");
		disks_are_equal();
	}
}

/* What only an intent names is compared, and copied only where it differs. */
static void intents_are_compared_first(void **state)
{
	struct mirror_engine_status status;

	(void)state;
	for (uint32_t i = 0; i < 2; i++)
		region_map_set_range(&servers[i].engine.sets[0].set.intent.map, 2 + 2 * i, 3);
	settle();
	servers[0].disk[4 * MIRROR_REGION_SIZE + 77] = 1;
	go_alone(0, 2);
	submit(0, MIRROR_WRITE, 9 * MIRROR_REGION_SECTORS, 8, 1, 0x11);
	settle();
	connect_servers(true);
	settle();
	mirror_engine_status(&servers[0].engine, 0, &status);
	assert_int_equal(status.bytes_copied, 2 * MIRROR_REGION_SIZE - 3 * 512); /* the last one is short */
	assert_int_equal(status.regions_compared, 5);
	disks_are_equal();
	states_are("good", "good");
}

/* b's server has another boot disk: its set is another one. */
static void power_on_anew_b(void)
{
	memset(servers[1].partition, 0, PARTITION_SIZE);
	power_on(1);
	servers[1].engine.metadata.sets[0].identity = 6;
}

/* And so meets a, which has run the guest alone and written all of its disk. */
static void meet_new_b(void)
{
	power_on_anew_b();
	memset(servers[0].disk, 0x5a, DISK_SIZE);
	go_alone(0, 2);
	connect_servers(true);
	settle();
}

static void new_disk_gets_all_after_a_word(void **state)
{
	(void)state;
	meet_new_b();
	assert_int_equal(decision()->verdict, REMIRROR_FULL);
	assert_int_equal(servers[0].sent[MIRROR_MESSAGE_OFFER], 0);
	assert_non_null(strstr(mirror_engine_command(&servers[0].engine, 0, MIRROR_COMMAND_REMIRROR, 0),
			       "wrong direction"));
	assert_null(mirror_engine_command(&servers[1].engine, 0, MIRROR_COMMAND_REMIRROR, 1));
	for (uint32_t i = 0; i < 100 && servers[0].sent[MIRROR_MESSAGE_COPY] < 3; i++) {
		now_ns += MS;
		room = MIRROR_MESSAGE_MAX; /* one copy a turn */
		for (uint32_t s = 0; s < 2; s++) {
			take(&servers[s]);
			receive(&servers[1 - s]);
		}
	}
	room = MIB;
	/* It goes on by itself, and without copying all again. */
	connect_servers(false);
	power_on(1);
	settle();
	connect_servers(true);
	settle();
	states_are("good", "good");
	disks_are_equal();
	assert_int_equal(servers[0].engine.metadata.sets[0].full_copy, 0);
	assert_int_equal(servers[1].engine.metadata.sets[0].identity, 5);
}

/* Whichever server loses power once it was told, and wherever: nothing is left out of what they go on with. */
static void full_copy_is_cut_short(void **state, uint32_t victim)
{
	bool was_off = true;

	for (uint64_t writes = 0; was_off; writes++) {
		begin(state);
		meet_new_b();
		assert_null(mirror_engine_command(&servers[0].engine, 0, MIRROR_COMMAND_REMIRROR, 1));
		servers[victim].state_writes_left = writes;
		settle();
		was_off = servers[victim].is_off;
		connect_servers(false);
		power_on(victim);
		if (victim == 0)
			go_alone(0, 3);
		connect_servers(true);
		settle();
		if (decision()->verdict ==
		    REMIRROR_FULL) /* the source had not written down that it was told */
			mirror_engine_command(&servers[0].engine, 0, MIRROR_COMMAND_REMIRROR, 1);
		settle();
		states_are("good", "good");
		disks_are_equal();
	}
}

static void full_copy_outlives_its_servers(void **state)
{
	full_copy_is_cut_short(state, 0);
	full_copy_is_cut_short(state, 1);
}

/* The guest of one would find other sectors on the other. */
static void new_disk_of_other_sectors_gets_nothing(void **state)
{
	(void)state;
	power_on_anew_b();
	servers[1].engine.metadata.sets[0].sector_count = align_up(SECTORS, MIRROR_LARGE_SECTOR_COUNT);
	servers[1].engine.metadata.large_sectors[0] = 1;
	go_alone(0, 2);
	connect_servers(true);
	settle();
	assert_int_equal(decision()->verdict, REMIRROR_NO_SOURCE);
	assert_string_equal(decision()->reason, "the other disk has sectors of another size than the set");
	assert_non_null(strstr(mirror_engine_command(&servers[0].engine, 0, MIRROR_COMMAND_REMIRROR, 1),
			       "sectors of another size"));
}

static void join_now(void)
{
	const struct metadata_pair pair = { .generation = 3 };

	assert_true(mirror_engine_may_join(&servers[0].engine));
	assert_true(mirror_engine_may_join(&servers[1].engine));
	mirror_engine_era_begin(&servers[0].engine, &pair, 4711, false, false);
	assert_false(mirror_engine_era_is_told(&servers[0].engine));
	settle();
	assert_true(mirror_engine_era_is_told(&servers[0].engine));
	mirror_engine_era_begin(&servers[1].engine, &pair, 0, false, false);
	settle();
	for (uint32_t i = 0; i < 2; i++) {
		mirror_engine_mode(&servers[i].engine, MIRROR_DUPLEX);
		servers[i].trail[0] = '\0';
		memset(servers[i].sent, 0, sizeof(servers[i].sent));
	}
}

static void join(void)
{
	part_and_meet();
	settle();
	join_now();
}

static void submit_on_both(enum mirror_operation operation, uint64_t sector, uint64_t tag, uint8_t byte)
{
	for (uint32_t i = 0; i < 2; i++)
		submit(i, operation, sector, 8, tag, byte);
	settle();
}

/* The guest writes and reads on both, and only a's disk has it. */
static void guest_goes_on_without_the_disk_of_b(void)
{
	static const uint8_t nothing[DISK_SIZE];

	states_are("good", "missing");
	submit_on_both(MIRROR_WRITE, 6 * MIRROR_REGION_SECTORS, 1, 0x66);
	submit_on_both(MIRROR_READ, 6 * MIRROR_REGION_SECTORS, 2, 0);
	for (uint32_t i = 0; i < 2; i++) {
		assert_non_null(strstr(servers[i].trail, "finished 1:0; "));
		assert_non_null(strstr(servers[i].trail, "finished 2:0; "));
		assert_int_equal(servers[i].requests[2][0], 0x66);
	}
	assert_memory_equal(servers[1].disk, nothing, DISK_SIZE);
	assert_false(mirror_engine_is_current(&servers[1].engine, 1));
}

/* One that is new, or another one than before: the servers are together without, and it is copied to after a word. */
static void disk_of_unknown_past_waits_in_duplex(bool is_new, uint32_t told)
{
	servers[1].in_bay = "C9";
	if (is_new)
		power_on_anew_b();
	else
		power_on(1);
	memset(servers[0].disk, 0x5a, DISK_SIZE);
	join();
	assert_int_equal(decision()->verdict, REMIRROR_FULL);
	guest_goes_on_without_the_disk_of_b();
	assert_non_null(strstr(mirror_engine_command(&servers[told].engine, 0, MIRROR_COMMAND_REMIRROR, 0),
			       "wrong direction"));
	assert_null(mirror_engine_command(&servers[told].engine, 0, MIRROR_COMMAND_REMIRROR, 1));
	submit_on_both(MIRROR_WRITE, 4 * MIRROR_REGION_SECTORS, 3, 0x77);
	states_are("good", "good");
	disks_are_equal();
	assert_int_equal(servers[0].engine.metadata.sets[0].full_copy, 0);
	connect_servers(false);
	power_on(0);
	power_on(1);
	connect_servers(true);
	settle();
	assert_int_equal(decision()->verdict, REMIRROR_NOTHING);
	assert_null(mirror_engine_refusal(&servers[1].engine, 0));
}

static void disks_of_unknown_past_wait_in_duplex(void **state)
{
	for (uint32_t told = 0; told < 2; told++)
		for (uint32_t is_new = 0; is_new < 2; is_new++) {
			begin(state);
			disk_of_unknown_past_waits_in_duplex(is_new, told);
		}
}

/* It asks again, whatever its server remembers by now; and the disk that was there before may be back instead. */
static void disk_that_waits_is_not_taken_at_the_next_start(void **state)
{
	for (uint32_t is_new = 0; is_new < 2; is_new++) {
		begin(state);
		servers[1].in_bay = "C9";
		if (is_new)
			power_on_anew_b();
		else
			power_on(1);
		join();
		guest_goes_on_without_the_disk_of_b();
		connect_servers(false);
		power_on(1);
		go_alone(0, 4);
		connect_servers(true);
		settle();
		assert_int_equal(decision()->verdict, REMIRROR_FULL);
		states_are("good", "missing");
		connect_servers(false);
		servers[1].in_bay = NULL;
		power_on(1);
		connect_servers(true);
		settle();
		assert_int_equal(decision()->verdict, is_new ? REMIRROR_FULL : REMIRROR_RAPID);
		states_are("good", is_new ? "missing" : "good");
		if (!is_new)
			disks_are_equal();
	}
}

/* Pulled while the power was off: what it lacks is copied when it is back, be it at once or after both were off. */
static void disk_that_is_not_there_at_the_start(void **state)
{
	for (uint32_t both_off = 0; both_off < 2; both_off++) {
		begin(state);
		servers[1].in_bay = "";
		power_on(1);
		join();
		assert_non_null(
			strstr(mirror_engine_command(&servers[0].engine, 0, MIRROR_COMMAND_REMIRROR, 1),
			       "not there"));
		guest_goes_on_without_the_disk_of_b();
		connect_servers(false);
		servers[1].in_bay = NULL;
		power_on(1);
		if (both_off)
			power_on(0);
		go_alone(0, 4);
		connect_servers(true);
		settle();
		assert_int_equal(decision()->verdict, REMIRROR_RAPID);
		assert_int_equal(decision()->source, 0);
		states_are("good", "good");
		disks_are_equal();
	}
}

static void join_begins_one_era_on_both(void **state)
{
	(void)state;
	join();
	assert_int_equal(metadata_era_now(&servers[1].engine.metadata)->token, 4711);
	assert_int_equal(servers[0].engine.metadata.era_count, servers[1].engine.metadata.era_count);
	/* Each makes the same request; a flush ends when both have. */
	submit(0, MIRROR_WRITE, 50, 8, 1, 0xaa);
	submit(0, MIRROR_FLUSH, 0, 0, 2, 0);
	settle();
	assert_non_null(strstr(servers[0].trail, "finished 1:0; "));
	assert_null(strstr(servers[0].trail, "finished 2:0; "));
	submit(1, MIRROR_WRITE, 50, 8, 1, 0xaa);
	submit(1, MIRROR_FLUSH, 0, 0, 2, 0);
	settle();
	assert_non_null(strstr(servers[0].trail, "finished 2:0; "));
	assert_non_null(strstr(servers[1].trail, "finished 2:0; "));
	assert_int_equal(servers[0].sent[MIRROR_MESSAGE_WRITE], 0);
	disks_are_equal();
	/* Both lose power: nobody wrote alone since. */
	connect_servers(false);
	power_on(0);
	power_on(1);
	connect_servers(true);
	settle();
	assert_int_equal(decision()->verdict, REMIRROR_NOTHING);
}

/* ---- duplex ---- */

static bool has(uint32_t index, const char *what)
{
	return strstr(servers[index].trail, what) != NULL;
}

/* The leader's guest has read and written over it; the follower comes later, and its disk fails. */
static void follower_reads_what_the_leader_read(void **state)
{
	(void)state;
	join();
	submit(0, MIRROR_READ, 5, 8, 1, 0);
	settle();
	assert_true(has(0, "finished 1:0; "));
	submit(0, MIRROR_WRITE, 5, 8, 2, 0xbb);
	settle();
	assert_false(has(0, "finished 2"));
	servers[1].disk_error = -EIO;
	servers[1].disk_stands = true;
	submit(1, MIRROR_READ, 5, 8, 1, 0);
	take(&servers[1]);
	servers[1].disk_stands = false;
	disk_do(&servers[1], &servers[1].standing[0]);
	servers[1].standing_count = 0;
	servers[1].disk_error = 0;
	settle();
	assert_true(has(1, "finished 1:0; "));
	assert_int_equal(servers[1].requests[1][0], 0x11);
	assert_true(has(0, "finished 2:0; "));
	submit(1, MIRROR_WRITE, 5, 8, 2, 0xbb);
	settle();
	assert_int_equal(servers[1].engine.sets[0].set.repaired, 1);
	disks_are_equal();
	states_are("good", "good");
}

static void leader_waits_for_the_follower_to_come_so_far(void **state)
{
	(void)state;
	join();
	submit(0, MIRROR_WRITE, 5, 8, 1, 0xcc);
	settle();
	servers[0].disk_stands = true;
	submit(0, MIRROR_READ, 5, 8, 2, 0);
	take(&servers[0]);
	servers[0].disk_error = -EIO;
	disk_goes_on(&servers[0]);
	servers[0].disk_error = 0;
	settle();
	assert_false(has(0, "finished 2"));
	submit(1, MIRROR_WRITE, 5, 8, 1, 0xcc);
	settle();
	assert_true(has(0, "finished 2:0; "));
	assert_int_equal(servers[0].requests[2][0], 0xcc);
	assert_int_equal(servers[0].engine.sets[0].set.repaired, 1);
}

/* Both know before the guest hears of anything; then it reads through the link, and is mirrored again. */
static void disk_that_fails_in_duplex_is_dropped_in_step(void **state)
{
	(void)state;
	for (uint32_t victim = 0; victim < 2; victim++) {
		uint32_t other = 1 - victim;
		uint64_t tag = 1;

		begin(NULL);
		join();
		servers[victim].disk_error = -EIO;
		for (uint32_t i = 0; i < 2; i++) {
			submit(i, MIRROR_WRITE, 300, 8, tag, 0xdd);
			submit(i, MIRROR_FLUSH, 0, 0, tag + 1, 0);
			submit(i, MIRROR_READ, 300, 8, tag + 2, 0);
		}
		settle();
		for (uint32_t i = 0; i < 2; i++) {
			assert_true(has(i, "finished 1:0; "));
			assert_true(has(i, "finished 2:0; "));
			assert_true(has(i, "finished 3:0; "));
			assert_int_equal(servers[i].requests[3][0], 0xdd);
		}
		states_are(victim ? "good" : "failed", victim ? "failed" : "good");
		/* Not a slot is kept by what a failed disk has not done. */
		for (tag = 4; tag < 60; tag++)
			for (uint32_t i = 0; i < 2; i++) {
				submit(i, tag % 3 ? MIRROR_READ : MIRROR_WRITE, tag * 10, 8, tag, 0xee);
				submit(i, MIRROR_READ, 0, 8, 63, 0);
				settle();
			}
		assert_true(mirror_set_progress(&servers[victim].engine.sets[0].set) == 115);
		servers[victim].disk_error = 0;
		assert_null(mirror_engine_command(&servers[other].engine, 0, MIRROR_COMMAND_ENABLE, victim));
		take(&servers[other]);
		for (uint32_t i = 0; i < 2; i++)
			submit(i, MIRROR_WRITE, 1200, 8, 61, 0xff);
		settle();
		states_are("good", "good");
		disks_are_equal();
	}
}

/* The other one dies; who is left goes on, and the intents of both are what is compared later. */
/* Within one round trip: each gives its own up and counts on the other's. */
static void both_disks_fail_and_the_leaders_stays(void **state)
{
	(void)state;
	join();
	for (uint32_t i = 0; i < 2; i++) {
		servers[i].disk_error = -EIO;
		submit(i, MIRROR_WRITE, 300, 8, 1, 0xcc);
		take(&servers[i]);
	}
	settle();
	assert_non_null(
		strstr(servers[0].trail, "finished 1:-5; ")); /* the guest knows, by the leader's log */
	assert_non_null(strstr(servers[1].trail, "finished 1:"));
	for (uint32_t i = 0; i < 2; i++) {
		servers[i].disk_error = 0;
		submit(i, MIRROR_WRITE, 300, 8, 2, 0xdd);
	}
	settle();
	states_are("good", "failed");
	for (uint32_t i = 0; i < 2; i++)
		assert_non_null(strstr(servers[i].trail, "finished 2:0; "));
	assert_null(mirror_engine_command(&servers[0].engine, 0, MIRROR_COMMAND_ENABLE, 1));
	settle();
	states_are("good", "good");
	disks_are_equal();
}

/* It would land on what has been copied, and on one of the two only. */
static void copy_waits_for_a_replica_that_may_still_make_what_failed(void **state)
{
	(void)state;
	join();
	assert_null(mirror_engine_command(&servers[0].engine, 0, MIRROR_COMMAND_FAIL, 1));
	settle();
	servers[0].disk_error = -EIO;
	submit(0, MIRROR_WRITE, 300, 8, 1, 0xcc);
	settle();
	assert_true(has(0, "finished 1:-5; "));
	servers[0].disk_error = 0;
	assert_null(mirror_engine_command(&servers[0].engine, 0, MIRROR_COMMAND_ENABLE, 1));
	settle();
	states_are("good", "outdated");
	submit(1, MIRROR_WRITE, 300, 8, 1, 0xcc);
	settle();
	states_are("good", "good");
	disks_are_equal();
}

/* The regions on their way are the last, and none is copied twice. */
static void copy_is_put_off_for_a_join(void **state)
{
	(void)state;
	part_and_meet();
	while (servers[0].sent[MIRROR_MESSAGE_COPY] == 0)
		turn();
	assert_false(mirror_engine_may_join(&servers[0].engine));
	mirror_engine_want_join(&servers[0].engine, true, 60);
	turn();
	assert_int_equal(servers[0].engine.sets[0].put_off, 0); /* it is soon over */
	mirror_engine_want_join(&servers[0].engine, true, 0);
	settle();
	states_are("good", "outdated");
	assert_true(mirror_engine_may_join(&servers[0].engine));
	assert_true(mirror_engine_may_join(&servers[1].engine));
	/* Nobody joins after all. */
	mirror_engine_want_join(&servers[0].engine, false, 0);
	settle();
	states_are("good", "good");
	assert_int_equal(servers[0].sent[MIRROR_MESSAGE_COPY], 2);
	disks_are_equal();
}

/* One that failed long ago lacks what was written since: it is none to go back to. */
static void last_good_copy_that_is_pulled_out_leaves_none(void **state)
{
	(void)state;
	join();
	mirror_set_fault(&servers[0].engine.sets[0].set, MIRROR_OWN, MIRROR_FLUSH, 0, 0, -EIO);
	settle();
	states_are("failed", "good");
	mirror_set_fault(&servers[1].engine.sets[0].set, MIRROR_OWN, MIRROR_FLUSH, 0, 0, -ENODEV);
	settle();
	states_are("failed", "missing");
	submit(0, MIRROR_READ, 5, 8, 1, 0);
	settle();
	assert_non_null(strstr(servers[0].trail, "finished 1:-5; "));
}

static void without_a_whole_disk_words_are_refused(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 2; i++) {
		servers[i].engine.metadata.sets[0].disk_states[i] = MIRROR_FAILED;
		era(i, 1, 11, false);
		power_on(i);
	}
	go_alone(1, 2);
	connect_servers(true);
	settle();
	assert_int_equal(decision()->verdict, REMIRROR_NO_SOURCE);
	assert_non_null(strstr(mirror_engine_keep(&servers[0].engine, 0, 0), "stop it first"));
	assert_non_null(strstr(mirror_engine_keep(&servers[1].engine, 0, 1), "stop it first"));
	mirror_engine_mode(&servers[1].engine, MIRROR_IDLE);
	settle();
	/* What only a's disk holds is given up; said at a, about b's. */
	assert_null(mirror_engine_command(&servers[0].engine, 0, MIRROR_COMMAND_REMIRROR, 0));
	settle();
	assert_int_equal(decision()->verdict, REMIRROR_RAPID);
	assert_int_equal(decision()->source, 1);
	go_alone(1, 3);
	settle();
	states_are("good", "good");
	disks_are_equal();
	connect_servers(false);
	assert_non_null(strstr(mirror_engine_keep(&servers[0].engine, 0, 0), "not there"));
}

/* Two at once, about different disks: then both are taken for whole, and the last leader's is right. */
static void two_words_at_once_without_a_whole_disk(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 2; i++) {
		servers[i].engine.metadata.sets[0].disk_states[i] = MIRROR_FAILED;
		servers[i].engine.metadata.pair.was_leader = i == 1;
		mirror_engine_remember(&servers[i].engine, &servers[i].engine.metadata.pair);
		take(&servers[i]);
		power_on(i);
	}
	connect_servers(true);
	settle();
	assert_int_equal(decision()->verdict, REMIRROR_NO_SOURCE);
	for (uint32_t i = 0; i < 2; i++)
		assert_null(mirror_engine_keep(&servers[i].engine, 0, i));
	settle();
	assert_int_equal(decision()->verdict, REMIRROR_NOTHING);
	assert_int_equal(decision()->source, 1);
}

static void survivor_of_a_duplex_goes_on_and_copies(void **state)
{
	(void)state;
	for (uint32_t victim = 0; victim < 2; victim++) {
		uint32_t other = 1 - victim;

		begin(NULL);
		join();
		for (uint32_t i = 0; i < 2; i++)
			submit(i, MIRROR_WRITE, 300, 8, 1, 0xdd);
		settle();
		submit(victim, MIRROR_WRITE, 600, 8, 2, 0x12); /* nobody else hears of it */
		submit(other, MIRROR_FLUSH, 0, 0, 3, 0);
		take(&servers[victim]);
		take(&servers[other]);
		connect_servers(false);
		assert_false(has(other, "finished 3"));
		power_on(victim);
		go_alone(other, 4);
		settle();
		assert_true(has(other, "finished 3:0; "));
		submit(other, MIRROR_WRITE, 900, 8, 4, 0x34);
		settle();
		memset(servers[other].sent, 0, sizeof(servers[other].sent));
		connect_servers(true);
		settle();
		states_are("good", "good");
		disks_are_equal();
		/* Copied: what was written alone, and what differs. The other intents are compared only. */
		assert_int_equal(servers[other].sent[MIRROR_MESSAGE_COPY], 2);
		assert_true(servers[other].sent[MIRROR_MESSAGE_LEAVE] > 0);
	}
}

/* ---- what no sound peer says ---- */

static void broken_words_end_the_link(void **state)
{
	struct server *a = &servers[0];
	struct mirror_engine_data data;

	(void)state;
	connect_servers(true);
	take(&servers[1]);
	assert_true(a->inbox_size > METADATA_SIZE);
	/* Cut anywhere it is waited for. */
	for (uint64_t size = 0; size < a->inbox_size; size += 61)
		assert_int_equal(mirror_engine_receive(&a->engine, a->inbox, size, &data), 0);
	a->inbox[a->inbox_size - 1] ^= 1;
	assert_int_equal(mirror_engine_receive(&a->engine, a->inbox, a->inbox_size, &data), -EINVAL);
	a->inbox[a->inbox_size - 1] ^= 1;
	assert_int_equal(mirror_engine_receive(&a->engine, a->inbox, a->inbox_size, &data), a->inbox_size);
	/* Of another pair, or from a server that is what we are. */
	servers[1].engine.metadata.pair_identity++;
	connect_servers(true);
	take(&servers[1]);
	assert_int_equal(mirror_engine_receive(&a->engine, a->inbox, a->inbox_size, &data), -EINVAL);
	servers[1].engine.metadata.pair_identity--;
	servers[1].engine.metadata.server = 0;
	connect_servers(true);
	take(&servers[1]);
	assert_int_equal(mirror_engine_receive(&a->engine, a->inbox, a->inbox_size, &data), -EINVAL);
}

/* A disk of large sectors could not be asked for them. */
static void parts_of_large_sectors_end_the_link(void **state)
{
	static const struct {
		uint64_t sector;
		uint32_t sector_count;
		bool is_good;
	} ranges[] = { { 16, 8, true }, { 17, 8, false }, { 16, 7, false } };

	(void)state;
	go_alone(0, 2);
	connect_servers(true);
	settle();
	states_are("good", "good");
	servers[1].engine.metadata.large_sectors[0] = 1;
	for (uint32_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		struct mirror_engine_data data;
		struct mirror_message message = { .header.type = MIRROR_MESSAGE_READ,
						  .io = { .sector = ranges[i].sector,
							  .sector_count = ranges[i].sector_count } };
		uint64_t size = mirror_message_seal(&message, 0);

		assert_int_equal(mirror_engine_receive(&servers[1].engine, (uint8_t *)&message, size, &data),
				 ranges[i].is_good ? (int64_t)size : -EINVAL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(both_decide_alike, begin),
		cmocka_unit_test_setup(start_of_the_guest_is_a_new_meeting, begin),
		cmocka_unit_test_setup(split_waits_for_a_word, begin),
		cmocka_unit_test_setup(two_words_at_once_are_none, begin),
		cmocka_unit_test_setup(guest_on_both_is_no_direction, begin),
		cmocka_unit_test_setup(duplex_that_ends_on_a_live_stream_meets_again, begin),
		cmocka_unit_test_setup(nothing_is_sent_without_room, begin),
		cmocka_unit_test_setup(changed_regions_are_copied, begin),
		cmocka_unit_test_setup(writes_go_to_both_and_reads_stay, begin),
		cmocka_unit_test_setup(guest_runs_from_the_peers_disk, begin),
		cmocka_unit_test_setup(failing_target_is_dropped_and_nobody_waits, begin),
		cmocka_unit_test_setup(what_the_other_server_repeats_is_no_news, begin),
		cmocka_unit_test_setup(a_failure_is_not_enabled_by_words_that_cross_it, begin),
		cmocka_unit_test_setup(later_write_is_behind_the_copy, begin),
		cmocka_unit_test_setup(broken_link_is_taken_up_where_it_was, begin),
		cmocka_unit_test_setup(power_may_go_at_any_message, begin),
		cmocka_unit_test_setup(intents_are_compared_first, begin),
		cmocka_unit_test_setup(new_disk_gets_all_after_a_word, begin),
		cmocka_unit_test_setup(full_copy_outlives_its_servers, begin),
		cmocka_unit_test_setup(new_disk_of_other_sectors_gets_nothing, begin),
		cmocka_unit_test_setup(parts_of_large_sectors_end_the_link, begin),
		cmocka_unit_test_setup(disks_of_unknown_past_wait_in_duplex, begin),
		cmocka_unit_test_setup(disk_that_waits_is_not_taken_at_the_next_start, begin),
		cmocka_unit_test_setup(disk_that_is_not_there_at_the_start, begin),
		cmocka_unit_test_setup(join_begins_one_era_on_both, begin),
		cmocka_unit_test_setup(follower_reads_what_the_leader_read, begin),
		cmocka_unit_test_setup(leader_waits_for_the_follower_to_come_so_far, begin),
		cmocka_unit_test_setup(disk_that_fails_in_duplex_is_dropped_in_step, begin),
		cmocka_unit_test_setup(both_disks_fail_and_the_leaders_stays, begin),
		cmocka_unit_test_setup(copy_waits_for_a_replica_that_may_still_make_what_failed, begin),
		cmocka_unit_test_setup(copy_is_put_off_for_a_join, begin),
		cmocka_unit_test_setup(last_good_copy_that_is_pulled_out_leaves_none, begin),
		cmocka_unit_test_setup(without_a_whole_disk_words_are_refused, begin),
		cmocka_unit_test_setup(two_words_at_once_without_a_whole_disk, begin),
		cmocka_unit_test_setup(survivor_of_a_duplex_goes_on_and_copies, begin),
		cmocka_unit_test_setup(broken_words_end_the_link, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
