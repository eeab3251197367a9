/* SPDX-License-Identifier: Apache-2.0 */
/* mirror/set.c, remirror.c's decision and limits, verify.c: scenarios of one server's view. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "mirror/remirror.h"
#include "mirror/verify.h"
#include "tests/unit/host/trail.h"

#define SECTORS (40 * MIRROR_REGION_SECTORS)
#define SECOND UINT64_C(1000000000)

static struct mirror_set set;
static struct remirror remirror;
static _Alignas(8) uint8_t memory[3][32768];

static void begin(enum mirror_disk_state own, enum mirror_disk_state peer, enum mirror_mode mode)
{
	const struct mirror_set_memory at = { memory[0], memory[1] };

	mirror_set_init(&set, 5, SECTORS, own, peer, &at);
	remirror_init(&remirror, &set, memory[2]);
	set.mode = (uint8_t)mode;
}

/* Takes all there is; map blocks are written when `maps`. */
static void take(bool maps)
{
	static const char *const names[] = { "?",	 "own",	  "peer",  "persist",
					     "finished", "state", "fault", "repaired" };
	static const char *const operations[] = { "read", "write", "flush" };
	struct mirror_action action;
	uint8_t bytes[REGION_MAP_BLOCK_SIZE];

	trail[0] = '\0';
	for (uint32_t pass = 0; pass < 2; pass++) {
		while (mirror_set_take(&set, &action, SECOND)) {
			note("%s", names[action.kind]);
			if (action.kind <= MIRROR_ACTION_PEER)
				note(" %s %lu", operations[action.operation], action.sector);
			else if (action.kind == MIRROR_ACTION_FINISHED)
				note(" %lu:%d", action.tag, action.status);
			else if (action.kind == MIRROR_ACTION_STATE)
				note(" %s %s", action.side ? "peer" : "own",
				     mirror_disk_state_name(action.to));
			else if (action.kind == MIRROR_ACTION_FAULT)
				note(" %s", action.side ? "peer" : "own");
			note("; ");
		}
		while (maps && region_map_take_block(&set.dirty, bytes) == 0)
			region_map_block_written(&set.dirty, 0, bytes, true);
		while (maps && region_map_take_block(&set.intent.map, bytes) == 0)
			region_map_block_written(&set.intent.map, 0, bytes, true);
	}
}

static uint32_t submit(enum mirror_operation operation, uint64_t sector, uint32_t count, uint64_t tag)
{
	int slot = mirror_set_submit(&set, operation, sector, count, tag, SECOND);

	assert_true(slot >= 0);
	return (uint32_t)slot;
}

static void bit_is_durable_before_the_write(void **state)
{
	(void)state;
	begin(MIRROR_GOOD, MIRROR_OUTDATED, MIRROR_ALONE);
	submit(MIRROR_WRITE, 200, 8, 1);
	take(false);
	assert_string_equal(trail, "");
	take(true);
	assert_string_equal(trail, "own write 200; ");
	assert_true(region_map_get(&set.dirty, 1));
	assert_int_equal(set.intent.map.set_count, 0);

	begin(MIRROR_GOOD, MIRROR_GOOD, MIRROR_DUPLEX);
	submit(MIRROR_WRITE, 200, 8, 1);
	take(false);
	assert_string_equal(trail, "");
	take(true);
	assert_string_equal(trail, "own write 200; "); /* the peer's replica writes its own */
	assert_true(region_map_get(&set.intent.map, 1));
	assert_int_equal(set.dirty.set_count, 0);
}

static void overlaps_wait_for_each_other(void **state)
{
	uint32_t first;

	(void)state;
	begin(MIRROR_GOOD, MIRROR_OUTDATED, MIRROR_ALONE);
	first = submit(MIRROR_WRITE, 10, 10, 1);
	submit(MIRROR_READ, 19, 5, 2);
	submit(MIRROR_WRITE, 20, 10, 3); /* overlaps the read, not the first */
	submit(MIRROR_READ, 100, 1, 4);
	submit(MIRROR_READ, 100, 1, 5);
	take(true);
	assert_string_equal(trail, "own read 100; own read 100; own write 10; ");
	mirror_set_done(&set, first, MIRROR_OWN, 0);
	take(true);
	assert_string_equal(trail, "finished 1:0; ");
	mirror_set_release(&set, first);
	take(true);
	assert_string_equal(trail, "own read 19; ");
	assert_int_equal(mirror_set_submit(&set, MIRROR_READ, SECTORS, 1, 9, 0), -EINVAL);
	assert_int_equal(mirror_set_submit(&set, MIRROR_READ, UINT64_MAX, 2, 9, 0), -EINVAL);
	assert_int_equal(mirror_set_submit(&set, MIRROR_WRITE, 0, 0, 9, 0), -EINVAL);
}

