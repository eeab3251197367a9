/* SPDX-License-Identifier: Apache-2.0 */
/* The pair, wired; see pair_service.h. */
#include "kernel/pair_service.h"

#include <stdio.h>
#include <string.h>

#include "include/assert.h"
#include "include/trace.h"
#include "kernel/cpu.h"
#include "kernel/guest_digest.h"
#include "kernel/guest_events.h"
#include "kernel/guest_join.h"
#include "kernel/guest_net.h"
#include "kernel/guest_output.h"
#include "kernel/guest_service.h"
#include "kernel/mce.h"
#include "kernel/mirror_link.h"
#include "kernel/mirror_service.h"
#include "kernel/pages.h"
#include "kernel/pair_links.h"
#include "kernel/rtc.h"
#include "kernel/time.h"
#include "kernel/unique.h"
#include "lockstep/pairing.h"
#include "machine/digest.h"

TRACE_FILE("pair", TRACE_INFO);

extern const char yoke_version[];

#define HEARTBEAT_MIN_NS (2 * NS_PER_MS)
#define HEARTBEAT_MAX_NS (20 * NS_PER_MS)
#define ACK_DELAY_NS (20 * NS_PER_US) /* below LOOP_SPIN_US: not slept over, for outputs wait for it */
#define CARRIER_TIMEOUT_NS (3 * NS_PER_MS)
#define CARRIER_ASK_MIN_NS (10 * NS_PER_MS) /* many looks at the carriers, which are a millisecond apart */
#define LINK_TEST_COUNT 3
#define PROGRESS_NS (5 * NS_PER_MS)
#define LAG_MAX_NS (100 * NS_PER_MS)
#define REJOIN_WAIT_MIN_NS NS_PER_S
#define REJOIN_WAIT_MAX_NS (60 * NS_PER_S)
#define GOOD_STRETCH_NS (60 * NS_PER_S)
#define JOIN_PATIENCE_S 60 /* that a copy of the disks may still take; longer ones go on in duplex */
#define ACTIONS_A_POLL 256

enum step {
	STEP_NONE,     /* not begun */
	STEP_PAIRING,  /* no identity yet: looks for the other server */
	STEP_IDENTITY, /* has one, and writes it down */
	STEP_PAIR,     /* struct pair is what counts */
};

static const struct config *config;
static struct pair pair;
static struct pair_memory memory;
static struct pairing pairing;
static enum step step;
static uint32_t self; /* 0: a, 1: b */
static uint32_t paths;
static uint64_t incarnation;
static bool persisting;		/* the pair waits until the record with ... */
static uint64_t persist_ticket; /* ... this change is durable */
static bool namesake_told;
static bool diverged_shown;
static bool alone_asked; /* before there was a pair to ask it of */

/* What status shows: how much log a second, and how long a failover took. */
#define LOG_RATE_INTERVAL_NS NS_PER_S
static uint64_t log_rate_bits;
static uint64_t log_rate_since_ns;
static uint64_t log_rate_bytes; /* there had been then */
static uint64_t peer_heard_ns;	/* last, while the guest was on both; 0: told in failover_ns */
static uint64_t failover_ns;

struct pair *pair_service_pair(void)
{
	return &pair;
}

static struct mirror_engine *record(void)
{
	return mirror_service_engine();
}

BUILD_ASSERT(sizeof(struct metadata_pair) == sizeof(struct pair_durable));

static struct metadata_pair as_record(const struct pair_durable *durable)
{
	struct metadata_pair of_record;

	memcpy(&of_record, durable, sizeof(of_record));
	return of_record;
}

/* ---- start-up ---- */

