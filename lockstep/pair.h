/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One server's part in the pair: its role, and everything that role depends on. A
 * pure state machine; the same object runs in the hypervisor and in the simulator.
 *
 *     WAITING  no guest here; looks for the peer
 *     ALONE    about to run the guest alone: not before that is durable
 *     SIMPLEX  runs the guest alone, and copies it to the peer when that is there
 *     TARGET   receives the guest
 *     LEADER   duplex; decides where inputs go in
 *     FOLLOWER duplex; replays
 *     STOPPED  had the guest in duplex, and left the going on to the peer, or does not know
 *     REFUSED  cannot be a pair with this peer: says why
 *
 * What is durable (struct pair_durable, in the state partition) gates everything:
 * nobody releases an output alone before {generation + 1, ALONE} is on disk, so of
 * two servers that ever meet again, the one with the higher generation has all that
 * anybody outside has seen. A server whose disk says DUPLEX never starts alone.
 *
 * The owner (kernel/main.c, or the simulator) in each turn of its loop:
 *   1. gives what came: pair_receive, pair_beacon, pair_carrier, pair_station, pair_tick
 *   2. takes and does actions: pair_action_take
 *   3. runs the guest as pair_plan says; at its exits and inputs pair_value, pair_input
 *   4. sends: pair_transmit on each CS link; pair_beacon_make on the other paths
 *   5. lets out outputs whose stamp pair_may_release() covers
 */
#ifndef LOCKSTEP_PAIR_H
#define LOCKSTEP_PAIR_H

#include "include/bits.h"
#include "include/position.h"
#include "lockstep/arbiter.h"
#include "lockstep/channel.h"
#include "lockstep/detector.h"
#include "lockstep/follower.h"
#include "lockstep/leader.h"
#include "lockstep/message.h"
#include "lockstep/trail.h"

enum pair_role {
	PAIR_WAITING,
	PAIR_ALONE,
	PAIR_SIMPLEX,
	PAIR_TARGET,
	PAIR_LEADER,
	PAIR_FOLLOWER,
	PAIR_STOPPED,
	PAIR_REFUSED,
	PAIR_ROLE_COUNT,
};

enum pair_durable_state {
	PAIR_DURABLE_FRESH,  /* never part of a pair */
	PAIR_DURABLE_ALONE,  /* runs, or ran last, alone: nobody knows more */
	PAIR_DURABLE_DUPLEX, /* the peer may have gone on without us */
	PAIR_DURABLE_COUNT,
};

struct pair_durable {
	uint64_t generation;
	uint8_t state; /* enum pair_durable_state */
	uint8_t was_leader;
	uint8_t reserved[6];
};

struct pair_config {
	struct channel_config channel; /* `incarnation`: low 16 bits 0, counted by the pair */
	struct detector_config detector;
	uint32_t paths; /* bit of each path there is: 0 cs1, 1 cs2, then the others */
	enum arbiter_server self;
	enum arbiter_server preferred;	  /* NONE: the leader */
	bool continue_when_unsure;	  /* in duplex, when nothing tells whether the peer lives */
	struct message_identity identity; /* what must be equal; the rest is filled in */
	uint64_t wait_for_peer_ns;	  /* at boot */
	/* Between beacons, and between questions to stations; less while the peer is suspected. */
	uint64_t beacon_ns;
	uint64_t ask_beacon_ns;
	uint64_t carrier_beacon_ns; /* with carrier lost on both CS links */
	uint64_t progress_ns;	    /* between words of where the follower is */
	/* Virtual time that the follower may be behind; above half of it the leader yields, in small steps. */
	uint64_t lag_max_ns;
	/* After a divergence the next join waits: min, and twice as long each time up to max. */
	uint64_t rejoin_wait_min_ns; /* above 0 */
	uint64_t rejoin_wait_max_ns;
	uint64_t good_stretch_ns; /* a duplex that lasted so long makes it min again */
};