static void flush_needs_both_or_who_is_left(void **state)
{
	uint32_t slot;

	(void)state;
	begin(MIRROR_GOOD, MIRROR_GOOD, MIRROR_DUPLEX);
	slot = submit(MIRROR_FLUSH, 0, 0, 1);
	take(true);
	assert_string_equal(trail, "own flush 0; ");
	mirror_set_done(&set, slot, MIRROR_OWN, 0);
	take(true);
	assert_string_equal(trail, "");
	mirror_set_peer_progress(&set, 1);
	take(true);
	assert_string_equal(trail, "finished 1:0; ");
	mirror_set_release(&set, slot);

	slot = submit(MIRROR_FLUSH, 0, 0, 2);
	take(true);
	mirror_set_done(&set, slot, MIRROR_OWN, 0);
	mirror_set_mode(&set, MIRROR_ALONE); /* the peer died */
	take(true);
	assert_string_equal(trail, "state peer outdated; persist; ");
	mirror_set_persisted(&set); /* only now may the guest hear of it */
	take(true);
	assert_string_equal(trail, "finished 2:0; ");
}

/* A write on our disk and on its way is over; the disk that is remirrored may come after. */
static void disk_being_remirrored_trails(void **state)
{
	uint32_t slot;
	uint32_t flush;
	uint32_t later;

	(void)state;
	begin(MIRROR_GOOD, MIRROR_REMIRRORING, MIRROR_SOURCE);
	set.trails = true;
	slot = submit(MIRROR_WRITE, 10, 10, 1);
	take(true);
	assert_string_equal(trail, "own write 10; peer write 10; ");
	mirror_set_done(&set, slot, MIRROR_OWN, 0);
	take(true);
	assert_string_equal(trail, ""); /* its data is still the guest's to keep */
	mirror_set_sent(&set, slot);
	take(true);
	assert_string_equal(trail, "finished 1:0; ");
	assert_true(mirror_set_is_trailed(&set));
	mirror_set_release(&set, slot);
	assert_true(mirror_set_is_trailed(&set));

	flush = submit(MIRROR_FLUSH, 0, 0, 2);
	submit(MIRROR_READ, 12, 2, 3);
	later = submit(MIRROR_WRITE, 14, 4, 4); /* the other disk must get them in order */
	take(true);
	assert_string_equal(trail, "own flush 0; own read 12; ");
	mirror_set_done(&set, flush, MIRROR_OWN, 0);
	take(true);
	assert_string_equal(trail, "finished 2:0; ");
	mirror_set_release(&set, flush);
	mirror_set_done(&set, slot + 2, MIRROR_OWN, 0);
	take(true);
	mirror_set_release(&set, slot + 2);
	mirror_set_done(&set, slot, MIRROR_PEER, 0);
	assert_false(mirror_set_is_trailed(&set));
	take(true);
	assert_string_equal(trail, "own write 14; peer write 14; ");

	mirror_set_sent(&set, later);
	mirror_set_done(&set, later, MIRROR_OWN, 0);
	take(true);
	mirror_set_release(&set, later);
	mirror_set_done(&set, later, MIRROR_PEER, -EIO);
	take(true);
	assert_string_equal(trail, "fault peer; state peer failed; persist; ");
	assert_false(mirror_set_is_trailed(&set));
	assert_true(region_map_get(&set.dirty, 0));
}

