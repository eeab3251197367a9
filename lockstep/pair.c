/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Roles of a server in the pair, and how it gets from one to the next; see pair.h.
 * What the guest asks of the pair is in pair_guest.c.
 */
#include "lockstep/pair.h"

#include <errno.h>
#include <string.h>

#include "include/assert.h"
#include "include/trace.h"
#include "lockstep/pair_internal.h"

TRACE_FILE("lockstep", TRACE_INFO);

#define RELEASED_INTERVAL_NS UINT64_C(1000000) /* between words of what the leader has let out */

/* Which role may follow which; ASSERTed at each change. */
static const uint16_t successors[PAIR_ROLE_COUNT] = {
	[PAIR_WAITING] = BIT(PAIR_ALONE) | BIT(PAIR_TARGET) | BIT(PAIR_REFUSED),
	[PAIR_ALONE] = BIT(PAIR_SIMPLEX),
	[PAIR_SIMPLEX] = BIT(PAIR_LEADER),
	[PAIR_TARGET] = BIT(PAIR_FOLLOWER) | BIT(PAIR_WAITING),
	[PAIR_LEADER] = BIT(PAIR_ALONE) | BIT(PAIR_STOPPED),
	[PAIR_FOLLOWER] = BIT(PAIR_ALONE) | BIT(PAIR_STOPPED) | BIT(PAIR_WAITING),
	[PAIR_STOPPED] = BIT(PAIR_ALONE) | BIT(PAIR_TARGET) | BIT(PAIR_REFUSED) | BIT(PAIR_WAITING),
	[PAIR_REFUSED] = BIT(PAIR_WAITING),
};

const char *pair_role_name(enum pair_role role)
{
	static const char *const names[PAIR_ROLE_COUNT] = {
		[PAIR_WAITING] = "waiting",	 [PAIR_ALONE] = "going alone",
		[PAIR_SIMPLEX] = "simplex",	 [PAIR_TARGET] = "joining",
		[PAIR_LEADER] = "duplex-leader", [PAIR_FOLLOWER] = "duplex-follower",
		[PAIR_STOPPED] = "stopped",	 [PAIR_REFUSED] = "failed",
	};

	return names[role];
}

/* ---- actions ---- */

struct pair_action *pair_action_add(struct pair *pair, enum pair_action_kind kind)
{
	struct pair_action *action;

	ASSERT(pair->action_count < PAIR_ACTION_MAX);
	action = &pair->actions[(pair->action_first + pair->action_count++) % PAIR_ACTION_MAX];
	memset(action, 0, sizeof(*action));
	action->kind = kind;
	return action;
}

void pair_change_role(struct pair *pair, enum pair_role to, const char *reason)
{
	struct pair_action *action = pair_action_add(pair, PAIR_ACTION_ROLE);

	ASSERT(successors[pair->role] & BIT(to));
	/* What the peer claimed before this duplex was of another time. */
	if (to == PAIR_LEADER || to == PAIR_FOLLOWER)
		pair->claim = ARBITER_CLAIM_NONE;
	action->from = pair->role;
	action->to = to;
	action->reason = reason;
	pair->role = to;
	pair->reason = reason;
	pair->role_since_ns = pair->now_ns;
}

static void persist(struct pair *pair, uint64_t generation, enum pair_durable_state state, bool was_leader)
{
	ASSERT(!pair->persisting);
	ASSERT(generation >= pair->durable.generation);
	pair->wanted = (struct pair_durable){ .generation = generation,
					      .state = (uint8_t)state,
					      .was_leader = was_leader };
	pair->persisting = true;
	pair_action_add(pair, PAIR_ACTION_PERSIST)->durable = pair->wanted;
}

/* ---- the channel ---- */

static void forget_messages(struct pair *pair)
{
	pair->control_size = 0;
	pair->bulk_size = 0;
	pair->bulk_taken = 0;
	pair->peer_known = false;
}

/* Begins to talk to incarnation `peer`, or to nobody (0). */
static void connect_to(struct pair *pair, uint64_t peer)
{
	channel_connect(&pair->channel, peer, pair->now_ns);
	detector_init(&pair->detector, &pair->config.detector, pair->config.paths, pair->now_ns);
	forget_messages(pair);
	pair->claim = ARBITER_CLAIM_NONE;
	pair->disks_told = pair->own_disks_current;
	pair->hardware_told = pair->own_hardware_faults;
	pair->start_waits = false;
	if (peer)
		pair_send_identity(pair);
}

/* As if restarted: the peer, which has forgotten us or will, can meet us anew. */
static void new_incarnation(struct pair *pair)
{
	struct channel_config config = pair->config.channel;

	config.incarnation += ++pair->restarts;
	config.generation = pair->durable.generation;
	channel_restart(&pair->channel, &config, pair->now_ns);
	detector_init(&pair->detector, &pair->config.detector, pair->config.paths, pair->now_ns);
	forget_messages(pair);
	pair->claim = ARBITER_CLAIM_NONE;
}