enum pair_action_kind {
	PAIR_ACTION_ROLE = 1,	   /* the role changed: `from`, `to`, `reason`: an event */
	PAIR_ACTION_PERSIST,	   /* write `durable`, then call pair_persisted() */
	PAIR_ACTION_GUEST_BOOT,	   /* start the guest from its disks */
	PAIR_ACTION_GUEST_RESUME,  /* the guest in memory goes on, alone from here */
	PAIR_ACTION_GUEST_FREEZE,  /* it stands still; its memory stays */
	PAIR_ACTION_GUEST_DISCARD, /* it will not be needed */
	PAIR_ACTION_JOIN_COPY,	   /* send the guest: pair_join_put, then pair_join_end */
	PAIR_ACTION_JOIN_ABORT,	   /* the copying is off; the guest goes on */
	PAIR_ACTION_JOIN_TAKE,	   /* one message of its guest: `message`, `size`, good until the next take */
	PAIR_ACTION_JOIN_LOAD,	   /* that was all: load it, compare `digest`, then pair_join_loaded() */
	PAIR_ACTION_TAKE_OVER,	   /* announce the guest's addresses; send frames not known to be sent */
	PAIR_ACTION_RELEASED,	   /* FOLLOWER: outputs up to `number` have left: forget our copies */
	PAIR_ACTION_DIVERGED, /* what differed, on both sides: `reason`, `position`, `digest`s, `field` */
};

struct pair_action {
	enum pair_action_kind kind;
	enum pair_role from;
	enum pair_role to;
	const char *reason;
	struct pair_durable durable;
	struct position position; /* JOIN_LOAD: where the guest stands */
	uint64_t time_ns;
	uint64_t digest;
	uint64_t number;      /* RELEASED: of outputs; DIVERGED: of the check, for trail_find() */
	uint64_t peer_digest; /* DIVERGED: the peer's at `position` */
	uint32_t field; /* DIVERGED: the first whose digests differ, or TRAIL_FIELD_NONE: none did yet */
	const uint8_t *message; /* JOIN_TAKE: with its header */
	uint64_t size;
};

#define PAIR_ACTION_MAX 32

struct pair {
	struct pair_config config;
	enum pair_role role;
	const char *reason; /* of the role */
	uint64_t role_since_ns;
	struct pair_durable durable; /* on disk */
	struct pair_durable wanted;  /* being written; equal to `durable`: nothing is */
	bool persisting;	     /* a PERSIST action is not answered yet */
	bool has_guest;		     /* in memory */
	bool own_disks_current;	     /* pair_disks() */
	bool peer_disks_current;
	bool start_waits;	  /* we are to start the guest, with the peer there, once a disk is */
	bool own_hardware_faults; /* pair_hardware() */
	bool disks_told;	  /* what every identity since we connected says: both decide by the same */
	bool hardware_told;	  /* likewise */
	bool override_alone; /* we go on without knowing, as an administrator said; until the peer is seen */

	struct channel channel;
	uint32_t restarts; /* of the channel: new incarnations of ours */
	struct detector detector;
	bool peer_known; /* its identity has come */
	struct message_identity peer;
	enum arbiter_claim claim; /* the peer's last, on another path */
	bool peer_asks;
	bool going_alone; /* decided; the log may have to be drained, the disk to be written */
	const char *going_alone_reason;
	bool stopping; /* decided; the log may have to be drained */
	const char *stopping_reason;

	struct leader leader;
	uint64_t log_base;     /* offset in the log stream where the log of this duplex begins */
	bool peer_ready;       /* LEADER: the follower has loaded the guest */
	uint64_t peer_time_ns; /* LEADER: where the follower is, in virtual time */
	bool copying;	       /* SIMPLEX: JOIN_COPY is under way */
	bool join_held;
	bool peer_diverged;	 /* LEADER: why we go alone; the channel is sound */
	uint64_t rejoin_wait_ns; /* after the last divergence; 0: there was none */
	uint64_t rejoin_at_ns;	 /* no join before */
	bool split;		 /* REFUSED: both went alone, and an administrator must say which to keep */

