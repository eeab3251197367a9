/* SPDX-License-Identifier: Apache-2.0 */
/* The failure detector over a scripted clock, and the arbiter over all facts: never two that go on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "lockstep/arbiter.h"
#include "lockstep/detector.h"

#define MS UINT64_C(1000000)
#define CS1 0
#define CS2 1
#define MANAGEMENT 2

static struct detector detector;
static uint64_t now_ns;

static int set_up(void **state)
{
	const struct detector_config config = {
		.timeout_min_ns = 50 * MS,
		.timeout_max_ns = 2000 * MS,
		.carrier_timeout_ns = 10 * MS,
		.other_timeout_ns = 3000 * MS,
		.ask_ns = 20 * MS,
		.proof_gap_ns = 10 * MS,
		.carrier_ask_ns = 10 * MS,
		.carrier_gap_ns = 6 * MS,
	};

	(void)state;
	now_ns = 7000 * MS;
	detector_init(&detector, &config, 7, now_ns);
	return 0;
}

/* The peer is heard on both links every `interval_ms` for `duration_ms`; the station answers, or does not. */
static void life(uint64_t interval_ms, uint64_t duration_ms, bool station)
{
	for (uint64_t end_ns = now_ns + duration_ms * MS; now_ns < end_ns; now_ns += interval_ms * MS) {
		if (station)
			detector_proven(&detector, MANAGEMENT, now_ns);
		detector_heard(&detector, CS1, now_ns);
		detector_heard(&detector, CS2, now_ns);
		assert_int_equal(detector_judge(&detector, now_ns), DETECTOR_ALIVE);
	}
	now_ns -= interval_ms * MS;
}

static void regular_life(uint64_t interval_ms, uint64_t duration_ms)
{
	life(interval_ms, duration_ms, true);
}

static enum detector_verdict after_ms(uint64_t duration_ms)
{
	now_ns += duration_ms * MS;
	return detector_judge(&detector, now_ns);
}

/* The gateway answers on the management path every millisecond. */
static enum detector_verdict station_answers_for_ms(uint64_t duration_ms)
{
	enum detector_verdict verdict = DETECTOR_UNKNOWN;

	detector_proven(&detector, MANAGEMENT, now_ns);
	for (uint64_t i = 0; i < duration_ms; i++) {
		now_ns += MS;
		detector_proven(&detector, MANAGEMENT, now_ns);
		verdict = detector_judge(&detector, now_ns);
	}
	return verdict;
}

static void silence_is_suspected_then_judged_by_the_other_paths(void **state)
{
	(void)state;
	regular_life(5, 200);
	assert_int_equal(station_answers_for_ms(49), DETECTOR_ALIVE);
	assert_int_equal(station_answers_for_ms(1), DETECTOR_SUSPECT);
	assert_int_equal(detector_next_deadline_ns(&detector, now_ns), now_ns + 20 * MS);
	assert_int_equal(station_answers_for_ms(19), DETECTOR_SUSPECT);
	assert_int_equal(station_answers_for_ms(1), DETECTOR_DEAD);
}

static void a_peer_heard_elsewhere_is_cut_off(void **state)
{
	(void)state;
	regular_life(5, 200);
	assert_int_equal(station_answers_for_ms(60), DETECTOR_SUSPECT);
	detector_heard(&detector, MANAGEMENT, now_ns + 3 * MS);
	assert_int_equal(station_answers_for_ms(20), DETECTOR_CUT_OFF);
	/* And when it falls silent there too, it is dead, as long as the gateway goes on answering. */
	assert_int_equal(station_answers_for_ms(3000), DETECTOR_DEAD);
}

static void silence_everywhere_is_not_knowledge(void **state)
{
	(void)state;
	regular_life(5, 200);
	assert_int_equal(after_ms(60), DETECTOR_SUSPECT);
	assert_int_equal(after_ms(20), DETECTOR_UNKNOWN);
	/* The peer again: all is well. */
	detector_heard(&detector, CS2, now_ns);
	assert_int_equal(after_ms(1), DETECTOR_ALIVE);
}

/*
 * Seeds 639 and 761 of the simulator: we, or our path, were away for longer than the
 * peer waits; it went on without us and fell silent. However long the path has worked
 * since, it says nothing about that time.
 */
static void a_path_with_a_break_since_the_peer_was_heard_proves_nothing(void **state)
{
	(void)state;
	regular_life(5, 200);
	after_ms(11); /* one millisecond more than the proof may pause */
	assert_int_equal(station_answers_for_ms(1000), DETECTOR_UNKNOWN);
	set_up(state);
	life(5, 200, false);
	after_ms(1);
	assert_int_equal(station_answers_for_ms(1000), DETECTOR_UNKNOWN);
	set_up(state);
	regular_life(5, 200);
	assert_int_equal(station_answers_for_ms(60), DETECTOR_SUSPECT);
	detector_carrier(&detector, MANAGEMENT, false, now_ns);
	assert_int_equal(station_answers_for_ms(20), DETECTOR_UNKNOWN);
	detector_carrier(&detector, MANAGEMENT, true, now_ns);
	assert_int_equal(station_answers_for_ms(1), DETECTOR_DEAD);
}