/* They began while our disk was outdated; the peer may make them when ours has become whole. */
static void disk_that_is_remirrored_gets_what_began_before(void **state)
{
	uint32_t write;
	uint32_t flush;

	(void)state;
	begin(MIRROR_OUTDATED, MIRROR_GOOD, MIRROR_DUPLEX);
	write = submit(MIRROR_WRITE, 8, 8, 1);
	flush = submit(MIRROR_FLUSH, 0, 0, 2);
	take(true);
	assert_string_equal(trail, "");
	mirror_set_change(&set, MIRROR_OWN, MIRROR_COPY_BEGIN);
	take(true);
	assert_string_equal(trail, "state own remirroring; persist; own flush 0; own write 8; ");
	mirror_set_persisted(&set);
	mirror_set_done(&set, write, MIRROR_OWN, 0);
	mirror_set_done(&set, flush, MIRROR_OWN, 0);
	mirror_set_change(&set, MIRROR_OWN, MIRROR_COPY_END);
	take(true);
	mirror_set_persisted(&set);
	take(true);
	assert_string_equal(trail, ""); /* the peer has not made them yet */
	mirror_set_mode(&set, MIRROR_ALONE);
	take(true);
	mirror_set_persisted(&set);
	take(true);
	assert_string_equal(trail, "finished 1:0; finished 2:0; ");
}

/* What the copy will bring anyway is not sent; and what was alike stays so by being sent. */
static void write_goes_where_the_copy_has_been(void **state)
{
	bool compare;

	(void)state;
	begin(MIRROR_GOOD, MIRROR_REMIRRORING, MIRROR_SOURCE);
	region_map_set_range(&set.dirty, 0, 2);
	remirror_begin(&remirror, &set, false, SECOND);
	take(true);
	submit(MIRROR_WRITE, 8, 8, 1);
	take(true);
	assert_string_equal(trail, "own write 8; ");
	assert_int_equal(set.reach.left_out, 1);
	assert_int_equal(remirror_take(&remirror, &set, SECOND, &compare), 0);
	submit(MIRROR_WRITE, 16, 8, 2);
	submit(MIRROR_WRITE, MIRROR_REGION_SECTORS + 16, 8, 3);
	submit(MIRROR_WRITE, MIRROR_REGION_SECTORS - 4, 8, 4); /* over the end of the first region */
	submit(MIRROR_WRITE, 2 * MIRROR_REGION_SECTORS, 8, 5); /* it was clean */
	take(true);
	assert_string_equal(trail,
			    "own write 16; peer write 16; own write 144; own write 124; peer write 124; "
			    "own write 256; peer write 256; ");
	assert_int_equal(set.reach.left_out, 3);
	assert_int_equal(remirror_take(&remirror, &set, SECOND, &compare), 1);
	assert_int_equal(remirror_take(&remirror, &set, SECOND, &compare), -ENOENT);
}

static void bad_sector_is_repaired_from_the_peer(void **state)
{
	uint32_t slot;

	(void)state;
	begin(MIRROR_GOOD, MIRROR_GOOD, MIRROR_DUPLEX);
	slot = submit(MIRROR_READ, 64, 8, 1);
	take(true);
	mirror_set_done(&set, slot, MIRROR_OWN, -EIO);
	take(true);
	assert_string_equal(trail, "fault own; peer read 64; ");
	mirror_set_done(&set, slot, MIRROR_PEER, 0);
	take(true);
	assert_string_equal(trail, "own write 64; ");
	mirror_set_done(&set, slot, MIRROR_OWN, 0);
	take(true);
	assert_string_equal(trail, "repaired; finished 1:0; ");
	assert_int_equal(set.states[MIRROR_OWN], MIRROR_GOOD);
	mirror_set_release(&set, slot);

	/* It does not take the repair: dropped, durably, and the guest has its data. */
	slot = submit(MIRROR_READ, 64, 8, 2);
	take(true);
	mirror_set_done(&set, slot, MIRROR_OWN, -EBADMSG);
	take(true);
	mirror_set_done(&set, slot, MIRROR_PEER, 0);
	take(true);
	mirror_set_done(&set, slot, MIRROR_OWN, -EIO);
	take(true);
	assert_string_equal(trail, "fault own; state own failed; persist; ");
	mirror_set_persisted(&set);
	take(true);
	assert_string_equal(trail, "finished 2:0; ");
	mirror_set_release(&set, slot);
	submit(MIRROR_READ, 64, 8, 3);
	take(true);
	assert_string_equal(trail, "peer read 64; ");
}

