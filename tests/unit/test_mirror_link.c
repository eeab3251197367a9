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

struct server {
	/* kept */
	uint8_t partition[PARTITION_SIZE];
	/* lost with the power */
	struct mirror_engine engine;
	uint8_t inbox[INBOX_SIZE];
	uint64_t inbox_size;
	uint64_t sent[MIRROR_MESSAGE_TYPE_COUNT];
	char trail[2048];
	_Alignas(8) uint8_t memory[65536];
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

static void send_message(struct server *server, const struct mirror_engine_action *action)
{
	struct server *peer = &servers[server == servers];

	assert_true(link_is_up);
	assert_true(peer->inbox_size + action->size <= INBOX_SIZE);
	memcpy(peer->inbox + peer->inbox_size, action->bytes, action->size);
	peer->inbox_size += action->size;
	server->sent[action->bytes[0]]++;
}

static void act(struct server *server, const struct mirror_engine_action *action)
{
	switch (action->kind) {
	case MIRROR_ENGINE_EVENT:
		note_event(server, action);
		break;
	case MIRROR_ENGINE_OWN:
		mirror_engine_done(&server->engine, action->set, action->slot, 0);
		break;
	case MIRROR_ENGINE_FINISHED:
		note(server, "finished %lu:%d; ", action->tag, action->status);
		mirror_engine_release(&server->engine, action->set, action->slot);
		break;
	case MIRROR_ENGINE_STATE:
		memcpy(server->partition + action->offset, action->bytes, action->size);
		mirror_engine_state_written(&server->engine, 0);
		break;
	default:
		send_message(server, action);
	}
}

static void take(struct server *server)
{
	struct mirror_engine_action action;

	mirror_engine_tick(&server->engine, now_ns, 77);
	mirror_engine_room(&server->engine, room);
	while (mirror_engine_take(&server->engine, &action))
		act(server, &action);
}

static void receive(struct server *server)
{
	int64_t size;

	while ((size = mirror_engine_receive(&server->engine, server->inbox, server->inbox_size)) > 0) {
		server->inbox_size -= (uint64_t)size;
		memmove(server->inbox, server->inbox + size, server->inbox_size);
	}
	assert_int_equal(size, 0);
}

/* Both take and receive until nothing moves. */
static void settle(void)
{
	for (uint32_t i = 0; i < 200; i++) {
		now_ns += MS;
		take(&servers[0]);
		take(&servers[1]);
		for (uint32_t s = 0; s < 2 && link_is_up; s++)
			receive(&servers[s]);
	}
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
	const struct mirror_engine_disk disk = { index ? "B1" : "A1", SECTORS };
	struct metadata_choice choice;
	uint64_t offset;

	mirror_engine_init(&server->engine, index, PARTITION_SIZE);
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

/* ---- what no sound peer says ---- */

static void broken_words_end_the_link(void **state)
{
	struct server *a = &servers[0];

	(void)state;
	connect_servers(true);
	take(&servers[1]);
	assert_true(a->inbox_size > METADATA_SIZE);
	/* Cut anywhere it is waited for. */
	for (uint64_t size = 0; size < a->inbox_size; size += 61)
		assert_int_equal(mirror_engine_receive(&a->engine, a->inbox, size), 0);
	a->inbox[a->inbox_size - 1] ^= 1;
	assert_int_equal(mirror_engine_receive(&a->engine, a->inbox, a->inbox_size), -EINVAL);
	a->inbox[a->inbox_size - 1] ^= 1;
	assert_int_equal(mirror_engine_receive(&a->engine, a->inbox, a->inbox_size), a->inbox_size);
	/* Of another pair, or from a server that is what we are. */
	servers[1].engine.metadata.pair_identity++;
	connect_servers(true);
	take(&servers[1]);
	assert_int_equal(mirror_engine_receive(&a->engine, a->inbox, a->inbox_size), -EINVAL);
	servers[1].engine.metadata.pair_identity--;
	servers[1].engine.metadata.server = 0;
	connect_servers(true);
	take(&servers[1]);
	assert_int_equal(mirror_engine_receive(&a->engine, a->inbox, a->inbox_size), -EINVAL);
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
		cmocka_unit_test_setup(broken_words_end_the_link, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