static const char *take_memory(void)
{
	static const uint64_t sizes[WIRE_STREAM_COUNT] = {
		[WIRE_STREAM_CONTROL] = 64 * KIB,
		[WIRE_STREAM_LOG] = 4 * MIB,
		[WIRE_STREAM_DISK] = 1 * MIB,
		[WIRE_STREAM_BULK] = 1 * MIB,
	};
	uint64_t follower_size = align_up(4 * (uint64_t)LEADER_RECORD_MAX, PAGE_SIZE);
	uint64_t physical;

	for (uint32_t i = 0; i < WIRE_STREAM_COUNT; i++) {
		physical = pages_allocate(2 * sizes[i] / PAGE_SIZE, PAGE_SIZE);
		if (!physical)
			return "no memory for the pair's streams";
		memory.streams[i] = (struct channel_buffers){
			.send = pages_pointer(physical),
			.send_size = sizes[i],
			.receive = (uint8_t *)pages_pointer(physical) + sizes[i],
			.receive_size = sizes[i],
		};
	}
	physical = pages_allocate(follower_size / PAGE_SIZE, PAGE_SIZE);
	if (!physical)
		return "no memory for the follower's log";
	memory.follower = pages_pointer(physical);
	memory.follower_size = follower_size;
	return NULL;
}

const char *pair_service_init(const struct pair_service_ports *ports, const struct config *configuration)
{
	uint64_t ticket;
	uint64_t starts;

	config = configuration;
	self = record()->server;
	pair_links_init(ports->cs);
	paths = pair_paths_init(&ports->others, config);
	for (uint32_t link = 0; link < WIRE_LINK_COUNT; link++)
		paths |= ports->cs[link] ? UINT32_C(1) << link : 0;
	guest_net_set_filter(pair_paths_take);
	starts = mirror_engine_count_start(record(), rtc_now_s(), &ticket);
	incarnation = (starts << 1 | self) << 16;
	if (record()->metadata.pair_identity && !mirror_service_wait(ticket))
		return "the state partition cannot be written";
	return take_memory();
}

static void describe_processor(char text[MESSAGE_TEXT_SIZE])
{
	const struct cpu_facts *cpu = cpu_facts();
	const uint32_t features[] = { cpu_id(1, 0).ecx, cpu_id(1, 0).edx, cpu_id(7, 0).ebx,
				      cpu_id(7, 0).ecx };

	snprintf(text, MESSAGE_TEXT_SIZE, "%s %x/%x/%x features %016lx", cpu->vendor, cpu->family, cpu->model,
		 cpu->stepping, (unsigned long)digest_bytes(0, features, sizeof(features)));
}

static struct message_identity make_identity(void)
{
	const struct step_counter *counter = guest_service_counter();
	struct message_identity identity = {
		.memory_size = config->guest.memory_size,
		.machine_digest = guest_service_identity(),
		.ask_time_ns = config->pair.ask_time_ns,
		.step_counter_exact = counter->exact,
		.server = (uint8_t)self,
	};

	snprintf(identity.build, sizeof(identity.build), "%s", yoke_version);
	snprintf(identity.step_counter, sizeof(identity.step_counter), "%s, %s", counter->ops->name,
		 counter->exact ? "exact" : "not exact");
	describe_processor(identity.processor);
	return identity;
}

static uint64_t heartbeat_ns(void)
{
	return max_u64(HEARTBEAT_MIN_NS, min_u64(config->pair.failure_timeout_ns / 40, HEARTBEAT_MAX_NS));
}

/* How long the others are asked when carrier is lost on both links. */
static uint64_t carrier_ask_ns(void)
{
	uint64_t ask_ns = config->pair.ask_time_ns;

	return min_u64(ask_ns, max_u64(ask_ns / 5, CARRIER_ASK_MIN_NS));
}

static struct detector_config make_detector(void)
{
	uint64_t failure_ns = config->pair.failure_timeout_ns;

	return (struct detector_config){
		.timeout_min_ns = failure_ns / 10,
		.timeout_max_ns = failure_ns,
		.carrier_timeout_ns = CARRIER_TIMEOUT_NS,
		.other_timeout_ns = failure_ns * 2 / 3,
		.ask_ns = config->pair.ask_time_ns,
		.proof_gap_ns = config->pair.ask_time_ns * 4 / 5,
		.carrier_ask_ns = carrier_ask_ns(),
		.carrier_gap_ns = carrier_ask_ns() * 3 / 5,
	};
}

static enum arbiter_server preferred(void)
{
	switch (config->pair.preferred) {
	case CONFIG_PREFERRED_A:
		return ARBITER_SERVER_A;
	case CONFIG_PREFERRED_B:
		return ARBITER_SERVER_B;
	default:
		return ARBITER_SERVER_NONE;
	}
}