/* Asked of the peer's disk while ours was none, and answered with an error when ours is one again. */
static void read_that_fails_over_there_is_tried_here(void **state)
{
	uint32_t slot;

	(void)state;
	begin(MIRROR_REMIRRORING, MIRROR_GOOD, MIRROR_DUPLEX);
	slot = submit(MIRROR_READ, 64, 8, 1);
	take(true);
	assert_string_equal(trail, "peer read 64; ");
	assert_true(mirror_set_change(&set, MIRROR_OWN, MIRROR_COPY_END));
	take(true);
	mirror_set_persisted(&set);
	mirror_set_done(&set, slot, MIRROR_PEER, -EIO);
	take(true);
	assert_string_equal(trail, "own read 64; ");
	mirror_set_done(&set, slot, MIRROR_OWN, 0);
	take(true);
	assert_string_equal(trail, "finished 1:0; ");
}

/* What one server has read and its guest writes over, the other may still have to read there. */
static void read_is_held_until_the_peer_has_read(void **state)
{
	uint32_t slot;

	(void)state;
	begin(MIRROR_GOOD, MIRROR_GOOD, MIRROR_DUPLEX);
	slot = submit(MIRROR_READ, 64, 8, 1);
	take(true);
	assert_int_equal(mirror_set_progress(&set), 0);
	mirror_set_done(&set, slot, MIRROR_OWN, 0);
	take(true);
	mirror_set_release(&set, slot);
	assert_int_equal(mirror_set_progress(&set), 1);
	submit(MIRROR_WRITE, 70, 8, 2);
	take(true);
	assert_string_equal(trail, "");
	assert_int_equal(mirror_set_may_read(&set, 64, 8, 1), 0);
	mirror_set_peer_progress(&set, 1);
	take(true);
	assert_string_equal(trail, "own write 70; ");
	assert_int_equal(mirror_set_may_read(&set, 64, 8, 1), -ESTALE);
	assert_int_equal(mirror_set_may_read(&set, 64, 6, 1), 0);
	assert_int_equal(mirror_set_may_read(&set, 64, 8, 3), -EAGAIN);
	/* Whoever goes on alone waits for nobody. */
	slot = submit(MIRROR_READ, 0, 8, 3);
	take(true);
	mirror_set_done(&set, slot, MIRROR_OWN, 0);
	take(true);
	mirror_set_release(&set, slot);
	mirror_set_mode(&set, MIRROR_ALONE);
	assert_int_equal(set.slots[slot].phase, MIRROR_FREE);
}

static void failing_disk_is_dropped_with_one_event(void **state)
{
	uint32_t slots[3];

	(void)state;
	begin(MIRROR_GOOD, MIRROR_GOOD, MIRROR_DUPLEX);
	for (uint32_t i = 0; i < 3; i++)
		slots[i] = submit(MIRROR_WRITE, i * 10, 5, i + 1);
	take(true);
	for (uint32_t i = 0; i < 3; i++)
		mirror_set_done(&set, slots[i], MIRROR_OWN, -EIO);
	take(true);
	assert_string_equal(trail, "fault own; state own failed; persist; ");
	mirror_set_persisted(&set);
	mirror_set_peer_progress(&set, 2); /* the peer's disk has two of them */
	take(true);
	assert_string_equal(trail, "finished 1:0; finished 2:0; ");
	/* And then that one goes, too: an error, not a hang. */
	mirror_set_mode(&set, MIRROR_ALONE);
	take(true);
	assert_non_null(strstr(trail, "finished 3:-5; "));
}

static void last_good_copy_stays(void **state)
{
	uint32_t slot;

	(void)state;
	begin(MIRROR_GOOD, MIRROR_OUTDATED, MIRROR_ALONE);
	slot = submit(MIRROR_WRITE, 0, 1, 1);
	take(true);
	mirror_set_done(&set, slot, MIRROR_OWN, -EIO);
	take(true);
	assert_string_equal(trail, "fault own; finished 1:-5; ");
	assert_int_equal(set.states[MIRROR_OWN], MIRROR_GOOD);
	assert_false(mirror_set_change(&set, MIRROR_OWN, MIRROR_ADMIN_FAIL));
	assert_non_null(strstr(mirror_set_refusal(&set, MIRROR_COMMAND_FAIL, MIRROR_OWN), "last good copy"));
	assert_true(mirror_set_change(&set, MIRROR_OWN, MIRROR_GONE)); /* pulled out: that is so */
}

