/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The write-intent map of one server's disk of one set: which regions it may be
 * writing, and so may differ from the other disk when servers stop without warning.
 * A bit is durable before a write to its region begins, and goes when no write has
 * touched it since a flush that both disks have finished.
 *
 * Metadata writes are kept rare. Bits are cleared lazily, all at once, by two flushes:
 *
 *     round begins: nothing touched yet --- both disks flush --- round ends: clear what was not touched
 *
 * and each guest write earns a little budget, which writes of map blocks spend: under
 * INTENT_WRITES_PER_BLOCK guest writes for each block, clearing waits; and a bit that
 * is missing is set together with its neighbours, the more the lower the budget is.
 * So sequential and random load settle down to (nearly) none. Where nobody writes, a
 * round may clear without a budget.
 */
#ifndef MIRROR_INTENT_H
#define MIRROR_INTENT_H

#include "mirror/region_map.h"

#define INTENT_WRITES_PER_BLOCK 2000 /* the target is 1,000 */
#define INTENT_ROUND_NS UINT64_C(5000000000)
#define INTENT_IDLE_NS UINT64_C(30000000000)

struct intent {
	struct region_map map;
	uint64_t *touched;    /* owner's memory: regions written since the round began */
	uint64_t window;      /* regions that a missing bit is set with: a power of two */
	int64_t budget;	      /* guest writes not yet spent on blocks */
	uint64_t blocks_paid; /* map.blocks_written up to which the budget has paid */
	bool in_round;
	uint64_t round_ns; /* when it began, or the last one ended */
	uint64_t last_write_ns;
	uint64_t writes;
};

uint64_t intent_memory_size(uint64_t sector_count);
void intent_init(struct intent *intent, uint64_t identity, uint64_t sector_count, void *memory);

/*
 * A write to these regions is about to begin. Returns true when it may: the bits are
 * durable. Else they are set now; ask intent_may_write again when blocks were written.
 */
bool intent_begin_write(struct intent *intent, uint64_t first, uint64_t count, uint64_t now_ns);
static inline bool intent_may_write(const struct intent *intent, uint64_t first, uint64_t count)
{
	return region_map_is_durable(&intent->map, first, count);
}

/* Is it time for a round? Then the caller begins one, flushes both disks and ends it. */
bool intent_round_is_due(const struct intent *intent, uint64_t now_ns);
void intent_round_begin(struct intent *intent, uint64_t now_ns);
/* A write to these regions has not finished though the round begins: it counts as touched. */
void intent_touch(struct intent *intent, uint64_t first, uint64_t count);
/* Both disks have finished a flush that began after the round did. Returns how many bits went. */
uint64_t intent_round_end(struct intent *intent, uint64_t now_ns);
/* The flush failed, or the other disk went: nothing is cleared. */
void intent_round_abort(struct intent *intent, uint64_t now_ns);

#endif