	struct follower follower;
	uint8_t *follower_buffer;
	uint64_t follower_buffer_size;
	bool join_ended; /* TARGET: JOIN_END has come, `join_end` is it */
	struct message_join_end join_end;
	uint64_t progress_sent_ns;
	uint64_t let_out; /* LEADER: so many outputs have left ... */
	uint64_t let_out_told;
	uint64_t let_out_told_ns;
	uint64_t time_ns; /* guest's virtual time, as last told */
	uint64_t exits;	  /* guest's exits, as last told */

	uint64_t beacon_sent_ns;
	uint64_t now_ns;
	uint32_t action_first;
	uint32_t action_count;
	struct pair_action actions[PAIR_ACTION_MAX];
	uint64_t control_size; /* received and not yet a whole message */
	uint64_t bulk_size;
	uint64_t bulk_taken; /* bytes of `bulk` that the last JOIN_TAKE showed */
	uint64_t released_number;
	uint64_t released_done;
	uint8_t control[MESSAGE_SIZE_MAX];
	uint8_t bulk[MESSAGE_SIZE_MAX];
	char peer_text[MESSAGE_TEXT_SIZE]; /* a reason that the peer gave */
	char own_text[MESSAGE_TEXT_SIZE];  /* of our own divergence */
	struct trail trail;		   /* of this duplex, or the last */
	bool trail_sent;		   /* ours; the peer's is awaited */
	bool trail_owed;		   /* the peer diverged and will send its own first */

	uint64_t joins;
	uint64_t failovers;
	uint64_t divergences;
	uint64_t protocol_faults; /* messages that make no sense */
};

/* Memory that the owner gives for ever; the follower's at least 2 * LEADER_RECORD_MAX. */
struct pair_memory {
	struct channel_buffers streams[WIRE_STREAM_COUNT];
	uint8_t *follower;
	uint64_t follower_size;
};

/* Start-up, with what the disk says. */
void pair_init(struct pair *pair, const struct pair_config *config, const struct pair_memory *memory,
	       const struct pair_durable *durable, uint64_t now_ns);

/* ---- what came ---- */

void pair_tick(struct pair *pair, uint64_t now_ns);
uint64_t pair_next_deadline_ns(const struct pair *pair);
void pair_receive(struct pair *pair, uint32_t link, uint64_t now_ns, const uint8_t *frame, uint64_t size);
/* The carrier of the port of `path`, as it was seen at `at_ns`. */
void pair_carrier(struct pair *pair, uint32_t path, bool carrier, uint64_t at_ns);
/* A station besides the peer answered on `path` a question that was asked at `asked_ns`. */
void pair_station(struct pair *pair, uint32_t path, uint64_t asked_ns);
/* A beacon came on `path`; of another pair: ignored. */
void pair_beacon(struct pair *pair, uint32_t path, uint64_t now_ns, const struct message_beacon *beacon);
/* The last PERSIST is on disk. */
void pair_persisted(struct pair *pair);
/*
 * Console command `start alone`: the administrator knows that the peer does not run,
 * or, of two that went on alone, keeps this one. Ends when it is seen. Nothing happens
 * while the peer is there.
 */
void pair_start_alone(struct pair *pair);

/* ---- actions ---- */

bool pair_action_take(struct pair *pair, struct pair_action *action);

/* ---- the guest ---- */

/* What to do at `now`: RUN, APPLY, WAIT or DIVERGED (the pair knows already). Not when there is no guest. */
void pair_plan(struct pair *pair, const struct position *now, struct follower_plan *plan);
void pair_applied(struct pair *pair);

/*
 * The value for an undetermined access at `exit`. The leader, and who is alone, gets
 * `local_ns` back, logged; the follower the leader's. -EAGAIN: wait, ask again;
 * -EILSEQ: diverged, the guest stands still.
 */
int pair_value(struct pair *pair, const struct position *exit, uint64_t local_ns, uint64_t *time_ns);

/* May inputs be delivered by us now, i.e. do we lead or run alone, with room in the log? */
bool pair_decides(const struct pair *pair);
/*
 * An input is being delivered at `position`. Only when pair_decides(). Returns the
 * virtual time at which the machine gets it: `local_ns`, or later: never a step back.
 */