static void peer_that_fails_leaves_its_regions_dirty(void **state)
{
	(void)state;
	begin(MIRROR_GOOD, MIRROR_GOOD, MIRROR_DUPLEX);
	submit(MIRROR_WRITE, 5 * MIRROR_REGION_SECTORS, 8, 1);
	take(true);
	assert_true(mirror_set_change(&set, MIRROR_PEER, MIRROR_FAULT));
	assert_true(region_map_get(&set.dirty, 5));
}

static void commands_are_refused_in_words(void **state)
{
	static const struct {
		enum mirror_disk_state own, peer;
		enum mirror_mode mode;
		enum mirror_command command;
		enum mirror_side side;
		const char *says; /* NULL: allowed */
	} cases[] = {
		{ MIRROR_GOOD, MIRROR_GOOD, MIRROR_DUPLEX, MIRROR_COMMAND_FAIL, MIRROR_OWN, NULL },
		{ MIRROR_GOOD, MIRROR_GOOD, MIRROR_ALONE, MIRROR_COMMAND_FAIL, MIRROR_OWN, "last good copy" },
		{ MIRROR_GOOD, MIRROR_REMIRRORING, MIRROR_DUPLEX, MIRROR_COMMAND_FAIL, MIRROR_OWN,
		  "last good copy" },
		{ MIRROR_GOOD, MIRROR_REMIRRORING, MIRROR_DUPLEX, MIRROR_COMMAND_FAIL, MIRROR_PEER, NULL },
		{ MIRROR_GOOD, MIRROR_FAILED, MIRROR_DUPLEX, MIRROR_COMMAND_FAIL, MIRROR_PEER, "already" },
		{ MIRROR_GOOD, MIRROR_FAILED, MIRROR_DUPLEX, MIRROR_COMMAND_ENABLE, MIRROR_PEER, NULL },
		{ MIRROR_GOOD, MIRROR_FAILED, MIRROR_DUPLEX, MIRROR_COMMAND_ENABLE, MIRROR_OWN,
		  "nothing to enable" },
		{ MIRROR_GOOD, MIRROR_MISSING, MIRROR_DUPLEX, MIRROR_COMMAND_ENABLE, MIRROR_PEER,
		  "not there" },
		{ MIRROR_GOOD, MIRROR_OUTDATED, MIRROR_SOURCE, MIRROR_COMMAND_REMIRROR, MIRROR_PEER, NULL },
		{ MIRROR_GOOD, MIRROR_OUTDATED, MIRROR_ALONE, MIRROR_COMMAND_REMIRROR, MIRROR_PEER,
		  "other server" },
		{ MIRROR_GOOD, MIRROR_OUTDATED, MIRROR_SOURCE, MIRROR_COMMAND_REMIRROR, MIRROR_OWN,
		  "wrong direction" },
		{ MIRROR_GOOD, MIRROR_GOOD, MIRROR_DUPLEX, MIRROR_COMMAND_REMIRROR, MIRROR_PEER,
		  "nothing to copy" },
		{ MIRROR_OUTDATED, MIRROR_OUTDATED, MIRROR_IDLE, MIRROR_COMMAND_REMIRROR, MIRROR_PEER,
		  "stop the guest" },
		{ MIRROR_GOOD, MIRROR_GOOD, MIRROR_DUPLEX, MIRROR_COMMAND_VERIFY, MIRROR_OWN, NULL },
		{ MIRROR_GOOD, MIRROR_OUTDATED, MIRROR_DUPLEX, MIRROR_COMMAND_VERIFY, MIRROR_OWN,
		  "two good disks" },
	};

	(void)state;
	for (uint32_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *says;

		begin(cases[i].own, cases[i].peer, cases[i].mode);
		says = mirror_set_refusal(&set, cases[i].command, cases[i].side);
		if (cases[i].says == NULL ? says != NULL : !says || !strstr(says, cases[i].says))
			fail_msg("case %u: %s", i, says ? says : "allowed");
	}
}

