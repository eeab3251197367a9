/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The background comparison of two good disks, region by region, at a set rate. The
 * leader drives it; the owner locks the region on both servers behind one request
 * number (mirror_set_lock), has both read it, and compares checksums. A difference is
 * repaired from the leader's disk and counted. Pure.
 */
#ifndef MIRROR_VERIFY_H
#define MIRROR_VERIFY_H

#include "mirror/mirror.h"

enum verify_outcome {
	VERIFY_EQUAL,
	VERIFY_MISMATCH, /* repaired, or about to be: counted */
	VERIFY_AGAIN,	 /* could not be compared now: a lock, a slow follower */
};

struct verify {
	bool running;
	bool under_way;	 /* a region was taken and is not answered */
	uint64_t region; /* the next one, or the one under way */
	uint64_t region_count;
	uint64_t rate_bytes; /* per second, not 0 */
	uint64_t due_ns;     /* no region before */
	uint64_t mismatches; /* of this pass */
	uint64_t begun_ns;
	/* The last whole pass. */
	uint64_t passes;
	uint64_t last_ended_ns;
	uint64_t last_mismatches;
};

void verify_init(struct verify *verify, uint64_t sector_count, uint64_t rate_bytes);
/* From the first region. Not while it runs. */
void verify_begin(struct verify *verify, uint64_t now_ns);
/* Duplex ended, a disk went, or the administrator stopped it: the pass does not count. */
void verify_stop(struct verify *verify);
/* The region to compare now; -EAGAIN: not yet; -ENOENT: it does not run. */
int64_t verify_take(struct verify *verify, uint64_t now_ns);
/* What came of it. Returns true when that was the last one: the pass is over. */
bool verify_done(struct verify *verify, enum verify_outcome outcome, uint64_t now_ns);
uint32_t verify_percent(const struct verify *verify);

#endif