uint64_t pair_input(struct pair *pair, const struct position *position, uint64_t local_ns,
		    const struct record_input *input, const uint8_t *data, uint32_t size);
/* The guest ended a slice at `position`: the follower may come up to here. */
void pair_horizon(struct pair *pair, const struct position *position);
/* A digest of the state at `position`, taken by who leads. */
void pair_check(struct pair *pair, const struct position *position, uint64_t digest);
/* The follower's own digest for the CHECK it was told to apply; a difference is a divergence. */
void pair_checked(struct pair *pair, const struct record *record, uint64_t digest);

/*
 * The digests of each field at the position of a check, in an order that both sides
 * share: before the pair_check() of who leads and the pair_checked() of the follower,
 * and nowhere else. `count` is at most TRAIL_FIELD_MAX. After a divergence both sides name the first that differs.
 */
void pair_put_trail(struct pair *pair, const struct position *position, uint64_t digest,
		    const uint64_t *fields, uint32_t count);
/*
 * FOLLOWER: our guest is not the leader's: an output, or data read from the disk, is
 * another. `what` is copied. The guest is discarded; the leader goes on, and the pair
 * joins again by itself. In any other role nothing happens.
 */
void pair_diverge(struct pair *pair, const char *what);

/*
 * Stamp for outputs made up to the last record put: give it behind the slice that made
 * them, its pair_horizon() put, or the follower may never get to where they were made.
 */
uint64_t pair_stamp(const struct pair *pair);
/* May an output with this stamp leave? The follower keeps its own until it hears RELEASED or takes over. */
bool pair_may_release(const struct pair *pair, uint64_t stamp);
/* Outputs up to `number`, counted from the guest's power-on, have left. */
void pair_released(struct pair *pair, uint64_t number);

/* ---- joining ---- */

/*
 * Whose disks hold all that the guest was told is safe, as both servers were last told (mirror/)? A pair
 * without disks: both. Of two of a duplex one whose disks do not never goes on without the other, whose
 * disks its guest needs. At any time; at first both do.
 */
void pair_disks(struct pair *pair, bool own_current, bool peer_current);

/*
 * Has this server's hardware reported errors since it started: machine checks? Of two that live and have lost
 * their links, one that has stops for one that has not. The peer hears of it when they next meet, and until
 * then neither decides by it: both must know the same. At any time; at first it has not.
 */
void pair_hardware(struct pair *pair, bool has_faults);

/* No join begins while held: the disks are not yet the same on both. One under way goes on. */
void pair_hold_join(struct pair *pair, bool hold);
/* Does a join go on, or would it begin if it were not held? */
bool pair_wants_join(const struct pair *pair);
/*
 * SIMPLEX, after JOIN_COPY, the guest running: does ahead of time what pair_join_end()
 * needs, so that the guest stands still for the last pages only. True: our disk says
 * duplex, and the target has all that was put and what was left of an older log.
 */
bool pair_join_prepare(struct pair *pair);
/* SIMPLEX, after JOIN_COPY: puts a bulk message; false: no room now, try again after pair_transmit. */
bool pair_join_put(struct pair *pair, enum message_type type, const void *fixed, uint32_t fixed_size,
		   const uint8_t *data, uint32_t size);
/* The guest stands still here, all of it has been put. False: no room now. It may run on afterwards. */
bool pair_join_end(struct pair *pair, const struct position *position, uint64_t time_ns, uint64_t digest);
/* TARGET, after JOIN_LOAD: the guest is loaded and its digest was right, or not. */
void pair_join_loaded(struct pair *pair, bool right);

/* ---- sending ---- */

uint64_t pair_transmit(struct pair *pair, uint32_t link, uint64_t now_ns, uint8_t *frame);
/* How far apart questions to the stations on the other paths are to be, as things are. */
uint64_t pair_ask_interval_ns(const struct pair *pair);
/* Fills a beacon for the other paths when one is due. */
bool pair_beacon_make(struct pair *pair, uint64_t now_ns, struct message_beacon *beacon);

const char *pair_role_name(enum pair_role role);

#endif
