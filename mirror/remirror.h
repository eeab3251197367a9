/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bringing an outdated disk up to date while the guest runs.
 *
 * Which way: remirror_decide() compares what both servers remember of the pair's eras.
 * The one whose history goes on where the other's ends is the source. Where both went on
 * alone and wrote, nobody chooses but an administrator.
 *
 * What: the union of both servers' dirty maps and both write-intent maps, merged into
 * the source's dirty map and durable there before anything else happens. Regions that
 * only an intent names are compared first. The dirty map is the progress: a bit goes
 * when its region was copied, and a flush of both disks that began afterwards has
 * ended (what was copied may be a write that the source's disk can still lose), and no
 * write touched the region since. So whoever crashes, whenever: what is
 * left to do is what the map says.
 *
 *     source                                     target
 *     remirror_take: region r    --- offer --->  mirror_set_lock(r, last number) = stamp
 *     mirror_set_has_all(stamp)  <-- stamp ----
 *     reads r                    --- data --->   writes r, unlocks
 *     remirror_copied(r)         <-- done -----
 *     round begins, flushes      --- flush --->  flushes
 *     remirror_round_end         <-- done -----
 *
 * Writes up to the stamp are in the data, later ones come after it on the target itself.
 *
 * The end: all that is left in the dirty map was copied. What writes have touched during
 * the last round goes over into the write-intent map; when that is durable the target
 * becomes good, durably on both servers, and then the dirty map is cleared.
 */
#ifndef MIRROR_REMIRROR_H
#define MIRROR_REMIRROR_H

#include "mirror/metadata.h"
#include "mirror/set.h"

#define REMIRROR_REASON_SIZE 192

/* What one server knows of itself and of a set, told to the other when they meet. */
struct remirror_side {
	const struct metadata *metadata;
	uint32_t set;
	bool disk_present; /* and the one that belongs there: metadata_disk_refusal() */
};

enum remirror_verdict {
	REMIRROR_NOTHING, /* both disks are whole: only intents, if any, are compared */
	REMIRROR_RAPID,
	REMIRROR_FULL,	    /* all regions; only after an administrator's word */
	REMIRROR_SPLIT,	    /* both wrote alone: an administrator must say which to keep */
	REMIRROR_NO_SOURCE, /* no whole disk is there to copy from */
};

struct remirror_decision {
	enum remirror_verdict verdict;
	uint32_t source; /* 0: a, 1: b; NOTHING: whose regions win where a compared one differs */
	char reason[REMIRROR_REASON_SIZE];
};

/*
 * `sides` of a and b. `keep`: -1, or which of the two an administrator said to keep after
 * a SPLIT. The answer is the same on both servers.
 */
void remirror_decide(const struct remirror_side sides[2], int keep, struct remirror_decision *decision);

enum remirror_phase {
	REMIRROR_IDLE,
	REMIRROR_COPYING,
	REMIRROR_TURNING,  /* all is copied; the last intents are being made durable */
	REMIRROR_SETTLING, /* the target's new state is being made durable */
};

struct remirror {
	uint8_t phase;	/* enum remirror_phase */
	uint64_t total; /* regions to do when it began */
	uint64_t next;
	uint64_t in_flight;
	uint64_t *compare;    /* owner's memory: only an intent names it */
	uint64_t *round;      /* copied when the round began */
	bool copied_in_round; /* a region, since the round began */
	uint64_t word_count;
	uint64_t rate_bytes; /* per second while the guest uses the disk; 0: no limit */
	uint64_t budget_bytes;
	uint64_t budget_ns; /* when it was last filled */
	uint64_t begun_ns;
	uint64_t bytes_copied;
	uint64_t regions_compared;
};

uint64_t remirror_memory_size(uint64_t sector_count);
/* `memory` is for the set's reach, too. */
void remirror_init(struct remirror *remirror, struct mirror_set *set, void *memory);

/*
 * Before begin: what one block of the peer's dirty map or of its intents names, as
 * region_map_get_block() makes it. `is_intent`: compare those first.
 */
void remirror_add_block(struct remirror *remirror, struct mirror_set *set, uint64_t block,
			const uint8_t *bytes, bool is_intent);
/* What our own intents name: compared first, unless written since the set is alone. */
void remirror_add_own(struct remirror *remirror, struct mirror_set *set);
/* On the source; the peer's disk is REMIRRORING. `full`: an administrator said so. */
void remirror_begin(struct remirror *remirror, struct mirror_set *set, bool full, uint64_t now_ns);
/* The target, the link or the administrator ended it: what is left stays in the dirty map. */
void remirror_stop(struct remirror *remirror);

/* The next region to offer: -EAGAIN: later (rate, map not durable), -ENOENT: all are offered. */
int64_t remirror_take(struct remirror *remirror, struct mirror_set *set, uint64_t now_ns, bool *compare);
void remirror_copied(struct remirror *remirror, struct mirror_set *set, uint64_t region, uint64_t bytes);
/* It could not be done now (a lock): it will be offered again. */
void remirror_again(struct remirror *remirror, struct mirror_set *set, uint64_t region);

/* Is there something to clear, or to end? Then begin a round, flush the target, end it. */
bool remirror_round_is_due(const struct remirror *remirror, const struct mirror_set *set);
void remirror_round_begin(struct remirror *remirror, struct mirror_set *set, uint64_t now_ns);
void remirror_round_end(struct remirror *remirror, struct mirror_set *set, uint64_t now_ns);
/* To be called in each turn: true when a step of the end was made. */
bool remirror_step(struct remirror *remirror, struct mirror_set *set);

uint32_t remirror_percent(const struct remirror *remirror, const struct mirror_set *set);
/* Estimated; UINT64_MAX: nothing is known yet. */
uint64_t remirror_remaining_s(const struct remirror *remirror, const struct mirror_set *set, uint64_t now_ns);

#endif