static void locks_hold_back_later_writes(void **state)
{
	uint32_t first;
	int ahead;
	int lock;

	(void)state;
	begin(MIRROR_GOOD, MIRROR_OUTDATED, MIRROR_ALONE);
	first = submit(MIRROR_WRITE, 0, 8, 1);
	take(true);
	assert_false(mirror_set_has_all(&set, 1));
	assert_int_equal(mirror_set_lock(&set, 0, 128, 0), -ESTALE); /* begun already */
	lock = mirror_set_lock(&set, 0, 128, 1);
	assert_true(lock >= 0);
	assert_false(mirror_set_lock_holds(&set, lock)); /* not ended */
	mirror_set_done(&set, first, MIRROR_OWN, 0);
	assert_true(mirror_set_has_all(&set, 1));
	take(true);
	assert_true(mirror_set_lock_holds(&set, lock));
	ahead = mirror_set_lock(&set, 128, 128, 2);
	assert_false(mirror_set_lock_holds(&set, ahead)); /* not come so far */
	mirror_set_unlock(&set, ahead);
	mirror_set_release(&set, first);
	submit(MIRROR_WRITE, 127, 8, 2);
	mirror_set_mode(&set, MIRROR_ALONE); /* somebody else may still be writing what is locked */
	take(true);
	assert_string_equal(trail, "");
	mirror_set_unlock(&set, lock);
	take(true);
	assert_string_equal(trail, "own write 127; ");
}

/* ---- which way ---- */

static struct metadata servers[2];

static void histories(uint32_t a_alone, uint32_t b_alone, bool changed)
{
	for (uint32_t i = 0; i < 2; i++) {
		metadata_init(&servers[i], 9, i);
		metadata_set_add(&servers[i], 4, SECTORS, 64 * MIB);
		servers[i].sets[0].disk_states[0] = servers[i].sets[0].disk_states[1] = MIRROR_GOOD;
		servers[i].sets[0].disk_sector_counts[0] = servers[i].sets[0].disk_sector_counts[1] = SECTORS;
		servers[i].pair.was_leader = i == 1;
		metadata_era_begin(&servers[i], &(struct metadata_era){ .generation = 1, .token = 11 });
		for (uint32_t era = 0; era < (i ? b_alone : a_alone); era++)
			metadata_era_begin(&servers[i], &(struct metadata_era){ .generation = 2 + era,
										.token = 100 * i + era,
										.alone = 1,
										.changed = changed,
										.server = (uint8_t)i });
	}
}

static struct remirror_decision decide(int keep)
{
	const struct remirror_side sides[2] = { { &servers[0], 0, true }, { &servers[1], 0, true } };
	struct remirror_decision decision;

	remirror_decide(sides, keep, &decision);
	assert_true(decision.reason[0] != '\0');
	return decision;
}

static void generations_decide_the_direction(void **state)
{
	(void)state;
	histories(0, 0, false);
	assert_int_equal(decide(-1).verdict, REMIRROR_NOTHING);
	assert_int_equal(decide(-1).source, 1);		   /* it led */
	servers[0].sets[0].disk_states[1] = MIRROR_FAILED; /* the other heard of an error first */
	assert_int_equal(decide(-1).verdict, REMIRROR_RAPID);
	assert_int_equal(decide(-1).source, 0);
	histories(2, 0, true);
	assert_int_equal(decide(-1).verdict, REMIRROR_RAPID);
	assert_int_equal(decide(-1).source, 0);
	histories(0, 1, true);
	assert_int_equal(decide(-1).source, 1);
	servers[1].sets[0].disk_states[1] = MIRROR_OUTDATED;
	assert_int_equal(decide(-1).verdict, REMIRROR_NO_SOURCE);
	/* Equal numbers that each drew alone, and unequal ones: the higher does not win. */
	histories(1, 1, true);
	assert_int_equal(decide(-1).verdict, REMIRROR_SPLIT);
	histories(1, 3, true);
	assert_int_equal(decide(-1).verdict, REMIRROR_SPLIT);
	assert_non_null(strstr(decide(-1).reason, "3 eras alone up to generation 4"));
	assert_int_equal(decide(0).verdict, REMIRROR_RAPID);
	assert_int_equal(decide(0).source, 0);
	histories(1, 1, false); /* nobody wrote anything */
	assert_int_equal(decide(-1).verdict, REMIRROR_NOTHING);
	histories(1, 0, true);
	strcpy(servers[0].sets[0].serials[1], "OLD");
	strcpy(servers[1].sets[0].serials[1], "NEW");
	assert_int_equal(decide(-1).verdict, REMIRROR_FULL);
	assert_int_equal(decide(-1).source, 0);
	histories(1, 0, true);
	servers[1].era_count = 0; /* a new server */
	assert_int_equal(decide(-1).verdict, REMIRROR_FULL);
	assert_int_equal(decide(-1).source, 0);
}