/* ---- going alone, and stopping ---- */

/* The decision falls; what still has to happen before is in going_alone_step(). */
static void go_alone(struct pair *pair, const char *reason)
{
	if (pair->going_alone)
		return;
	pair->going_alone = true;
	pair->going_alone_reason = reason;
}

/* The follower first replays all that it has acknowledged: outside, that may have been seen. */
static bool log_is_drained(struct pair *pair)
{
	if (pair->role != PAIR_FOLLOWER)
		return true;
	pair_pump_log(pair);
	return pair->channel.receivers[WIRE_STREAM_LOG].received ==
		       pair->channel.receivers[WIRE_STREAM_LOG].consumed &&
	       follower_is_at_end(&pair->follower);
}

static void going_alone_step(struct pair *pair)
{
	bool was_leader = pair->role != PAIR_FOLLOWER;

	if (!pair->going_alone || pair->persisting || !log_is_drained(pair))
		return;
	pair->going_alone = false;
	if ((pair->role == PAIR_LEADER || pair->role == PAIR_FOLLOWER) && !pair->peer_diverged) {
		pair->failovers++;
		connect_to(pair, 0);
	}
	pair->peer_diverged = false;
	pair_change_role(pair, PAIR_ALONE, pair->going_alone_reason);
	persist(pair, pair->durable.generation + 1, PAIR_DURABLE_ALONE, was_leader);
}

/* {generation + 1, ALONE} is on disk: the point after which nobody else can go on. */
static void alone_is_durable(struct pair *pair)
{
	bool resumes = pair->has_guest;

	pair_change_role(pair, PAIR_SIMPLEX, pair->reason);
	if (resumes)
		pair_action_add(pair, PAIR_ACTION_TAKE_OVER);
	pair_action_add(pair, resumes ? PAIR_ACTION_GUEST_RESUME : PAIR_ACTION_GUEST_BOOT);
	pair->has_guest = true;
	if (pair->channel.peer)
		pair_send_identity(pair);
}

/*
 * The guest that is kept may be the one to go on later, so that it, too, must have all
 * that the outside may have seen. Without current disks it is not kept: it may wait for a read of
 * the peer's disk for ever, and whoever has current ones is preferred to it.
 */
static void stop_step(struct pair *pair)
{
	bool keeps = pair->own_disks_current;

	if (!pair->stopping || (keeps && !log_is_drained(pair)))
		return;
	pair->stopping = false;
	pair_change_role(pair, PAIR_STOPPED, pair->stopping_reason);
	pair->has_guest &= keeps;
	pair_action_add(pair, keeps ? PAIR_ACTION_GUEST_FREEZE : PAIR_ACTION_GUEST_DISCARD);
	new_incarnation(pair);
}

static void stop(struct pair *pair, const char *reason)
{
	pair->going_alone = false;
	pair->stopping = true;
	pair->stopping_reason = reason;
	stop_step(pair);
}

static const char disks_not_current[] = "this server's disks are not current: the guest needs the peer's";

/* Out of a duplex: the other one is no part of it any more. */
static void go_alone_if_disks_allow(struct pair *pair, const char *reason)
{
	if (pair->own_disks_current)
		go_alone(pair, reason);
	else
		stop(pair, disks_not_current);
}

/* ---- joining ---- */

static void abort_copy(struct pair *pair)
{
	if (!pair->copying)
		return;
	pair->copying = false;
	pair_action_add(pair, PAIR_ACTION_JOIN_ABORT);
}

static void leave_guest(struct pair *pair, const char *reason)
{
	if (pair->role != PAIR_WAITING)
		pair_change_role(pair, PAIR_WAITING, reason);
	pair->has_guest = false;
	pair_action_add(pair, PAIR_ACTION_GUEST_DISCARD);
}

static bool peer_runs(const struct pair *pair)
{
	return pair->peer.role == PAIR_SIMPLEX || pair->peer.role == PAIR_ALONE ||
	       pair->peer.role == PAIR_LEADER;
}

/* NULL, or why one of the two may run the guest, but never both. */
static const char *no_duplex(const struct message_identity *own, const struct message_identity *peer)
{
	if (!own->step_counter_exact)
		return "no duplex: this server's step counter is not exact";
	if (!peer->step_counter_exact)
		return "no duplex: the peer's step counter is not exact";
	return NULL;
}

/* Is the state right for copying our guest to the peer, as far as we know? */
static bool may_begin_join(const struct pair *pair)
{
	return pair->role == PAIR_SIMPLEX && !pair->copying && !pair->persisting && pair->peer_known &&
	       !peer_runs(pair) && channel_good_links(&pair->channel) != 0 &&
	       pair->now_ns >= pair->rejoin_at_ns && !no_duplex(&pair->config.identity, &pair->peer);
}

