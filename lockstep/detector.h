/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is the peer alive? Sans I/O, as a smoke detector on each path: every sign of life
 * resets it, and how long it waits adapts to how regularly signs have come.
 *
 * The CS links decide when to suspect; the other paths decide what that means:
 *
 *     heard on a CS link in time                         ALIVE
 *     silent on both CS links, heard on another path     CUT_OFF  (it lives, the links do not)
 *     silent everywhere, another path proven from here   DEAD
 *         without a break since the peer was last heard
 *     silent everywhere, nothing proven                  UNKNOWN  (it may be we who are cut off)
 *     silent on both CS links, the others still asked    SUSPECT
 *
 * Carrier lost on both CS links at once is what a peer without power looks like on
 * direct cables: it shortens the wait, and the asking, but is no verdict. Then a peer
 * that lives may go on without us as soon as carrier_ask_ns later. Its carrier went
 * when ours did; so since we last saw one, a path must have worked without a break as
 * long as that, by answers that come often (detector_is_cut()), or it proves nothing:
 * not now, and not later either, until the peer is heard again.
 */
#ifndef LOCKSTEP_DETECTOR_H
#define LOCKSTEP_DETECTOR_H

#include "include/bits.h"

#define DETECTOR_PATH_MAX 8 /* cs1, cs2, management, public1..4, one to spare */
#define DETECTOR_CS_PATHS 2 /* paths 0 and 1 */

struct detector_config {
	uint64_t timeout_min_ns;     /* never suspect earlier ... */
	uint64_t timeout_max_ns;     /* ... nor later than this much silence on the CS links */
	uint64_t carrier_timeout_ns; /* the same, with carrier lost on both */
	uint64_t other_timeout_ns;   /* silence that makes another path silent; several of its heartbeats */
	uint64_t ask_ns; /* how long the others are asked, peer and station alike, before silence counts */
	uint64_t proof_gap_ns; /* a station silent so long begins its path's proof anew; below ask_ns */
	/* The same two with carrier lost on both CS links; from then on, not from the suspicion. */
	uint64_t carrier_ask_ns;
	uint64_t carrier_gap_ns;
};

enum detector_verdict {
	DETECTOR_ALIVE,
	DETECTOR_SUSPECT,
	DETECTOR_CUT_OFF,
	DETECTOR_DEAD,
	DETECTOR_UNKNOWN,
	DETECTOR_VERDICT_COUNT,
};

struct detector_path {
	bool used; /* configured on this server */
	bool carrier;
	bool heard;  /* since detector_init() */
	bool proven; /* a station besides the peer has answered */
	uint64_t heard_ns;
	uint64_t proven_ns;	  /* last answer of the station */
	uint64_t proven_since_ns; /* first of an unbroken row of them */
	uint64_t carrier_ns;	  /* when it last was seen to have its carrier */
	uint64_t unbroken_ns;	  /* while `cut`: until when it has worked since the carriers went */
	uint64_t interval_ns;	  /* between signs of life, smoothed; 0: not measured */
	uint64_t variation_ns;
};

struct detector {
	struct detector_config config;
	struct detector_path paths[DETECTOR_PATH_MAX];
	bool suspecting;
	uint64_t suspected_ns; /* since when */
	bool cut;	       /* no CS link had its carrier at some time since the peer was heard */
	uint64_t cut_ns;       /* when that was first seen */
};

/* Begins as if both CS paths had just been heard. `used`: bit of each path there is. */
void detector_init(struct detector *detector, const struct detector_config *config, uint32_t used,
		   uint64_t now_ns);

/*
 * A sign of life of the peer came by `path`, as of `at_ns`: for an answer, when the
 * question was sent, since it may have waited while we stood still.
 */
void detector_heard(struct detector *detector, uint32_t path, uint64_t at_ns);

/* The port's carrier as it was seen at `at_ns`; of CS links it is looked at all the time. */
void detector_carrier(struct detector *detector, uint32_t path, bool carrier, uint64_t at_ns);

/* Carrier is or was lost on both CS links: the others are to be asked several times in carrier_gap_ns. */
bool detector_is_cut(const struct detector *detector);

/*
 * Another station (gateway, or any that answers) was heard on `path`, not a CS link.
 * It is asked all the time, several times in proof_gap_ns, and not only in doubt.
 */
void detector_proven(struct detector *detector, uint32_t path, uint64_t asked_ns);

/*
 * The verdict at `now_ns`; also moves the detector on, so ask at
 * detector_next_deadline_ns() at the latest. While it is SUSPECT the owner asks on
 * all other paths.
 */
enum detector_verdict detector_judge(struct detector *detector, uint64_t now_ns);

uint64_t detector_next_deadline_ns(const struct detector *detector, uint64_t now_ns);

/* The silence on the CS links after which the peer is suspected, as things are. */
uint64_t detector_timeout_ns(const struct detector *detector);

/* When the peer was last heard on any CS link. */
uint64_t detector_cs_heard_ns(const struct detector *detector);

const char *detector_verdict_name(enum detector_verdict verdict);

#endif
