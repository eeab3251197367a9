/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's copy to the other server; see guest_join.h. Wiring. */
#include "kernel/guest_join.h"

#include <string.h>

#include "include/assert.h"
#include "include/trace.h"
#include "kernel/guest_digest.h"
#include "kernel/guest_disk.h"
#include "kernel/guest_output.h"
#include "kernel/mirror_service.h"
#include "kernel/pages.h"
#include "kernel/time.h"

TRACE_FILE("join", TRACE_INFO);

/* Less than this, and the guest stands still for it: some 70 ms on two Gigabit links. */
#define STAND_PAGES_MAX 2048
/* A guest that writes faster than the links carry would be copied for ever: then it stands longer. */
#define ROUNDS_MAX 30
#define PAGES_A_POLL 256

enum step {
	STEP_NONE,
	STEP_COPYING,  /* rounds, the guest runs */
	STEP_SETTLING, /* little is left; what can be done ahead of the stop is done */
	STEP_DRAINING, /* the guest executes nothing more; what its disks have under way ends */
	STEP_REST,     /* the guest stands: the last pages */
	STEP_STATE,    /* ... its context */
	STEP_END,      /* ... the last word */
};

static struct guest *guest;
static struct pair *pair;
static enum step step;
static uint64_t page_count;
static uint64_t word_count; /* of each bitmap */
static uint64_t *to_send;   /* a bit for each page of guest memory from its base */
static uint64_t *written;   /* likewise, guest->memory.written */
static uint64_t next_page;
static uint64_t state_sent;
static struct guest_digest digest;
static uint64_t stood_since_ns;
static struct guest_context context; /* sent, or received */
static struct guest_join_statistics statistics;

static uint64_t *take_bitmap(void)
{
	uint64_t physical = pages_allocate(align_up(word_count * 8, PAGE_SIZE) / PAGE_SIZE, PAGE_SIZE);

	return physical ? pages_pointer(physical) : NULL;
}

const char *guest_join_init(struct guest *of_guest, struct pair *of_pair)
{
	guest = of_guest;
	pair = of_pair;
	page_count = guest_memory_total(&guest->memory) / PAGE_SIZE;
	word_count = (page_count + 63) / 64;
	to_send = take_bitmap();
	written = take_bitmap();
	if (!to_send || !written ||
	    guest->vcpu.ops->reserve_tracking(&guest->vcpu, guest_memory_total(&guest->memory)))
		return "no memory to note the guest's written pages in";
	return NULL;
}

const struct guest_join_statistics *guest_join_statistics(void)
{
	return &statistics;
}

/* ---- which pages ---- */

static void set_bit(uint64_t *bitmap, uint64_t page)
{
	bitmap[page / 64] |= BIT(page % 64);
}

/*
 * Written once more as it is. QEMU 7.2 may go on with what it translated of a page before a
 * store changed it that also had to set the page's nested dirty bit (svm/npt.c): the same
 * guest, but another number of steps than in the other server, which has translated nothing
 * yet. A write from here drops such translations. Processors have none.
 */
static void rewrite_page(uint64_t page)
{
	const void *from = guest->memory.base + page * PAGE_SIZE;
	void *to = guest->memory.base + page * PAGE_SIZE;
	uint64_t count = PAGE_SIZE / 8;

	__asm__ volatile("rep movsq" : "+S"(from), "+D"(to), "+c"(count) : : "memory");
}

/* What the guest's processor wrote in the 2 MiB that hold the page at `offset`; returns the offset behind. */
static uint64_t collect_region(uint64_t offset)
{
	uint64_t gpa = guest_memory_gpa(&guest->memory, offset);
	uint64_t base = align_down(gpa, LARGE_PAGE_SIZE);
	uint64_t size = min_u64(base + LARGE_PAGE_SIZE - gpa, guest_memory_total(&guest->memory) - offset);
	uint64_t dirty[VCPU_DIRTY_WORDS];

	guest->vcpu.ops->take_dirty(&guest->vcpu, base, dirty);
	for (uint64_t at = 0; at < size; at += PAGE_SIZE) {
		uint64_t bit = (gpa - base + at) / PAGE_SIZE;

		if (!(dirty[bit / 64] & BIT(bit % 64)))
			continue;
		set_bit(to_send, (offset + at) / PAGE_SIZE);
		rewrite_page((offset + at) / PAGE_SIZE);
	}
	return offset + size;
}