static void tell_disks(void)
{
	pair_disks(&pair, mirror_engine_is_current(record(), self),
		   mirror_engine_is_current(record(), 1 - self));
}

/* The identity is durable: from here on struct pair decides. */
static void begin_pair(void)
{
	const struct pair_config pair_config = {
		.channel = { .pair = record()->metadata.pair_identity,
			     .incarnation = incarnation,
			     .link = { .heartbeat_ns = heartbeat_ns(),
				       .timeout_ns = max_u64(config->pair.failure_timeout_ns / 4,
							     4 * heartbeat_ns()),
				       .ack_delay_ns = ACK_DELAY_NS,
				       .test_count = LINK_TEST_COUNT } },
		.detector = make_detector(),
		.paths = paths,
		.self = self ? ARBITER_SERVER_B : ARBITER_SERVER_A,
		.preferred = preferred(),
		.continue_when_unsure = config->pair.when_unsure == CONFIG_UNSURE_CONTINUE,
		.identity = make_identity(),
		.wait_for_peer_ns = config->pair.start_wait_ns,
		.beacon_ns = config->pair.ask_time_ns / 5,
		.ask_beacon_ns = config->pair.ask_time_ns / 15,
		.carrier_beacon_ns = carrier_ask_ns() / 10,
		.progress_ns = PROGRESS_NS,
		.lag_max_ns = LAG_MAX_NS,
		.rejoin_wait_min_ns = REJOIN_WAIT_MIN_NS,
		.rejoin_wait_max_ns = REJOIN_WAIT_MAX_NS,
		.good_stretch_ns = GOOD_STRETCH_NS,
	};
	struct pair_durable durable;

	memcpy(&durable, &record()->metadata.pair, sizeof(durable));
	pair_init(&pair, &pair_config, &memory, &durable, time_now_ns());
	tell_disks();
	if (alone_asked)
		pair_start_alone(&pair);
	step = STEP_PAIR;
	trace(TRACE_INFO, "pair %016lx, server %c, generation %lu", record()->metadata.pair_identity,
	      'a' + self, durable.generation);
}

void pair_service_begin(void)
{
	if (record()->metadata.pair_identity) {
		begin_pair();
		return;
	}
	step = STEP_PAIRING;
	pairing_init(&pairing, self, incarnation, heartbeat_ns(), time_now_ns());
	trace(TRACE_INFO,
	      "the state partition is new: waiting for the other server, to become a pair with it");
}

bool pair_service_leave(void)
{
	const struct pair_durable durable = { .generation = record()->metadata.pair.generation + 1,
					      .state = PAIR_DURABLE_ALONE,
					      .was_leader = true };
	const struct metadata_pair remembered = as_record(&durable);

	return mirror_service_wait(
		mirror_engine_era_begin(record(), &remembered, unique_number(), true, true));
}

/* ---- becoming a pair ---- */

static void take_identity(uint64_t identity)
{
	persist_ticket = mirror_engine_create(record(), identity);
	step = STEP_IDENTITY;
}

static uint64_t draw_identity(void)
{
	uint64_t identity = unique_number();

	return identity == WIRE_PAIR_NONE || identity == WIRE_PAIR_ANY ? 1 : identity;
}

static void hear_pairing(const uint8_t *frame, uint64_t size)
{
	uint64_t identity;

	switch (pairing_receive(&pairing, frame, size, &identity)) {
	case PAIRING_ADOPT:
		take_identity(identity);
		break;
	case PAIRING_DRAW:
		take_identity(draw_identity());
		break;
	case PAIRING_NAMESAKE:
		if (!namesake_told)
			guest_events_tell(
				EVENT_ERROR, "pair", "waiting", "failed",
				"the other server has the same name: set server.name in one of the two");
		namesake_told = true;
		break;
	case PAIRING_NOTHING:
		break;
	}
}

/* ---- what came ---- */

static void receive(uint32_t link, const uint8_t *frame, uint64_t size)
{
	if (step == STEP_PAIR)
		pair_receive(&pair, link, time_now_ns(), frame, size);
	else if (step == STEP_PAIRING)
		hear_pairing(frame, size);
}