static void rate_is_kept_and_progress_told(void **state)
{
	uint64_t now = SECOND;
	uint64_t taken = 0;
	bool compare;

	(void)state;
	begin(MIRROR_GOOD, MIRROR_REMIRRORING, MIRROR_SOURCE);
	region_map_set_range(&set.dirty, 0, 20);
	remirror.rate_bytes = 2 * MIRROR_REGION_SIZE;
	remirror_begin(&remirror, &set, false, now);
	assert_int_equal(remirror_take(&remirror, &set, now + SECOND, &compare),
			 -EAGAIN); /* the map is not durable */
	take(true);
	for (; now <= 6 * SECOND; now += SECOND / 10) {
		int64_t region;

		set.last_request_ns = now; /* the guest uses it */
		region = remirror_take(&remirror, &set, now, &compare);

		if (region < 0)
			continue;
		taken++;
		remirror_copied(&remirror, &set, (uint64_t)region, MIRROR_REGION_SIZE);
	}
	assert_in_range(taken, 9, 13);
	assert_int_equal(remirror_percent(&remirror, &set), taken * 5);
	assert_in_range(remirror_remaining_s(&remirror, &set, now), 2, 8);
	/* And no longer: nothing is spared for it. */
	for (uint64_t i = taken; i < 20; i++)
		assert_true(remirror_take(&remirror, &set, now + SECOND, &compare) >= 0);
	/* The target dies at the very end: it stops, and nothing is forgotten. */
	mirror_set_mode(&set, MIRROR_ALONE);
	assert_true(remirror_step(&remirror, &set));
	assert_int_equal(remirror.phase, REMIRROR_IDLE);
	assert_int_equal(set.dirty.set_count, 20);
}

/* What was copied behind the round's flush may not be on the target's disk yet. */
static void region_copied_since_the_flush_needs_another(void **state)
{
	bool compare;

	(void)state;
	begin(MIRROR_GOOD, MIRROR_REMIRRORING, MIRROR_SOURCE);
	region_map_set_range(&set.dirty, 0, 2);
	remirror_begin(&remirror, &set, false, SECOND);
	set.trails = false;
	take(true);
	assert_int_equal(remirror_take(&remirror, &set, SECOND, &compare), 0);
	assert_int_equal(remirror_take(&remirror, &set, SECOND, &compare), 1);
	remirror_copied(&remirror, &set, 0, MIRROR_REGION_SIZE);
	remirror_round_begin(&remirror, &set, SECOND);
	remirror_copied(&remirror, &set, 1, MIRROR_REGION_SIZE);
	remirror_round_end(&remirror, &set, SECOND);
	assert_int_equal(remirror.phase, REMIRROR_COPYING);
	assert_int_equal(set.dirty.set_count, 1);
	assert_true(remirror_round_is_due(&remirror, &set));
	remirror_round_begin(&remirror, &set, SECOND);
	remirror_round_end(&remirror, &set, SECOND);
	assert_int_equal(remirror.phase, REMIRROR_TURNING);
}