static void join_step(struct pair *pair)
{
	const struct message_join_begin begin = {
		.log_base = pair->channel.senders[WIRE_STREAM_LOG].written,
	};

	if (pair->join_held || !may_begin_join(pair))
		return;
	if (!pair_send(pair, MESSAGE_JOIN_BEGIN, &begin, sizeof(begin)))
		return;
	pair->log_base = begin.log_base;
	pair->copying = true;
	pair_action_add(pair, PAIR_ACTION_JOIN_COPY);
}

void pair_disks(struct pair *pair, bool own_current, bool peer_current)
{
	pair->own_disks_current = own_current;
	pair->peer_disks_current = peer_current;
}

void pair_hardware(struct pair *pair, bool has_faults)
{
	pair->own_hardware_faults = has_faults;
}

bool pair_wants_join(const struct pair *pair)
{
	return pair->copying || may_begin_join(pair);
}

void pair_hold_join(struct pair *pair, bool hold)
{
	pair->join_held = hold;
}

/* TARGET: what the source sent has been loaded. */
void pair_join_loaded(struct pair *pair, bool right)
{
	if (pair->role != PAIR_TARGET || !pair->join_ended)
		return;
	if (!right) {
		pair_send_text(pair, MESSAGE_DIVERGED, "the joined state's digest is not the source's");
		leave_guest(pair, "join failed: the state's digest is not the source's");
		pair_send_identity(pair); /* to be tried again */
		return;
	}
	pair->has_guest = true;
	persist(pair, pair->join_end.generation, PAIR_DURABLE_DUPLEX, false);
}

/* We durably know that we are in duplex: now the source may believe it too. */
static void target_is_durable(struct pair *pair)
{
	if (!pair_send(pair, MESSAGE_JOIN_READY, NULL, 0)) {
		leave_guest(pair, "join failed: no room for words");
		new_incarnation(pair);
		return;
	}
	follower_init(&pair->follower, pair->follower_buffer, pair->follower_buffer_size,
		      &pair->join_end.position, pair->join_end.time_ns);
	pair->time_ns = pair->join_end.time_ns;
	pair->released_number = pair->released_done = 0; /* the guest may have been powered on anew */
	trail_clear(&pair->trail);
	pair->joins++;
	pair_change_role(pair, PAIR_FOLLOWER, "joined");
}

void pair_persisted(struct pair *pair)
{
	ASSERT(pair->persisting);
	pair->persisting = false;
	pair->durable = pair->wanted;
	pair->channel.config.generation = pair->durable.generation;
	if (pair->role == PAIR_ALONE)
		alone_is_durable(pair);
	else if (pair->role == PAIR_TARGET && pair->join_ended)
		target_is_durable(pair);
}

/*
 * From JOIN_END on the target may go on without us, so our disk must not say any
 * longer that nobody knows more than we do. Each duplex has a generation of its own,
 * by which words from before it are known.
 */
static bool disk_says_duplex(struct pair *pair)
{
	if (pair->durable.state == PAIR_DURABLE_DUPLEX)
		return true;
	if (!pair->persisting)
		persist(pair, pair->durable.generation + 1, PAIR_DURABLE_DUPLEX, true);
	return false;
}

static bool is_settled(const struct pair *pair, enum wire_stream stream)
{
	const struct channel_sender *sender = &pair->channel.senders[stream];

	return sender->acknowledged == sender->written;
}

bool pair_join_prepare(struct pair *pair)
{
	return pair->role == PAIR_SIMPLEX && pair->copying && disk_says_duplex(pair) &&
	       is_settled(pair, WIRE_STREAM_LOG) && is_settled(pair, WIRE_STREAM_BULK);
}

bool pair_join_end(struct pair *pair, const struct position *position, uint64_t time_ns, uint64_t digest)
{
	struct message_join_end end = { .position = *position, .time_ns = time_ns, .digest = digest };

	if (pair->role != PAIR_SIMPLEX || !pair->copying)
		return false;
	if (!disk_says_duplex(pair))
		return false;
	ASSERT(pair->log_base == pair->channel.senders[WIRE_STREAM_LOG].written);
	end.disk_base = pair->channel.senders[WIRE_STREAM_DISK].written;
	end.generation = pair->durable.generation;
	if (!pair_join_put(pair, MESSAGE_JOIN_END, &end, sizeof(end), NULL, 0))
		return false;
	leader_init(&pair->leader, position, time_ns);
	pair->copying = false;
	pair->peer_ready = false;
	pair->peer_time_ns = time_ns;
	pair->time_ns = time_ns;
	pair->let_out = pair->let_out_told = 0;
	trail_clear(&pair->trail);
	pair->joins++;
	pair_change_role(pair, PAIR_LEADER, "the peer has our guest");
	return true;
}

/* ---- meeting ---- */