static void carrier_lost_on_both_links_shortens_the_wait(void **state)
{
	(void)state;
	regular_life(5, 200);
	detector_carrier(&detector, CS1, false, now_ns);
	assert_int_equal(after_ms(10), DETECTOR_ALIVE); /* one cable pulled proves nothing */
	detector_carrier(&detector, CS2, false, now_ns);
	assert_int_equal(after_ms(0), DETECTOR_SUSPECT);
}

static void lose_carriers(void)
{
	detector_carrier(&detector, CS1, true, now_ns);
	detector_carrier(&detector, CS2, true, now_ns);
	now_ns += MS;
	detector_carrier(&detector, CS1, false, now_ns);
	assert_false(detector_is_cut(&detector));
	detector_carrier(&detector, CS2, false, now_ns);
	assert_true(detector_is_cut(&detector));
}

static void carrier_lost_on_both_links_shortens_the_asking(void **state)
{
	(void)state;
	regular_life(5, 200);
	lose_carriers();
	assert_int_equal(station_answers_for_ms(8), DETECTOR_ALIVE); /* heard 9 ms ago */
	assert_int_equal(station_answers_for_ms(10), DETECTOR_SUSPECT);
	assert_int_equal(detector_next_deadline_ns(&detector, now_ns), now_ns + MS);
	assert_int_equal(station_answers_for_ms(1), DETECTOR_DEAD);
}

static void a_peer_heard_elsewhere_is_not_dead_early(void **state)
{
	(void)state;
	regular_life(5, 200);
	lose_carriers();
	assert_int_equal(station_answers_for_ms(10), DETECTOR_SUSPECT);
	detector_heard(&detector, MANAGEMENT, now_ns);
	assert_int_equal(station_answers_for_ms(18), DETECTOR_SUSPECT);
	assert_int_equal(station_answers_for_ms(1), DETECTOR_CUT_OFF);
}

/* In it the peer may have gone on early: neither now nor later does the path prove anything. */
static void a_short_break_counts_once_the_carriers_are_gone(void **state)
{
	(void)state;
	regular_life(5, 200);
	lose_carriers();
	station_answers_for_ms(3);
	after_ms(7);
	assert_int_equal(station_answers_for_ms(9), DETECTOR_SUSPECT);
	assert_int_equal(station_answers_for_ms(20), DETECTOR_UNKNOWN);
	/* Carriers that come back are no proof either; the peer is. */
	detector_carrier(&detector, CS1, true, now_ns);
	assert_int_equal(station_answers_for_ms(35), DETECTOR_UNKNOWN);
	detector_heard(&detector, CS1, now_ns);
	assert_false(detector_is_cut(&detector));
	assert_int_equal(station_answers_for_ms(1), DETECTOR_ALIVE);
}

/* A server that stood still saw them late: what counts is when it last saw them. */
static void carriers_missed_late_were_lost_when_last_seen(void **state)
{
	(void)state;
	regular_life(5, 200);
	detector_carrier(&detector, CS1, true, now_ns);
	now_ns += 7 * MS;
	detector_carrier(&detector, CS1, false, now_ns);
	detector_carrier(&detector, CS2, false, now_ns);
	assert_int_equal(station_answers_for_ms(40), DETECTOR_UNKNOWN);
}

static void the_timeout_adapts_to_the_peers_rhythm(void **state)
{
	(void)state;
	regular_life(5, 500);
	assert_int_equal(detector_timeout_ns(&detector), 50 * MS); /* the minimum */
	regular_life(40, 4000);
	assert_in_range(detector_timeout_ns(&detector), 160 * MS, 400 * MS);
	for (uint64_t i = 0; i < 20; i++) { /* very irregular: bounded above */
		now_ns += (i % 2 ? 5 : 900) * MS;
		detector_heard(&detector, CS1, now_ns);
		detector_heard(&detector, CS2, now_ns);
	}
	assert_int_equal(detector_timeout_ns(&detector), 2000 * MS);
}

static struct arbiter_facts facts_of(uint32_t bits, bool is_leader)
{
	return (struct arbiter_facts){ .hardware_faults = bits & 1,
				       .disks_current = bits & 2,
				       .is_leader = is_leader };
}

