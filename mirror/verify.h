/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The background comparison of two good disks, region by region, at a set rate. The
 * leader drives it (engine_verify.c): the region is locked on both servers behind one
 * request number, both read it, and checksums are compared. A difference is repaired from
 * the leader's disk, what one disk cannot read from the other, and either is counted. The
 * follower knows how far it is, and what came of it. Pure.
 */
#ifndef MIRROR_VERIFY_H
#define MIRROR_VERIFY_H

#include "mirror/mirror.h"

enum verify_outcome {
	VERIFY_EQUAL,
	VERIFY_MISMATCH,
	VERIFY_UNREADABLE, /* on one disk, or on both */
	VERIFY_AGAIN,	   /* could not be compared now */
};

struct verify {
	bool running;
	bool under_way;	 /* a region was taken and is not answered */
	uint64_t region; /* the next one, or the one under way */
	uint64_t region_count;
	uint64_t rate_bytes; /* per second, not 0 */
	uint64_t due_ns;     /* no region before */
	uint64_t mismatches; /* of this pass */
	uint64_t unreadable;
	uint64_t begun_ns;
	/* The last whole pass. */
	uint64_t passes;
	uint64_t last_ended_ns;
	uint64_t last_mismatches;
	uint64_t last_unreadable;
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
/* On the follower: the leader is at `region`; and it has come to the end. */
void verify_follow(struct verify *verify, uint64_t region);
void verify_end(struct verify *verify, uint64_t mismatches, uint64_t unreadable, uint64_t now_ns);
uint32_t verify_percent(const struct verify *verify);

#endif
