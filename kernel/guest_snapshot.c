/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots; see guest_snapshot.h. Wiring. */
#include "kernel/guest_snapshot.h"

#include <string.h>

#include "include/assert.h"
#include "include/random.h"
#include "include/trace.h"
#include "kernel/guest.h"
#include "kernel/page_map.h"
#include "kernel/pages.h"

TRACE_FILE("snapshot", TRACE_INFO);

static struct guest *guest; /* NULL: no snapshots */
static struct guest_context context;
static uint8_t *memory; /* the copy of all the guest's */
static uint64_t mean;	/* steps */
static uint64_t seed;
static uint64_t next; /* at so many steps since power-on */

static void choose_next(void)
{
	next = guest->steps + random_around(&seed, mean);
}

const char *guest_snapshot_init(struct guest *of_guest, uint64_t mean_steps, uint64_t first_seed)
{
	uint64_t total = guest_memory_total(&of_guest->memory);
	uint64_t physical = pages_allocate(align_up(total, PAGE_SIZE) / PAGE_SIZE, PAGE_SIZE);

	if (!physical)
		return "snapshot_mean: no memory for a copy of the guest";
	memory = pages_pointer(physical);
	guest = of_guest;
	mean = mean_steps;
	seed = first_seed;
	choose_next();
	return NULL;
}

void guest_snapshot_poll(void)
{
	const char *wrong;
	struct guest_boot boot;
	uint64_t total;

	if (!guest || guest->steps < next || guest->state != GUEST_RUNNING || guest->exit_open)
		return;
	total = guest_memory_total(&guest->memory);
	boot = guest->boot;
	guest_save(guest, 0, &context);
	memcpy(memory, guest->memory.base, total);
	wrong = guest_prepare(guest, &boot);
	if (!wrong)
		wrong = guest_context_check(&context, sizeof(context), &guest->machine.config);
	ASSERT(!wrong);
	memcpy(guest->memory.base, memory, total);
	guest_load(guest, &context);
	trace(TRACE_INFO, "through a snapshot at exit %lu + %lu, %lu steps", context.exits, context.steps,
	      context.steps_total);
	choose_next();
}
