/* SPDX-License-Identifier: Apache-2.0 */
/* The main loop: poll everybody, sleep when nobody has work. */
#include "kernel/loop.h"

#include "include/assert.h"
#include "kernel/apic.h"
#include "kernel/cpu.h"
#include "kernel/stage.h"
#include "kernel/time.h"

static struct loop_service services[LOOP_SERVICE_MAX];
static uint32_t service_count;
static struct loop_statistics counted;
static uint64_t awake_until_ns;

void loop_add(const char *name, bool (*poll)(void))
{
	ASSERT(service_count < LOOP_SERVICE_MAX);
	services[service_count++] = (struct loop_service){ .name = name, .poll = poll };
}

bool loop_round(void)
{
	bool worked = false;

	counted.rounds++;
	stage_round_begin();
	for (uint32_t i = 0; i < service_count; i++)
		worked |= services[i].poll();
	stage_round_end();
	return worked;
}

static void sleep_until_tick(void)
{
	uint64_t start_ns = time_now_ns();

	apic_timer_start_ns(LOOP_TICK_US * NS_PER_US);
	cpu_wait_for_interrupt();
	counted.sleeps++;
	counted.sleep_ns += time_now_ns() - start_ns;
}

void loop_stay_awake(uint64_t awake_us)
{
	awake_until_ns = max_u64(awake_until_ns, time_now_ns() + awake_us * NS_PER_US);
}

_Noreturn void loop_run(void)
{
	bool worked = false;

	for (;;) {
		bool worked_before = worked;

		worked = loop_round();
		if (worked)
			continue;
		if (worked_before)
			loop_stay_awake(LOOP_SPIN_US);
		else if (time_reached(awake_until_ns))
			sleep_until_tick();
	}
}

void loop_statistics(struct loop_statistics *statistics)
{
	*statistics = counted;
}