/* NULL, or what makes a pair with this peer impossible. */
static const char *incompatible(const struct message_identity *own, const struct message_identity *peer)
{
	if (memcmp(own->build, peer->build, sizeof(own->build)) != 0)
		return "the peer runs another build of Yoke";
	if (memcmp(own->processor, peer->processor, sizeof(own->processor)) != 0)
		return "the peer has another processor";
	if (own->step_counter_exact && peer->step_counter_exact &&
	    memcmp(own->step_counter, peer->step_counter, sizeof(own->step_counter)) != 0)
		return "the peer has another step counter";
	if (own->memory_size != peer->memory_size)
		return "the peer gives its guest another memory size";
	if (own->machine_digest != peer->machine_digest)
		return "the peer's guest is configured differently";
	if (own->ask_time_ns != peer->ask_time_ns)
		return "the peer has another pair.ask_time";
	if (own->server == peer->server)
		return "the peer says it is the same server as we";
	return NULL;
}

static uint64_t rank_of_state(uint8_t state)
{
	return state == PAIR_DURABLE_ALONE ? 2 : state == PAIR_DURABLE_DUPLEX ? 1 : 0;
}

/*
 * Neither runs a guest. Is ours the state to go on with? The first difference
 * decides, and both sides see the same: who has durably seen more, whose disks are
 * current, who still has the guest in memory, who led, who is preferred.
 */
static bool is_ours_to_start(const struct pair *pair)
{
	const struct message_identity *peer = &pair->peer;
	bool preferred =
		pair->config.preferred == pair->config.self ||
		(pair->config.preferred == ARBITER_SERVER_NONE && pair->config.self == ARBITER_SERVER_A);

	if (pair->durable.generation != peer->generation)
		return pair->durable.generation > peer->generation;
	if (rank_of_state(pair->durable.state) != rank_of_state(peer->durable))
		return rank_of_state(pair->durable.state) > rank_of_state(peer->durable);
	if (pair->disks_told != (peer->disks_current != 0))
		return pair->disks_told;
	if (pair->has_guest != (peer->has_guest != 0))
		return pair->has_guest;
	if (pair->durable.was_leader != peer->was_leader)
		return pair->durable.was_leader;
	return preferred;
}

/* Both went on alone from the same duplex: each has seen what the other has not. */
static bool both_went_alone(const struct pair *pair)
{
	return pair->durable.generation == pair->peer.generation &&
	       pair->durable.state == PAIR_DURABLE_ALONE && pair->peer.durable == PAIR_DURABLE_ALONE;
}

/* We or the peer said that we cannot be a pair. What was decided on meeting it is off. */
static void be_refused(struct pair *pair, const char *reason)
{
	if (pair->role != PAIR_WAITING && pair->role != PAIR_STOPPED)
		return;
	pair->going_alone = false;
	pair_change_role(pair, PAIR_REFUSED, reason);
}

/* Both sides say so; the one that does not run the guest, nor is about to, is of no use. */
static void tell_no_duplex(struct pair *pair, const char *reason)
{
	trace(TRACE_WARNING, "%s", reason);
	if (!pair->going_alone)
		be_refused(pair, reason);
}

/*
 * What we froze may have had to go on, if the peer had died. Now it has a newer generation, on its
 * disk: ours is the past. Who keeps a guest keeps its disks from being brought up to date as well.
 */
static void let_go(struct pair *pair)
{
	bool keeps = pair->has_guest && (pair->role == PAIR_STOPPED || pair->role == PAIR_WAITING);

	if (keeps && pair->peer.role == PAIR_SIMPLEX && pair->peer.generation > pair->durable.generation)
		leave_guest(pair, "the peer went on alone");
}

static void meet(struct pair *pair)
{
	const char *only_simplex = no_duplex(&pair->config.identity, &pair->peer);
	const char *fault = incompatible(&pair->config.identity, &pair->peer);

	if (!fault && both_went_alone(pair)) {
		fault = "both servers went on alone: say which to keep";
		pair->split = true;
	}
	if (fault) {
		pair_send_text(pair, MESSAGE_REFUSE, fault);
		be_refused(pair, fault);
		pair->peer_known = false;
		return;
	}
	pair->override_alone = false; /* seen: the administrator's word has served */
	if ((pair->role == PAIR_WAITING || pair->role == PAIR_STOPPED) && !peer_runs(pair) &&
	    is_ours_to_start(pair)) {
		pair->start_waits = !pair->own_disks_current && !pair->peer_disks_current;
		if (pair->start_waits)
			pair->reason = disks_not_current;
		else
			go_alone(pair, "met the peer; ours is the newest state");
	}
	let_go(pair);
	if (only_simplex)
		tell_no_duplex(pair, only_simplex);
}