/* Adds all that was written since the last time; returns how many pages are to be sent. */
static uint64_t collect(void)
{
	uint64_t count = 0;

	for (uint64_t offset = 0; offset < page_count * PAGE_SIZE;)
		offset = collect_region(offset);
	for (uint64_t word = 0; word < word_count; word++) {
		to_send[word] |= written[word];
		written[word] = 0;
		count += (uint64_t)__builtin_popcountll(to_send[word]);
	}
	return count;
}

/* ---- source ---- */

static void end_tracking(void)
{
	guest->vcpu.ops->track(&guest->vcpu, false);
	guest->memory.written = NULL;
}

void guest_join_copy(void)
{
	ASSERT(step == STEP_NONE);
	memset(written, 0, word_count * 8);
	memset(to_send, 0, word_count * 8);
	for (uint64_t page = 0; page < page_count; page++)
		set_bit(to_send, page);
	guest->memory.written = written;
	guest->vcpu.ops->track(&guest->vcpu, true);
	memset(&statistics, 0, sizeof(statistics));
	next_page = 0;
	step = STEP_COPYING;
}

void guest_join_abort(void)
{
	if (step != STEP_NONE)
		end_tracking();
	guest->drains = false;
	step = STEP_NONE;
}

bool guest_join_stands(void)
{
	return step >= STEP_REST;
}

static bool is_zero(const uint8_t *page)
{
	const uint64_t *words = (const uint64_t *)page;
	uint64_t all = 0;

	for (uint64_t i = 0; i < PAGE_SIZE / 8 && all == 0; i++)
		all |= words[i];
	return all == 0;
}

static bool is_to_send(uint64_t page)
{
	return to_send[page / 64] & BIT(page % 64);
}

/* Of a run of zero pages only its place is sent. How many pages from `page` on were sent; 0: no room now. */
static uint64_t send_zero_pages(uint64_t page)
{
	struct message_pages_zero fixed = { .first = page };

	while (page + fixed.count < page_count && fixed.count < PAGES_A_POLL &&
	       is_to_send(page + fixed.count) &&
	       is_zero(guest->memory.base + (page + fixed.count) * PAGE_SIZE))
		fixed.count++;
	return pair_join_put(pair, MESSAGE_PAGES_ZERO, &fixed, sizeof(fixed), NULL, 0) ? fixed.count : 0;
}

static uint64_t send_page(uint64_t page)
{
	const struct message_page fixed = { .index = page };
	const uint8_t *bytes = guest->memory.base + page * PAGE_SIZE;

	if (is_zero(bytes))
		return send_zero_pages(page);
	if (!pair_join_put(pair, MESSAGE_PAGE, &fixed, sizeof(fixed), bytes, PAGE_SIZE))
		return 0;
	statistics.bytes += PAGE_SIZE;
	return 1;
}

/* The next page to be sent from next_page on; page_count: none. */
static uint64_t find_page(void)
{
	for (uint64_t page = next_page; page < page_count;) {
		uint64_t word = to_send[page / 64] >> (page % 64);

		if (word)
			return min_u64(page + (uint64_t)__builtin_ctzll(word), page_count);
		page = align_down(page, 64) + 64;
	}
	return page_count;
}

/* True when all of this round has gone. */
static bool send_pages(bool *sent)
{
	for (uint32_t i = 0; i < PAGES_A_POLL; i++) {
		uint64_t page = find_page();
		uint64_t count;

		if (page == page_count)
			return true;
		count = send_page(page);
		if (count == 0)
			return false;
		for (next_page = page; next_page < page + count; next_page++)
			to_send[next_page / 64] &= ~BIT(next_page % 64);
		*sent = true;
	}
	return false;
}

static void end_round(void)
{
	uint64_t count = collect();

	statistics.rounds++;
	next_page = 0;
	trace(TRACE_DEBUG, "round %lu: %lu pages left", statistics.rounds, count);
	if (count <= STAND_PAGES_MAX || statistics.rounds >= ROUNDS_MAX)
		step = STEP_SETTLING;
}

