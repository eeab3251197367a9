/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pair simulator: `sim FIRST_SEED [COUNT [FAILURES]]`. One seed alone tells what
 * happens; of several the run ends after FAILURES (10) that fail. A failure prints
 * the seed, the commit and the command that replays it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/world.h"

#ifndef YOKE_VERSION
#error "compile with -DYOKE_VERSION=..."
#endif

static struct world world;

int main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
	uint64_t failed_max = argc > 3 ? strtoull(argv[3], NULL, 0) : 10;
	uint64_t failed = 0;
	uint64_t outputs = 0;
	uint64_t acknowledged = 0;
	uint64_t crashes = 0;
	uint64_t checks = 0;
	uint64_t joins = 0;
	uint64_t failovers = 0;

	setvbuf(stdout, NULL, _IOLBF, 0); /* a failure shows at once, also in a pipe */
	for (uint64_t seed = first; seed < first + count; seed++) {
		world_run(&world, seed, count == 1);
		outputs += world.outputs_seen;
		acknowledged += world.acknowledged_count;
		crashes += world.crashes;
		checks += world.checks;
		joins += world.joins;
		failovers += world.failovers;
		if (!world.violation)
			continue;
		failed++;
		printf("sim: SEED %lu: %s: %s\n     at %.3f ms, commit %s; again: make sim SEED=%lu\n",
		       (unsigned long)seed, world.violation, world.detail, (double)world.now_ns / 1e6,
		       YOKE_VERSION, (unsigned long)seed);
		if (failed == failed_max)
			break;
	}
	printf("sim: %lu seeds, %lu failed; %lu outputs, %lu acknowledged writes, %lu crashes, %lu joins, %lu failovers, "
	       "%lu digests compared\n",
	       (unsigned long)count, (unsigned long)failed, (unsigned long)outputs,
	       (unsigned long)acknowledged, (unsigned long)crashes, (unsigned long)joins,
	       (unsigned long)failovers, (unsigned long)checks);
	return failed != 0;
}