static void begin_target(struct pair *pair, const struct message_join_begin *begin)
{
	/* No source that is well does that: it has sent a whole guest, or the channel begins anew. */
	if (pair->role == PAIR_TARGET) {
		pair->protocol_faults++;
		leave_guest(pair, "join failed: the source began anew");
		new_incarnation(pair);
		return;
	}
	if ((pair->role != PAIR_WAITING && pair->role != PAIR_STOPPED) || pair->going_alone ||
	    pair->persisting) {
		pair->protocol_faults++;
		/* The disk still writes what an earlier join wanted. The source must not wait for ever. */
		if (pair->role == PAIR_WAITING && pair->persisting)
			new_incarnation(pair);
		return;
	}
	if (pair->has_guest)
		pair_action_add(pair, PAIR_ACTION_GUEST_DISCARD);
	pair->has_guest = false;
	pair->join_ended = false;
	pair->bulk_size = 0;
	pair->bulk_taken = 0;
	pair->log_base = begin->log_base;
	pair_change_role(pair, PAIR_TARGET, "the peer sends its guest");
}

/* ---- messages on the control stream ---- */

static void receive_text(struct pair *pair, const uint8_t *body)
{
	memcpy(pair->peer_text, body, MESSAGE_TEXT_SIZE);
	pair->peer_text[MESSAGE_TEXT_SIZE - 1] = '\0';
}

static void receive_ready(struct pair *pair)
{
	if (pair->role == PAIR_LEADER && !pair->peer_ready) {
		pair->peer_ready = true;
		pair->peer_time_ns = pair->time_ns;
		trace(TRACE_INFO, "duplex: the peer is ready");
	} else {
		pair->protocol_faults++;
	}
}

/* The next join waits, longer each time: what makes replicas differ may come again. */
static void back_off(struct pair *pair)
{
	bool was_good = pair->role == PAIR_LEADER &&
			pair->now_ns - pair->role_since_ns >= pair->config.good_stretch_ns;

	if (pair->rejoin_wait_ns == 0 || was_good)
		pair->rejoin_wait_ns = pair->config.rejoin_wait_min_ns;
	else
		pair->rejoin_wait_ns = min_u64(2 * pair->rejoin_wait_ns, pair->config.rejoin_wait_max_ns);
	pair->rejoin_at_ns = pair->now_ns + pair->rejoin_wait_ns;
}

/* The follower, or a target, has given up: it will not go on, so we may. */
static void receive_diverged(struct pair *pair)
{
	pair->divergences++;
	trace(TRACE_WARNING, "the peer has diverged: %s", pair->peer_text);
	back_off(pair);
	if (pair->role == PAIR_LEADER && !pair->stopping) {
		pair->peer_diverged = true;
		pair->trail_owed = true;
		go_alone_if_disks_allow(pair, "the follower diverged");
	} else {
		abort_copy(pair);
	}
	pair->peer_known = false; /* until its identity comes anew */
}

static void receive_message(struct pair *pair, enum message_type type, const uint8_t *body, uint32_t size)
{
	struct message_join_begin begin;
	struct message_released released;
	struct message_progress progress;

	switch (type) {
	case MESSAGE_IDENTITY:
		memcpy(&pair->peer, body, sizeof(pair->peer));
		pair->peer_known = true;
		meet(pair);
		break;
	case MESSAGE_REFUSE:
		receive_text(pair, body);
		trace(TRACE_WARNING, "the peer refuses: %s", pair->peer_text);
		be_refused(pair, pair->peer_text);
		break;
	case MESSAGE_JOIN_BEGIN:
		memcpy(&begin, body, sizeof(begin));
		begin_target(pair, &begin);
		break;
	case MESSAGE_JOIN_READY:
		receive_ready(pair);
		break;
	case MESSAGE_DIVERGED:
		receive_text(pair, body);
		receive_diverged(pair);
		break;
	case MESSAGE_RELEASED:
		memcpy(&released, body, sizeof(released));
		if (pair->role == PAIR_FOLLOWER)
			pair->released_number = max_u64(pair->released_number, released.number);
		break;
	case MESSAGE_PROGRESS:
		memcpy(&progress, body, sizeof(progress));
		pair->peer_time_ns = max_u64(pair->peer_time_ns, progress.time_ns);
		break;
	case MESSAGE_TRAIL:
		pair_receive_trail(pair, body, size);
		break;
	default:
		pair->protocol_faults++;
		break;
	}
}

static void pump_control(struct pair *pair)
{
	for (;;) {
		uint8_t message[MESSAGE_SIZE_MAX];
		int64_t whole;

		pair->control_size +=
			channel_read(&pair->channel, WIRE_STREAM_CONTROL, pair->control + pair->control_size,
				     sizeof(pair->control) - pair->control_size);
		whole = message_check(pair->control, pair->control_size, false);
		if (whole == 0)
			return;
		if (whole < 0) { /* a stream without a grip: only a fresh one helps */
			pair->protocol_faults++;
			connect_to(pair, 0);
			return;
		}
		memcpy(message, pair->control, (uint64_t)whole); /* acting on it may reset the stream */
		pair->control_size -= (uint64_t)whole;
		memmove(pair->control, pair->control + whole, pair->control_size);
		receive_message(pair, message[0], message + sizeof(struct message_header),
				(uint32_t)((uint64_t)whole - sizeof(struct message_header)));
	}
}

/* ---- events ---- */