/* The killer of the last moment: all copied, the target about to be good, and then it is gone. */
static void target_that_goes_at_the_end_leaves_the_map(void **state)
{
	int64_t region;
	uint32_t slot;
	bool compare;

	(void)state;
	begin(MIRROR_GOOD, MIRROR_REMIRRORING, MIRROR_SOURCE);
	region_map_set_range(&set.dirty, 0, 3);
	remirror_begin(&remirror, &set, false, SECOND);
	take(true);
	while ((region = remirror_take(&remirror, &set, SECOND, &compare)) >= 0)
		remirror_copied(&remirror, &set, (uint64_t)region, MIRROR_REGION_SIZE);
	assert_true(remirror_round_is_due(&remirror, &set));
	remirror_round_begin(&remirror, &set, SECOND);
	slot = submit(MIRROR_WRITE, MIRROR_REGION_SECTORS, 8, 1); /* during the round: its bit stays */
	take(true);
	remirror_round_end(&remirror, &set, SECOND);
	assert_int_equal(set.dirty.set_count, 1);
	/* Another round, with nothing behind the guest's back. */
	assert_false(remirror_step(&remirror, &set));
	mirror_set_sent(&set, slot);
	mirror_set_done(&set, slot, MIRROR_OWN, 0);
	take(true);
	assert_string_equal(trail, "");
	assert_true(remirror_round_is_due(&remirror, &set));
	remirror_round_begin(&remirror, &set, SECOND);
	remirror_round_end(&remirror, &set, SECOND);
	assert_int_equal(set.dirty.set_count, 1);
	assert_false(remirror_step(&remirror, &set)); /* the intents are not durable yet */
	assert_int_equal(set.states[MIRROR_PEER], MIRROR_REMIRRORING);
	take(true);
	assert_true(remirror_step(&remirror, &set));
	assert_int_equal(set.states[MIRROR_PEER], MIRROR_GOOD);
	assert_int_equal(set.dirty.set_count, 1); /* until that is durable */
	mirror_set_change(&set, MIRROR_PEER, MIRROR_FAULT);
	take(true);
	mirror_set_persisted(&set);
	take(true);
	assert_true(remirror_step(&remirror, &set));
	assert_int_equal(remirror.phase, REMIRROR_IDLE);
	assert_true(region_map_get(&set.dirty, 1));
}

static void verify_passes_and_counts(void **state)
{
	struct verify verify;
	uint64_t now = 0;
	int64_t region;
	uint32_t compared = 0;

	(void)state;
	verify_init(&verify, SECTORS, 10 * MIRROR_REGION_SIZE);
	assert_int_equal(verify_take(&verify, now), -ENOENT);
	verify_begin(&verify, now);
	for (now = 0; verify.running && now < 100 * SECOND; now += SECOND / 100) {
		region = verify_take(&verify, now);
		if (region < 0)
			continue;
		assert_int_equal(verify_take(&verify, now + SECOND), -EAGAIN);
		compared++;
		verify_done(&verify,
			    compared == 3 ? VERIFY_AGAIN
			    : region == 7 ? VERIFY_MISMATCH
					  : VERIFY_EQUAL,
			    now);
	}
	assert_int_equal(compared, 41);
	assert_int_equal(verify.passes, 1);
	assert_int_equal(verify.last_mismatches, 1);
	assert_in_range(now / SECOND, 4, 5);
	verify_begin(&verify, now);
	verify_stop(&verify);
	assert_false(verify_done(&verify, VERIFY_EQUAL, now));
	assert_int_equal(verify.passes, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bit_is_durable_before_the_write),
		cmocka_unit_test(overlaps_wait_for_each_other),
		cmocka_unit_test(flush_needs_both_or_who_is_left),
		cmocka_unit_test(disk_being_remirrored_trails),
		cmocka_unit_test(disk_that_is_remirrored_gets_what_began_before),
		cmocka_unit_test(write_goes_where_the_copy_has_been),
		cmocka_unit_test(bad_sector_is_repaired_from_the_peer),
		cmocka_unit_test(read_that_fails_over_there_is_tried_here),
		cmocka_unit_test(read_is_held_until_the_peer_has_read),
		cmocka_unit_test(failing_disk_is_dropped_with_one_event),
		cmocka_unit_test(last_good_copy_stays),
		cmocka_unit_test(peer_that_fails_leaves_its_regions_dirty),
		cmocka_unit_test(commands_are_refused_in_words),
		cmocka_unit_test(locks_hold_back_later_writes),
		cmocka_unit_test(generations_decide_the_direction),
		cmocka_unit_test(rate_is_kept_and_progress_told),
		cmocka_unit_test(region_copied_since_the_flush_needs_another),
		cmocka_unit_test(target_that_goes_at_the_end_leaves_the_map),
		cmocka_unit_test(verify_passes_and_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
