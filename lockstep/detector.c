/* SPDX-License-Identifier: Apache-2.0 */
/* Is the peer alive? See detector.h. */
#include "lockstep/detector.h"

#include <string.h>

#include "include/assert.h"

/* Time-out in smoothed intervals and variations: far enough out that a busy peer is not taken for dead. */
#define INTERVALS 4
#define VARIATIONS 8

void detector_init(struct detector *detector, const struct detector_config *config, uint32_t used,
		   uint64_t now_ns)
{
	ASSERT(config->timeout_min_ns <= config->timeout_max_ns);
	ASSERT(config->proof_gap_ns < config->ask_ns);
	memset(detector, 0, sizeof(*detector));
	detector->config = *config;
	for (uint32_t path = 0; path < DETECTOR_PATH_MAX; path++) {
		detector->paths[path].used = (used >> path) & 1;
		detector->paths[path].carrier = true;
		detector->paths[path].heard_ns = now_ns;
	}
}

void detector_heard(struct detector *detector, uint32_t path, uint64_t at_ns)
{
	struct detector_path *heard = &detector->paths[path];
	uint64_t interval_ns = at_ns - min_u64(heard->heard_ns, at_ns);
	uint64_t difference_ns = interval_ns > heard->interval_ns ? interval_ns - heard->interval_ns
								  : heard->interval_ns - interval_ns;

	ASSERT(path < DETECTOR_PATH_MAX);
	if (heard->heard) {
		heard->interval_ns =
			heard->interval_ns ? (7 * heard->interval_ns + interval_ns) / 8 : interval_ns;
		heard->variation_ns = (3 * heard->variation_ns + difference_ns) / 4;
	}
	heard->heard = true;
	heard->heard_ns = max_u64(heard->heard_ns, at_ns);
}

void detector_carrier(struct detector *detector, uint32_t path, bool carrier)
{
	ASSERT(path < DETECTOR_PATH_MAX);
	detector->paths[path].carrier = carrier;
}

void detector_proven(struct detector *detector, uint32_t path, uint64_t asked_ns)
{
	struct detector_path *proven = &detector->paths[path];

	ASSERT(path >= DETECTOR_CS_PATHS);
	ASSERT(path < DETECTOR_PATH_MAX);
	if (!proven->proven || asked_ns > proven->proven_ns + detector->config.proof_gap_ns)
		proven->proven_since_ns = asked_ns;
	proven->proven = true;
	proven->proven_ns = max_u64(proven->proven_ns, asked_ns);
}

static bool cs_carrier_is_lost(const struct detector *detector)
{
	for (uint32_t path = 0; path < DETECTOR_CS_PATHS; path++)
		if (detector->paths[path].used && detector->paths[path].carrier)
			return false;
	return true;
}

uint64_t detector_timeout_ns(const struct detector *detector)
{
	uint64_t timeout_ns = 0;

	if (cs_carrier_is_lost(detector))
		return detector->config.carrier_timeout_ns;
	for (uint32_t path = 0; path < DETECTOR_CS_PATHS; path++) {
		const struct detector_path *cs = &detector->paths[path];

		timeout_ns = max_u64(timeout_ns, INTERVALS * cs->interval_ns + VARIATIONS * cs->variation_ns);
	}
	return min_u64(max_u64(timeout_ns, detector->config.timeout_min_ns), detector->config.timeout_max_ns);
}

uint64_t detector_cs_heard_ns(const struct detector *detector)
{
	return max_u64(detector->paths[0].heard_ns, detector->paths[1].heard_ns);
}

/* Heard on another path since the suspicion arose (what came before tells nothing), and not silent since. */
static bool heard_elsewhere(const struct detector *detector, uint64_t now_ns)
{
	for (uint32_t path = DETECTOR_CS_PATHS; path < DETECTOR_PATH_MAX; path++) {
		const struct detector_path *other = &detector->paths[path];

		if (other->used && other->heard && other->heard_ns >= detector->suspected_ns &&
		    now_ns - other->heard_ns < detector->config.other_timeout_ns)
			return true;
	}
	return false;
}

/*
 * Has a path worked without a break since the peer was last heard, and while it was
 * asked? Then the peer, if it lived, either heard us there, and did not take us for
 * dead, or had no working path itself, and stopped. A path that had a break in
 * between, or a server that stood still itself, proves nothing: the peer may have
 * gone on without us in that time.
 */
static bool proven_elsewhere(const struct detector *detector, uint64_t now_ns)
{
	for (uint32_t path = DETECTOR_CS_PATHS; path < DETECTOR_PATH_MAX; path++) {
		const struct detector_path *other = &detector->paths[path];

		if (other->used && other->carrier && other->proven &&
		    now_ns - other->proven_ns <= detector->config.proof_gap_ns &&
		    other->proven_since_ns <= detector_cs_heard_ns(detector))
			return true;
	}
	return false;
}

enum detector_verdict detector_judge(struct detector *detector, uint64_t now_ns)
{
	if (now_ns - detector_cs_heard_ns(detector) < detector_timeout_ns(detector)) {
		detector->suspecting = false;
		return DETECTOR_ALIVE;
	}
	if (!detector->suspecting) {
		detector->suspecting = true;
		detector->suspected_ns = now_ns;
	}
	/* The answers are waited for also when one is there already: they may differ by path. */
	if (now_ns - detector->suspected_ns < detector->config.ask_ns)
		return DETECTOR_SUSPECT;
	if (heard_elsewhere(detector, now_ns))
		return DETECTOR_CUT_OFF;
	return proven_elsewhere(detector, now_ns) ? DETECTOR_DEAD : DETECTOR_UNKNOWN;
}

uint64_t detector_next_deadline_ns(const struct detector *detector)
{
	if (detector->suspecting)
		return detector->suspected_ns + detector->config.ask_ns;
	return detector_cs_heard_ns(detector) + detector_timeout_ns(detector);
}

const char *detector_verdict_name(enum detector_verdict verdict)
{
	static const char *const names[DETECTOR_VERDICT_COUNT] = {
		[DETECTOR_ALIVE] = "alive", [DETECTOR_SUSPECT] = "suspect", [DETECTOR_CUT_OFF] = "cut off",
		[DETECTOR_DEAD] = "dead",   [DETECTOR_UNKNOWN] = "unknown",
	};

	return names[verdict];
}