static void settle(void)
{
	if (!pair_join_prepare(pair))
		return;
	stood_since_ns = time_now_ns();
	guest->drains = true;
	step = STEP_DRAINING;
}

/* Between two exits, and with no request under way that the target could not know of. */
static void stop(void)
{
	if (guest->exit_open || guest_disk_busy())
		return;
	guest->drains = false;
	collect();
	guest_save(guest, guest_output_count(), &context);
	guest_digest_take(guest, guest->check_count, &digest);
	state_sent = 0;
	step = STEP_REST;
}

static bool send_state(void)
{
	const struct message_state fixed = { .offset = state_sent };
	uint32_t size = (uint32_t)min_u64(sizeof(context) - state_sent, MESSAGE_DATA_MAX);

	if (!pair_join_put(pair, MESSAGE_STATE, &fixed, sizeof(fixed), (const uint8_t *)&context + state_sent,
			   size))
		return false;
	state_sent += size;
	if (state_sent == sizeof(context))
		step = STEP_END;
	return true;
}

static bool send_end(void)
{
	struct position here = vcpu_position(&guest->vcpu);

	if (!mirror_engine_era_is_told(mirror_service_engine()) ||
	    !pair_join_end(pair, &here, guest->door.last_ns, digest.whole))
		return false;
	mirror_engine_mode(mirror_service_engine(), MIRROR_DUPLEX);
	end_tracking();
	step = STEP_NONE;
	statistics.stop_ns = time_now_ns() - stood_since_ns;
	trace(TRACE_INFO, "the peer has the guest: %lu rounds, %lu KiB, it stood for %lu us",
	      statistics.rounds, statistics.bytes / KIB, statistics.stop_ns / NS_PER_US);
	return true;
}

bool guest_join_poll(void)
{
	bool sent = false;

	switch (step) {
	case STEP_NONE:
		return false;
	case STEP_COPYING:
		if (send_pages(&sent))
			end_round();
		return sent;
	case STEP_SETTLING:
		settle();
		return true;
	case STEP_DRAINING:
		stop();
		return true;
	case STEP_REST:
		if (send_pages(&sent))
			step = STEP_STATE;
		return sent;
	case STEP_STATE:
		return send_state();
	case STEP_END:
		return send_end();
	}
	return false;
}

/* ---- target ---- */

static const char *take_pages(const uint8_t *message)
{
	struct message_pages pages;
	uint8_t *to;

	if (message_pages_decode(message, page_count, PAGE_SIZE, &pages))
		return "the peer sends pages that this guest has not";
	to = guest->memory.base + pages.first * PAGE_SIZE;
	if (pages.data)
		memcpy(to, pages.data, PAGE_SIZE);
	else
		memset(to, 0, pages.count * PAGE_SIZE);
	return NULL;
}

static const char *take_state(const uint8_t *body, const uint8_t *bytes, uint64_t size)
{
	struct message_state state;

	memcpy(&state, body, sizeof(state));
	if (!range_fits(state.offset, size, sizeof(context)))
		return "the peer's context of the guest has another size";
	memcpy((uint8_t *)&context + state.offset, bytes, size);
	return NULL;
}

const char *guest_join_take(const uint8_t *message, uint64_t size)
{
	const uint8_t *body = message + sizeof(struct message_header);
	const uint8_t *bytes = body + sizeof(struct message_state);

	switch (message[0]) {
	case MESSAGE_PAGE:
	case MESSAGE_PAGES_ZERO:
		return take_pages(message);
	case MESSAGE_STATE:
		return take_state(body, bytes, (uint64_t)(message + size - bytes));
	default:
		return "the peer sends what belongs into no join";
	}
}

const char *guest_join_load(uint64_t expected)
{
	const char *wrong = guest_context_check(&context, sizeof(context), &guest->machine.config);

	if (wrong)
		return wrong;
	guest_load(guest, &context);
	guest_output_restart(context.outputs);
	guest_digest_take(guest, guest->check_count, &digest);
	if (digest.whole != expected)
		wrong = "the joined state's digest is not the source's";
	memset(&context, 0, sizeof(context));
	return wrong;
}