static void look_at_carriers(void)
{
	for (uint32_t link = 0; link < WIRE_LINK_COUNT; link++) {
		uint64_t at_ns;
		bool carrier = pair_links_carrier(link, &at_ns);

		pair_carrier(&pair, link, carrier, at_ns);
	}
}

/* What waits for a write that fails waits on: nothing may be believed that is not on the disk. */
static void look_at_record(void)
{
	if (step == STEP_IDENTITY && mirror_engine_is_durable(record(), persist_ticket))
		begin_pair();
	if (!persisting || !mirror_engine_is_durable(record(), persist_ticket))
		return;
	persisting = false;
	pair_persisted(&pair);
}

/* ---- what the pair wants ---- */

static uint32_t status_of_role(uint32_t role)
{
	static const uint32_t states[PAIR_ROLE_COUNT] = {
		[PAIR_WAITING] = STATUS_SERVER_WAITING,	     [PAIR_ALONE] = STATUS_SERVER_SIMPLEX,
		[PAIR_SIMPLEX] = STATUS_SERVER_SIMPLEX,	     [PAIR_TARGET] = STATUS_SERVER_JOINING,
		[PAIR_LEADER] = STATUS_SERVER_DUPLEX_LEADER, [PAIR_FOLLOWER] = STATUS_SERVER_DUPLEX_FOLLOWER,
		[PAIR_STOPPED] = STATUS_SERVER_WAITING,	     [PAIR_REFUSED] = STATUS_SERVER_FAILED,
	};

	return states[role];
}

static enum event_severity severity_of(const struct pair_action *action)
{
	if (action->to == PAIR_REFUSED || action->to == PAIR_STOPPED)
		return EVENT_ERROR;
	if (action->from == PAIR_LEADER || action->from == PAIR_FOLLOWER)
		return EVENT_WARNING;
	return EVENT_INFO;
}

static void change_role(const struct pair_action *action)
{
	char object[EVENT_OBJECT_SIZE];

	snprintf(object, sizeof(object), "server %c", 'a' + self);
	guest_events_tell(severity_of(action), object, pair_role_name(action->from),
			  pair_role_name(action->to), action->reason);
	if (action->to == PAIR_TARGET) {
		const char *wrong = guest_service_prepare_join();

		if (wrong)
			trace(TRACE_ERROR, "the peer's guest cannot be taken: %s", wrong);
	}
	if (action->to == PAIR_FOLLOWER)
		mirror_engine_mode(record(), MIRROR_DUPLEX);
}

/* A generation is an era of the disks; of one in duplex the source's token is the target's too. */
static void persist(const struct pair_action *action)
{
	const struct pair_durable *durable = &action->durable;
	const struct metadata_pair remembered = as_record(durable);

	if (durable->generation != record()->metadata.pair.generation)
		persist_ticket =
			mirror_engine_era_begin(record(), &remembered, unique_number(),
						durable->state == PAIR_DURABLE_ALONE, pair.override_alone);
	else
		persist_ticket = mirror_engine_remember(record(), &remembered);
	persisting = true;
}

static void take_joined(const struct pair_action *action)
{
	const char *wrong = guest_join_take(action->message, action->size);

	if (wrong)
		trace(TRACE_ERROR, "%s", wrong); /* the digest at the end will not be right */
}

static void load_joined(const struct pair_action *action)
{
	const char *wrong = guest_join_load(action->digest);

	if (wrong)
		trace(TRACE_ERROR, "the peer's guest cannot be loaded: %s", wrong);
	else
		guest_service_joined();
	pair_join_loaded(&pair, !wrong);
}

static void tell_divergence(const struct pair_action *action)
{
	const struct trail_entry *own = trail_find(&pair.trail, action->number);
	char reason[EVENT_REASON_SIZE];
	char field[GUEST_DIGEST_NAME_SIZE];

	if (own && action->field != TRAIL_FIELD_NONE) {
		guest_digest_name(own->fields, action->field, field);
		snprintf(reason, sizeof(reason), "%s, at exit %lu + %lu; digest %016lx here, %016lx there",
			 field, (unsigned long)action->position.exits, (unsigned long)action->position.steps,
			 (unsigned long)action->digest, (unsigned long)action->peer_digest);
	} else {
		snprintf(reason, sizeof(reason), "%s, behind the check at exit %lu + %lu", action->reason,
			 (unsigned long)action->position.exits, (unsigned long)action->position.steps);
	}
	guest_events_tell(EVENT_ERROR, "lockstep", "equal", "diverged", reason);
	diverged_shown = true;
}

