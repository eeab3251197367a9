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
	ASSERT(config->carrier_ask_ns <= config->ask_ns);
	ASSERT(config->carrier_gap_ns < config->carrier_ask_ns);
	memset(detector, 0, sizeof(*detector));
	detector->config = *config;
	for (uint32_t path = 0; path < DETECTOR_PATH_MAX; path++) {
		detector->paths[path].used = (used >> path) & 1;
		detector->paths[path].carrier = true;
		detector->paths[path].carrier_ns = now_ns;
		detector->paths[path].heard_ns = now_ns;
	}
}

static bool cs_carrier_is_lost(const struct detector *detector)
{
	for (uint32_t path = 0; path < DETECTOR_CS_PATHS; path++)
		if (detector->paths[path].used && detector->paths[path].carrier)
			return false;
	return true;
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
	if (path < DETECTOR_CS_PATHS && at_ns >= detector->cut_ns && !cs_carrier_is_lost(detector))
		detector->cut = false;
}

/* From when a CS link was last seen to have its carrier: not from when it was missed, for we may have stood still. */
static void begin_cut(struct detector *detector, uint64_t now_ns)
{
	uint64_t seen_ns = max_u64(detector->paths[0].carrier_ns, detector->paths[1].carrier_ns);

	detector->cut = true;
	detector->cut_ns = now_ns;
	for (uint32_t path = 0; path < DETECTOR_PATH_MAX; path++)
		detector->paths[path].unbroken_ns = seen_ns;
}

void detector_carrier(struct detector *detector, uint32_t path, bool carrier, uint64_t at_ns)
{
	ASSERT(path < DETECTOR_PATH_MAX);
	detector->paths[path].carrier = carrier;
	if (carrier)
		detector->paths[path].carrier_ns = at_ns;
	else if (!detector->cut && cs_carrier_is_lost(detector))
		begin_cut(detector, at_ns);
}

bool detector_is_cut(const struct detector *detector)
{
	return detector->cut;
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
	if (asked_ns <= proven->unbroken_ns + detector->config.carrier_gap_ns)
		proven->unbroken_ns = max_u64(proven->unbroken_ns, asked_ns);
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

/* While `cut` a shorter break counts: the peer, if it lives, may have gone on in it. */
static bool is_unbroken(const struct detector *detector, const struct detector_path *path, uint64_t now_ns)
{
	if (detector->cut && now_ns - path->unbroken_ns > detector->config.carrier_gap_ns)
		return false;
	return now_ns - path->proven_ns <= detector->config.proof_gap_ns &&
	       path->proven_since_ns <= detector_cs_heard_ns(detector);
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

		if (other->used && other->carrier && other->proven && is_unbroken(detector, other, now_ns))
			return true;
	}
	return false;
}

/* With carrier lost on both CS links death is seen sooner. */
static uint64_t early_verdict_ns(const struct detector *detector)
{
	if (!detector->cut || !cs_carrier_is_lost(detector))
		return UINT64_MAX;
	return max_u64(detector->suspected_ns, detector->cut_ns) + detector->config.carrier_ask_ns;
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
		return now_ns >= early_verdict_ns(detector) && !heard_elsewhere(detector, now_ns) &&
				       proven_elsewhere(detector, now_ns)
			       ? DETECTOR_DEAD
			       : DETECTOR_SUSPECT;
	if (heard_elsewhere(detector, now_ns))
		return DETECTOR_CUT_OFF;
	return proven_elsewhere(detector, now_ns) ? DETECTOR_DEAD : DETECTOR_UNKNOWN;
}

uint64_t detector_next_deadline_ns(const struct detector *detector, uint64_t now_ns)
{
	uint64_t early_ns = early_verdict_ns(detector);

	if (detector->suspecting)
		return early_ns > now_ns ? min_u64(early_ns, detector->suspected_ns + detector->config.ask_ns)
					 : detector->suspected_ns + detector->config.ask_ns;
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