/* The peer that was refused is gone, or another is there, or it has been mended. */
static void try_again(struct pair *pair, const char *reason)
{
	if (pair->role != PAIR_REFUSED)
		return;
	pair->split = false;
	pair_change_role(pair, PAIR_WAITING, reason);
}

/* A frame of our pair by another version of this protocol: who sends it lives, and cannot be met. */
static void hear_other_version(struct pair *pair, uint32_t link)
{
	if (pair->channel.peer != 0)
		return;
	detector_heard(&pair->detector, link, pair->now_ns);
	be_refused(pair, "the peer speaks another version of the protocol");
}

/* The peer has begun anew: what it had in memory is gone, and what we shared with it. */
static void peer_restarted(struct pair *pair, const struct channel_peer *peer)
{
	switch (pair->role) {
	case PAIR_LEADER:
	case PAIR_FOLLOWER:
		/* Before it restarted it may have gone on without us; it was seen outside then, and we are old. */
		if (pair->going_alone || pair->stopping)
			break;
		if (peer->generation > pair->durable.generation)
			stop(pair, "the peer has gone on without us, and restarted");
		else
			go_alone_if_disks_allow(pair,
						"the peer has restarted"); /* connects at its next hello */
		break;
	case PAIR_TARGET:
		leave_guest(pair, "the source has restarted");
		connect_to(pair, peer->incarnation);
		break;
	case PAIR_REFUSED:
		try_again(pair, "the refused peer has restarted");
		connect_to(pair, peer->incarnation);
		break;
	default:
		abort_copy(pair);
		connect_to(pair, peer->incarnation);
		break;
	}
}

void pair_receive(struct pair *pair, uint32_t link, uint64_t now_ns, const uint8_t *frame, uint64_t size)
{
	uint64_t answered_ns = pair->channel.links[link].answered_ns;
	uint64_t other_versions = pair->channel.faults[WIRE_VERSION_WRONG];
	struct channel_peer peer;

	pair->now_ns = max_u64(pair->now_ns, now_ns);
	switch (channel_receive(&pair->channel, link, pair->now_ns, frame, size, &peer)) {
	case CHANNEL_NOTHING:
		break;
	case CHANNEL_PEER_FOUND:
		try_again(pair, "a peer is there");
		connect_to(pair, peer.incarnation);
		break;
	case CHANNEL_PEER_RESTARTED:
		peer_restarted(pair, &peer);
		break;
	}
	if (pair->channel.faults[WIRE_VERSION_WRONG] > other_versions)
		hear_other_version(pair, link);
	/*
	 * A sign of life is an answer, and it is as old as what it answers: frames that
	 * waited while we stood still tell of the past.
	 */
	if (pair->channel.links[link].answered_ns > answered_ns)
		detector_heard(&pair->detector, link, pair->channel.links[link].answered_ns);
	pump_control(pair);
	pair_pump_log(pair);
}

void pair_carrier(struct pair *pair, uint32_t path, bool carrier, uint64_t at_ns)
{
	detector_carrier(&pair->detector, path, carrier, at_ns);
}

void pair_station(struct pair *pair, uint32_t path, uint64_t asked_ns)
{
	detector_proven(&pair->detector, path, asked_ns);
}

void pair_beacon(struct pair *pair, uint32_t path, uint64_t now_ns, const struct message_beacon *beacon)
{
	if (beacon->pair != pair->config.channel.pair || beacon->server == pair->config.self ||
	    beacon->claim > ARBITER_CLAIM_STOPPED)
		return;
	detector_heard(&pair->detector, path, now_ns);
	pair->peer_asks |= beacon->asks != 0;
	/* A claim counts for the duplex that we are in: an older one is of a time before we met. */
	if (beacon->generation < pair->durable.generation)
		return;
	/*
	 * "Stopped" is consent only from an incarnation that came after the one we share
	 * the duplex with: a word from before the join may have been long under way.
	 */
	if (beacon->claim == ARBITER_CLAIM_STOPPED && beacon->generation == pair->durable.generation &&
	    !channel_is_news(&pair->channel, beacon->incarnation))
		return;
	/* A higher generation went on alone at some time, whatever it does now. */
	pair->claim = beacon->generation > pair->durable.generation ? ARBITER_CLAIM_ALONE : beacon->claim;
}

void pair_start_alone(struct pair *pair)
{
	if (pair->peer_known)
		return;
	if (!pair->own_disks_current) { /* its guest could read nothing */
		pair->reason = disks_not_current;
		return;
	}
	pair->override_alone = true;
	if (pair->channel.peer == 0)
		try_again(pair, "the administrator said: start alone");
	if (pair->role == PAIR_WAITING || pair->role == PAIR_STOPPED)
		go_alone(pair, "the administrator said: start alone");
}

/* ---- time ---- */