/* Every combination of facts and preference: one stops, and only then the other, told so, goes on. */
static void of_two_living_exactly_one_goes_on(void **state)
{
	(void)state;
	for (uint32_t bits = 0; bits < 16 * 2 * 3; bits++) {
		struct arbiter_question question = { .preferred = (enum arbiter_server)(bits / 32),
						     .peer = DETECTOR_CUT_OFF };
		uint32_t asking = 0;

		question.facts[ARBITER_SERVER_A] = facts_of(bits & 3, (bits >> 4) & 1);
		question.facts[ARBITER_SERVER_B] = facts_of((bits >> 2) & 3, !((bits >> 4) & 1));
		for (uint32_t self = 0; self < ARBITER_SERVER_COUNT; self++) {
			struct arbiter_decision decision;

			question.self = (enum arbiter_server)self;
			decision = arbiter_decide(&question);
			assert_non_null(decision.reason);
			assert_int_not_equal(decision.answer, ARBITER_GO_ON);
			asking += decision.answer == ARBITER_ASK;
			question.claim = ARBITER_CLAIM_STOPPED;
			assert_int_equal(arbiter_decide(&question).answer,
					 decision.answer == ARBITER_ASK ? ARBITER_GO_ON : ARBITER_STOP);
			question.claim = ARBITER_CLAIM_ALONE;
			assert_int_equal(arbiter_decide(&question).answer, ARBITER_STOP);
			question.claim = ARBITER_CLAIM_NONE;
		}
		assert_int_equal(asking, 1);
	}
}

static void answers_and_reasons(void **state)
{
	static const struct {
		enum detector_verdict peer;
		uint32_t own;
		uint32_t other;
		enum arbiter_server preferred;
		bool continue_when_unsure;
		enum arbiter_answer answer;
		const char *reason;
	} rows[] = {
		{ DETECTOR_DEAD, 2, 2, ARBITER_SERVER_NONE, false, ARBITER_GO_ON, "peer dead" },
		{ DETECTOR_DEAD, 0, 2, ARBITER_SERVER_NONE, false, ARBITER_STOP,
		  "peer dead, but our disks are not current: its disks are needed" },
		{ DETECTOR_UNKNOWN, 2, 2, ARBITER_SERVER_A, false, ARBITER_STOP,
		  "no path works from here: it may be we who are cut off" },
		{ DETECTOR_UNKNOWN, 2, 2, ARBITER_SERVER_A, true, ARBITER_GO_ON,
		  "no path works from here: told to continue, though the peer may, too" },
		{ DETECTOR_UNKNOWN, 0, 2, ARBITER_SERVER_A, true, ARBITER_STOP,
		  "no path works from here: it may be we who are cut off" },
		{ DETECTOR_CUT_OFF, 2, 3, ARBITER_SERVER_B, false, ARBITER_ASK,
		  "links lost, peer lives; its hardware has reported errors" },
		{ DETECTOR_CUT_OFF, 2, 2, ARBITER_SERVER_B, false, ARBITER_STOP,
		  "links lost, peer lives; it is the preferred server" },
		{ DETECTOR_CUT_OFF, 3, 0, ARBITER_SERVER_B, false, ARBITER_ASK,
		  "links lost, peer lives; only our disks are current" },
		{ DETECTOR_CUT_OFF, 2, 2, ARBITER_SERVER_NONE, false, ARBITER_STOP,
		  "links lost, peer lives; it leads" },
	};

	(void)state;
	for (uint32_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct arbiter_question question = { .self = ARBITER_SERVER_A,
						     .preferred = rows[i].preferred,
						     .peer = rows[i].peer,
						     .continue_when_unsure = rows[i].continue_when_unsure };
		struct arbiter_decision decision;

		question.facts[ARBITER_SERVER_A] = facts_of(rows[i].own, false);
		question.facts[ARBITER_SERVER_B] = facts_of(rows[i].other, true);
		decision = arbiter_decide(&question);
		assert_string_equal(decision.reason, rows[i].reason);
		assert_int_equal(decision.answer, rows[i].answer);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(silence_is_suspected_then_judged_by_the_other_paths, set_up),
		cmocka_unit_test_setup(a_peer_heard_elsewhere_is_cut_off, set_up),
		cmocka_unit_test_setup(silence_everywhere_is_not_knowledge, set_up),
		cmocka_unit_test_setup(a_path_with_a_break_since_the_peer_was_heard_proves_nothing, set_up),
		cmocka_unit_test_setup(carrier_lost_on_both_links_shortens_the_wait, set_up),
		cmocka_unit_test_setup(carrier_lost_on_both_links_shortens_the_asking, set_up),
		cmocka_unit_test_setup(a_peer_heard_elsewhere_is_not_dead_early, set_up),
		cmocka_unit_test_setup(a_short_break_counts_once_the_carriers_are_gone, set_up),
		cmocka_unit_test_setup(carriers_missed_late_were_lost_when_last_seen, set_up),
		cmocka_unit_test_setup(the_timeout_adapts_to_the_peers_rhythm, set_up),
		cmocka_unit_test(of_two_living_exactly_one_goes_on),
		cmocka_unit_test(answers_and_reasons),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
