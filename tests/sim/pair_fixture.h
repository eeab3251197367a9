/* SPDX-License-Identifier: Apache-2.0 */
/* The pair that the simulator and the unit tests try: how long it waits for what. */
#ifndef TESTS_SIM_PAIR_FIXTURE_H
#define TESTS_SIM_PAIR_FIXTURE_H

#include "lockstep/pair.h"

#define MS UINT64_C(1000000)

#define LAG_MAX_NS (100 * MS)
#define REJOIN_WAIT_MIN_NS (20 * MS)
#define REJOIN_WAIT_MAX_NS (160 * MS)
#define GOOD_STRETCH_NS (500 * MS)

/* Start `start`, from 1 on, of server `side` of the pair `number`; nothing of its identity. */
static inline struct pair_config pair_fixture_config(uint64_t number, uint32_t side, uint64_t start)
{
	return (struct pair_config){
		.channel = { .pair = number,
			     .incarnation = (2 * start + side) << 16,
			     .link = { .heartbeat_ns = 5 * MS,
				       .timeout_ns = 60 * MS,
				       .ack_delay_ns = MS / 10,
				       .test_count = 3 } },
		.detector = { .timeout_min_ns = 50 * MS,
			      .timeout_max_ns = 300 * MS,
			      .carrier_timeout_ns = 4 * MS,
			      .other_timeout_ns = 200 * MS,
			      .ask_ns = 30 * MS,
			      .proof_gap_ns = 25 * MS,
			      .carrier_ask_ns = 12 * MS,
			      .carrier_gap_ns = 8 * MS },
		.paths = 7,
		.self = side == 0 ? ARBITER_SERVER_A : ARBITER_SERVER_B,
		.preferred = ARBITER_SERVER_A,
		.wait_for_peer_ns = 400 * MS,
		.beacon_ns = 5 * MS,
		.ask_beacon_ns = 2 * MS,
		.carrier_beacon_ns = MS,
		.progress_ns = 5 * MS,
		.lag_max_ns = LAG_MAX_NS,
		.rejoin_wait_min_ns = REJOIN_WAIT_MIN_NS,
		.rejoin_wait_max_ns = REJOIN_WAIT_MAX_NS,
		.good_stretch_ns = GOOD_STRETCH_NS,
	};
}

#endif