/* LEADER or FOLLOWER, and the peer is not simply alive. */
static void arbitrate(struct pair *pair, enum detector_verdict verdict)
{
	struct arbiter_question question = {
		.self = pair->config.self,
		.preferred = pair->config.preferred,
		.peer = verdict,
		.claim = pair->claim,
		.continue_when_unsure = pair->config.continue_when_unsure,
	};
	struct arbiter_decision decision;

	question.facts[pair->config.self] = (struct arbiter_facts){ .hardware_faults = pair->hardware_told,
								    .disks_current = pair->own_disks_current,
								    .is_leader = pair->role == PAIR_LEADER };
	question.facts[ARBITER_SERVER_B - pair->config.self] =
		(struct arbiter_facts){ .hardware_faults = pair->peer.hardware_faults != 0,
					.disks_current = pair->peer_disks_current,
					.is_leader = pair->role != PAIR_LEADER };
	decision = arbiter_decide(&question);
	if (decision.answer == ARBITER_STOP)
		stop(pair, decision.reason);
	if (decision.answer != ARBITER_GO_ON)
		return;
	pair->override_alone = verdict == DETECTOR_UNKNOWN;
	go_alone(pair, decision.reason);
}

static void judge_peer(struct pair *pair)
{
	enum detector_verdict verdict = detector_judge(&pair->detector, pair->now_ns);

	if (verdict == DETECTOR_ALIVE || verdict == DETECTOR_SUSPECT)
		return;
	switch (pair->role) {
	case PAIR_LEADER:
	case PAIR_FOLLOWER:
		if (!pair->going_alone && !pair->stopping)
			arbitrate(pair, verdict);
		break;
	case PAIR_TARGET:
		if (pair->persisting)
			break; /* the answer of the disk comes first */
		leave_guest(pair, "join failed: the source is silent");
		new_incarnation(pair);
		break;
	case PAIR_SIMPLEX:
		if (pair->copying) {
			abort_copy(pair);
			connect_to(pair, 0);
		}
		break;
	case PAIR_WAITING:
	case PAIR_STOPPED:
		/* A peer that went on without us listens to a new incarnation only. */
		if (pair->channel.peer != 0 && !pair->going_alone)
			new_incarnation(pair);
		break;
	case PAIR_REFUSED:
		if (pair->channel.peer != 0)
			new_incarnation(pair);
		/* As if it had never been there; of a split an administrator says which side to keep. */
		if (!pair->split)
			try_again(pair, "the refused peer is gone");
		break;
	default:
		break;
	}
}

/* A join that was given up has left the disk saying DUPLEX; alone as we are, we say so again. */
static void simplex_step(struct pair *pair)
{
	if (pair->role == PAIR_SIMPLEX && !pair->copying && !pair->persisting &&
	    pair->durable.state != PAIR_DURABLE_ALONE)
		persist(pair, pair->durable.generation + 1, PAIR_DURABLE_ALONE, true);
}

/* After the configured wait a server that durably knows the most starts without its peer. */
static void wait_step(struct pair *pair)
{
	if (pair->role != PAIR_WAITING || pair->peer_known || pair->persisting ||
	    pair->durable.state != PAIR_DURABLE_ALONE ||
	    pair->now_ns - pair->role_since_ns < pair->config.wait_for_peer_ns)
		return;
	if (pair->own_disks_current)
		go_alone(pair, "the peer did not come; nobody knows more than we do");
	else
		pair->reason = disks_not_current;
}

/* Ours is the newest state, but no disk that holds it is there: until one is, at either server, nobody starts. */
static void start_step(struct pair *pair)
{
	if (!pair->start_waits || !(pair->own_disks_current || pair->peer_disks_current))
		return;
	pair->start_waits = false;
	if ((pair->role == PAIR_WAITING || pair->role == PAIR_STOPPED) && pair->peer_known &&
	    !peer_runs(pair))
		go_alone(pair, "ours is the newest state, and its disks are there");
}

static void progress_step(struct pair *pair)
{
	const struct message_progress progress = { .exits = pair->exits, .time_ns = pair->time_ns };

	if (pair->role != PAIR_FOLLOWER || pair->now_ns - pair->progress_sent_ns < pair->config.progress_ns)
		return;
	pair->progress_sent_ns = pair->now_ns;
	pair_send(pair, MESSAGE_PROGRESS, &progress, sizeof(progress));
}

/* The leader has let out what it has not told. */
static bool owes_released(const struct pair *pair)
{
	return pair->role == PAIR_LEADER && pair->let_out != pair->let_out_told;
}

/* Nobody waits for it: the follower only learns what it need not send again when it takes over. */
static void released_step(struct pair *pair)
{
	const struct message_released released = { .number = pair->let_out };

	if (!owes_released(pair) || pair->now_ns - pair->let_out_told_ns < RELEASED_INTERVAL_NS ||
	    !pair_send(pair, MESSAGE_RELEASED, &released, sizeof(released)))
		return;
	pair->let_out_told = pair->let_out;
	pair->let_out_told_ns = pair->now_ns;
}

