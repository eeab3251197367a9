/* SPDX-License-Identifier: Apache-2.0 */
/* What the guest's input and output costs, by stages; see stage.h. */
#include "kernel/stage.h"

#include <string.h>

struct stages stages;

void stage_round_begin(void)
{
	memcpy(stages.before, stages.ticks, sizeof(stages.before));
	stages.now = STAGE_LOOP;
	stages.worked = false;
	stages.begun = cpu_read_tsc();
	stages.since = stages.begun;
}

void stage_round_end(void)
{
	stage_enter(STAGE_LOOP);
	if (stages.worked)
		stages.busy += stages.since - stages.begun;
	else
		memcpy(stages.ticks, stages.before, sizeof(stages.ticks));
}

void stage_show(void (*print)(const char *format, ...))
{
	static const char *const names[STAGE_COUNT] = {
		[STAGE_LOOP] = "main loop",
		[STAGE_PAIR] = "pair",
		[STAGE_EXITS] = "exits",
		[STAGE_QUEUES] = "virtqueues",
		[STAGE_HAND_OVER] = "handing over",
		[STAGE_DISK] = "mirror and disk driver",
		[STAGE_PORT] = "port driver",
		[STAGE_DELIVERY] = "delivery",
		[STAGE_UPKEEP] = "upkeep",
	};

	print("stages of the hypervisor: TSC ticks, in rounds that found work\n");
	for (uint32_t stage = 0; stage < STAGE_COUNT; stage++)
		print("  %s: %lu\n", names[stage], (unsigned long)stages.ticks[stage]);
}