static void show_healed(void)
{
	bool is_duplex = pair.role == PAIR_FOLLOWER || (pair.role == PAIR_LEADER && pair.peer_ready);

	if (!diverged_shown || !is_duplex)
		return;
	diverged_shown = false;
	guest_events_tell(EVENT_INFO, "lockstep", "diverged", "equal", "joined again");
}

/* On the CS links: silence there is what a death looks like. The pair forgets it when it goes alone. */
static void note_peer(void)
{
	if (pair.role == PAIR_LEADER || pair.role == PAIR_FOLLOWER)
		peer_heard_ns = detector_cs_heard_ns(&pair.detector);
}

static void count_failover(void)
{
	if (peer_heard_ns)
		failover_ns = time_now_ns() - peer_heard_ns;
	peer_heard_ns = 0;
}

static bool leads(void)
{
	return pair.role == PAIR_LEADER && pair.peer_ready;
}

static void measure_log_rate(void)
{
	uint64_t now_ns = time_now_ns();
	uint64_t bytes = leads() ? pair.leader.written : 0;

	if (now_ns - log_rate_since_ns < LOG_RATE_INTERVAL_NS)
		return;
	/* The log of a new duplex begins at 0. */
	log_rate_bits = bytes < log_rate_bytes
				? 0
				: (bytes - log_rate_bytes) * 8 * NS_PER_S / (now_ns - log_rate_since_ns);
	log_rate_since_ns = now_ns;
	log_rate_bytes = bytes;
}

static void take_over(void)
{
	guest_output_take_over();
	guest_net_announce();
}

static void do_action(const struct pair_action *action)
{
	switch (action->kind) {
	case PAIR_ACTION_ROLE:
		change_role(action);
		break;
	case PAIR_ACTION_PERSIST:
		persist(action);
		break;
	case PAIR_ACTION_GUEST_BOOT:
		mirror_engine_mode(record(), MIRROR_ALONE);
		guest_service_boot();
		break;
	case PAIR_ACTION_GUEST_RESUME:
		mirror_engine_mode(record(), MIRROR_ALONE);
		guest_service_resume();
		count_failover();
		break;
	case PAIR_ACTION_GUEST_FREEZE:
		break; /* pair_plan() says WAIT from here on */
	case PAIR_ACTION_GUEST_DISCARD:
		mirror_engine_mode(record(), MIRROR_IDLE);
		guest_service_discard();
		break;
	case PAIR_ACTION_JOIN_COPY:
		guest_join_copy();
		break;
	case PAIR_ACTION_JOIN_ABORT:
		guest_join_abort();
		break;
	case PAIR_ACTION_JOIN_TAKE:
		take_joined(action);
		break;
	case PAIR_ACTION_JOIN_LOAD:
		load_joined(action);
		break;
	case PAIR_ACTION_TAKE_OVER:
		take_over();
		break;
	case PAIR_ACTION_RELEASED:
		guest_output_released(action->number);
		break;
	case PAIR_ACTION_DIVERGED:
		tell_divergence(action);
		break;
	}
}

static bool do_actions(void)
{
	static struct pair_action action;
	uint32_t count = 0;

	while (count < ACTIONS_A_POLL && pair_action_take(&pair, &action)) {
		do_action(&action);
		count++;
	}
	return count > 0;
}

/* No duplex while a copy of the disks goes on that is soon over. */
static void look_at_disks(void)
{
	mirror_link_follow(pair.peer_known && pair.role != PAIR_REFUSED ? &pair.channel : NULL);
	mirror_engine_want_join(record(), pair_wants_join(&pair), JOIN_PATIENCE_S);
	pair_hold_join(&pair, !mirror_engine_may_join(record()));
	tell_disks();
}