void pair_tick(struct pair *pair, uint64_t now_ns)
{
	pair->now_ns = max_u64(pair->now_ns, now_ns);
	channel_tick(&pair->channel, pair->now_ns);
	pump_control(pair);
	pair_pump_log(pair);
	judge_peer(pair);
	wait_step(pair);
	start_step(pair);
	going_alone_step(pair);
	stop_step(pair);
	simplex_step(pair);
	join_step(pair);
	progress_step(pair);
	released_step(pair);
}

static bool is_asking(const struct pair *pair)
{
	return (pair->role == PAIR_LEADER || pair->role == PAIR_FOLLOWER) && pair->detector.suspecting;
}

uint64_t pair_ask_interval_ns(const struct pair *pair)
{
	bool is_duplex = pair->role == PAIR_LEADER || pair->role == PAIR_FOLLOWER;

	if (is_duplex && detector_is_cut(&pair->detector))
		return pair->config.carrier_beacon_ns;
	return is_asking(pair) ? pair->config.ask_beacon_ns : pair->config.beacon_ns;
}

uint64_t pair_next_deadline_ns(const struct pair *pair)
{
	uint64_t deadline_ns = min_u64(channel_next_deadline_ns(&pair->channel),
				       pair->beacon_sent_ns + pair_ask_interval_ns(pair));

	if (pair->role == PAIR_LEADER || pair->role == PAIR_FOLLOWER || pair->role == PAIR_TARGET ||
	    pair->copying)
		deadline_ns = min_u64(deadline_ns, detector_next_deadline_ns(&pair->detector, pair->now_ns));
	if (pair->role == PAIR_SIMPLEX && pair->now_ns < pair->rejoin_at_ns)
		deadline_ns = min_u64(deadline_ns, pair->rejoin_at_ns);
	if (pair->role == PAIR_FOLLOWER)
		deadline_ns = min_u64(deadline_ns, pair->progress_sent_ns + pair->config.progress_ns);
	if (owes_released(pair))
		deadline_ns = min_u64(deadline_ns, pair->let_out_told_ns + RELEASED_INTERVAL_NS);
	return deadline_ns;
}

/* ---- sending ---- */

uint64_t pair_transmit(struct pair *pair, uint32_t link, uint64_t now_ns, uint8_t *frame)
{
	pair->now_ns = max_u64(pair->now_ns, now_ns);
	return channel_transmit(&pair->channel, link, pair->now_ns, frame);
}

static enum arbiter_claim own_claim(const struct pair *pair)
{
	switch (pair->role) {
	case PAIR_ALONE:
	case PAIR_SIMPLEX:
		/* The end of a join: the target will soon hear this generation's claims. */
		return pair->durable.state == PAIR_DURABLE_DUPLEX ? ARBITER_CLAIM_NONE : ARBITER_CLAIM_ALONE;
	case PAIR_LEADER:
	case PAIR_FOLLOWER:
		return pair->going_alone ? ARBITER_CLAIM_ALONE : ARBITER_CLAIM_NONE;
	default:
		return ARBITER_CLAIM_STOPPED;
	}
}

bool pair_beacon_make(struct pair *pair, uint64_t now_ns, struct message_beacon *beacon)
{
	if (!pair->peer_asks && now_ns - pair->beacon_sent_ns < pair_ask_interval_ns(pair))
		return false;
	*beacon = (struct message_beacon){
		.pair = pair->config.channel.pair,
		.generation = pair->durable.generation,
		.incarnation = pair->channel.config.incarnation,
		.server = (uint8_t)pair->config.self,
		.claim = (uint8_t)own_claim(pair),
		.asks = is_asking(pair),
	};
	pair->beacon_sent_ns = now_ns;
	pair->peer_asks = false;
	return true;
}

void pair_init(struct pair *pair, const struct pair_config *config, const struct pair_memory *memory,
	       const struct pair_durable *durable, uint64_t now_ns)
{
	memset(pair, 0, sizeof(*pair));
	ASSERT(config->self < ARBITER_SERVER_COUNT);
	ASSERT((config->channel.incarnation & 0xffff) == 0);
	ASSERT(config->lag_max_ns > 0);
	ASSERT(config->rejoin_wait_min_ns > 0);
	ASSERT(config->rejoin_wait_min_ns <= config->rejoin_wait_max_ns);
	pair->config = *config;
	pair->durable = *durable;
	pair->wanted = *durable;
	pair->now_ns = now_ns;
	pair->role = PAIR_WAITING;
	pair->reason = "started";
	pair->role_since_ns = now_ns;
	pair->beacon_sent_ns = now_ns - config->beacon_ns;
	pair->follower_buffer = memory->follower;
	pair->follower_buffer_size = memory->follower_size;
	pair->config.channel.generation = durable->generation;
	pair->config.channel.server = config->self;
	pair->config.identity.server = (uint8_t)config->self;
	pair_disks(pair, true, true);
	channel_init(&pair->channel, &pair->config.channel, memory->streams, now_ns);
	connect_to(pair, 0);
}
