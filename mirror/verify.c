/* SPDX-License-Identifier: Apache-2.0 */
/* Comparing both disks, slowly; see verify.h. */
#include "mirror/verify.h"

#include <errno.h>
#include <string.h>

#include "include/assert.h"

#define SECOND_NS UINT64_C(1000000000)

void verify_init(struct verify *verify, uint64_t sector_count, uint64_t rate_bytes)
{
	ASSERT(rate_bytes > 0);
	memset(verify, 0, sizeof(*verify));
	verify->region_count = mirror_region_count(sector_count);
	verify->rate_bytes = rate_bytes;
}

void verify_begin(struct verify *verify, uint64_t now_ns)
{
	ASSERT(!verify->running);
	verify->running = true;
	verify->under_way = false;
	verify->region = 0;
	verify->mismatches = 0;
	verify->unreadable = 0;
	verify->begun_ns = now_ns;
	verify->due_ns = now_ns;
}

void verify_stop(struct verify *verify)
{
	verify->running = false;
	verify->under_way = false;
}

int64_t verify_take(struct verify *verify, uint64_t now_ns)
{
	uint64_t region_ns = MIRROR_REGION_SIZE * SECOND_NS / verify->rate_bytes;

	if (!verify->running)
		return -ENOENT;
	if (verify->under_way || now_ns < verify->due_ns)
		return -EAGAIN;
	verify->under_way = true;
	/* What was not used is not saved up: the pass is to be unnoticed, not punctual. */
	verify->due_ns = max_u64(verify->due_ns + region_ns, now_ns);
	return (int64_t)verify->region;
}

void verify_end(struct verify *verify, uint64_t mismatches, uint64_t unreadable, uint64_t now_ns)
{
	verify_stop(verify);
	verify->passes++;
	verify->last_ended_ns = now_ns;
	verify->last_mismatches = mismatches;
	verify->last_unreadable = unreadable;
}

bool verify_done(struct verify *verify, enum verify_outcome outcome, uint64_t now_ns)
{
	if (!verify->running || !verify->under_way)
		return false; /* stopped meanwhile */
	verify->under_way = false;
	if (outcome == VERIFY_AGAIN)
		return false;
	verify->mismatches += outcome == VERIFY_MISMATCH;
	verify->unreadable += outcome == VERIFY_UNREADABLE;
	if (++verify->region < verify->region_count)
		return false;
	verify_end(verify, verify->mismatches, verify->unreadable, now_ns);
	return true;
}

void verify_follow(struct verify *verify, uint64_t region)
{
	verify->running = true;
	verify->region = region;
}

uint32_t verify_percent(const struct verify *verify)
{
	return verify->running ? (uint32_t)(verify->region * 100 / verify->region_count) : 100;
}