bool pair_service_poll(void)
{
	bool worked = pair_links_poll(receive);

	look_at_record();
	if (step != STEP_PAIR)
		return worked;
	worked |= pair_paths_poll(&pair);
	look_at_carriers();
	note_peer();
	pair_tick(&pair, time_now_ns());
	worked |= do_actions();
	measure_log_rate();
	show_healed();
	look_at_disks();
	pair_hardware(&pair, mce_error_count() > 0);
	return guest_join_poll() || worked;
}

static uint64_t next_frame(uint32_t link, uint8_t *frame)
{
	if (step == STEP_PAIR)
		return pair_transmit(&pair, link, time_now_ns(), frame);
	return step == STEP_PAIRING ? pairing_transmit(&pairing, link, time_now_ns(), frame) : 0;
}

bool pair_service_send(void)
{
	bool worked = false;

	if (step == STEP_PAIR)
		worked = guest_output_poll();
	return pair_links_transmit(next_frame) || worked;
}

void pair_service_start_alone(void)
{
	if (step == STEP_PAIR) {
		pair_start_alone(&pair);
		return;
	}
	alone_asked = true;
	if (step == STEP_PAIRING)
		take_identity(draw_identity());
}

/* ---- status ---- */

static uint32_t peer_state(void)
{
	switch (pair.role) {
	case PAIR_LEADER:
		return pair.peer_ready ? STATUS_SERVER_DUPLEX_FOLLOWER : STATUS_SERVER_JOINING;
	case PAIR_FOLLOWER:
		return STATUS_SERVER_DUPLEX_LEADER;
	case PAIR_TARGET:
		return STATUS_SERVER_SIMPLEX;
	default:
		if (!pair.peer_known)
			return STATUS_SERVER_UNKNOWN;
		return pair.copying ? STATUS_SERVER_JOINING : status_of_role(pair.peer.role);
	}
}

static void fill_links(struct status *status)
{
	for (uint32_t i = 0; i < WIRE_LINK_COUNT; i++) {
		const struct link *link = &pair.channel.links[i];
		struct status_link *shown = &status->links[i];

		shown->round_trip_ns = link->round_trip_ns;
		shown->loss_ppm = link->sent ? link->lost * 1000000 / link->sent : 0;
		if (shown->state == STATUS_LINK_GOOD && link->state != LINK_GOOD) {
			shown->state = STATUS_LINK_DEGRADED;
			snprintf(shown->reason, sizeof(shown->reason), "the other server does not answer");
		}
	}
}

static void fill_join(struct status_lockstep *lockstep)
{
	const struct guest_join_statistics *join = guest_join_statistics();

	lockstep->join_stop_ns = join->stop_ns;
	lockstep->join_rounds = join->rounds;
	lockstep->join_bytes = join->bytes;
}

static void fill_lockstep(struct status_lockstep *lockstep)
{
	const struct step_counter *counter = guest_service_counter();

	snprintf(lockstep->step_counter, sizeof(lockstep->step_counter), "%s", counter->ops->name);
	lockstep->exact = counter->exact;
	lockstep->divergences = pair.divergences;
	lockstep->joins = pair.joins;
	lockstep->failovers = pair.failovers;
	lockstep->digest_checks = guest_service_guest()->check_count;
	fill_join(lockstep);
	lockstep->failover_ns = failover_ns;
	lockstep->wait_ns = guest_service_guest()->wait_ns;
	lockstep->held_outputs = guest_output_held()->count;
	lockstep->held_ns = guest_output_held()->ns;
	if (!leads())
		return;
	lockstep->lag_ns = pair.time_ns - min_u64(pair.time_ns, pair.peer_time_ns);
	lockstep->log_rate_bits = log_rate_bits;
	lockstep->log_bytes = pair.leader.written;
}

void pair_service_status(struct status *status)
{
	struct status_server *own = &status->servers[self];

	if (step != STEP_PAIR) {
		own->state = STATUS_SERVER_WAITING;
		snprintf(own->reason, sizeof(own->reason), "%s",
			 namesake_told ? "the other server has the same name"
				       : "for the other server, to become a pair");
		return;
	}
	own->state = status_of_role(pair.role);
	snprintf(own->reason, sizeof(own->reason), "%s", pair.reason);
	status->servers[1 - self].state = peer_state();
	fill_links(status);
	fill_lockstep(&status->lockstep);
}
