/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What surrounds the two replicas in the simulator: two servers with their disks and
 * clocks, cables, the management network with a station on it, an outside client, and
 * the faults. One seed decides everything.
 */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include "lockstep/pair.h"
#include "nic/held_output.h"
#include "tests/sim/guest.h"
#include "tests/sim/pair_fixture.h"

#define US UINT64_C(1000)
#define NOBODY 2
#define WORLD_MANAGEMENT 2 /* path number of the management port */
#define WORLD_FLYING_MAX 4096
#define WORLD_HELD_SIZE (256 * KIB)
#define WORLD_OUTPUT_MAX 65536

/* What is tried on the pair, by seed. */
enum world_kind {
	WORLD_ROUGH,	 /* any fault at any instant */
	WORLD_QUIET,	 /* none, but one server may be slow: it must become duplex and stay so */
	WORLD_FLIPS,	 /* bits flip in one replica: found, named alike on both sides, healed */
	WORLD_BUILDS,	 /* as rough, and one server now and then starts another build: refused */
	WORLD_TAKE_OVER, /* one server at a time dies: the other, that knows or is told to guess, must go on */
	WORLD_CUT_OFF,	 /* a follower far behind; links lost; one stops, and then the other dies */
};

/* One server. What a crash loses, and what it keeps. */
struct server {
	/* kept */
	struct pair_durable durable;
	uint32_t disk[GUEST_KEY_COUNT];
	uint64_t starts;

	/* lost with the power */
	bool running;
	uint64_t paused_until_ns;
	uint64_t crash_at_ns; /* 0: not planned */
	uint64_t start_at_ns; /* when not running: power comes back; UINT64_MAX: not by itself */
	uint64_t next_turn_ns;
	uint64_t clock_offset_ns;
	int64_t clock_drift_ppm;
	struct pair pair;
	struct guest guest;
	bool guest_runs;
	uint64_t persist_done_ns; /* 0: nothing is being written */
	struct pair_durable persisting;
	uint64_t disk_done_ns[GUEST_MAILBOX]; /* 0: no write in this slot */
	struct held_output held;	      /* its ring is `held_ring` */
	uint8_t held_ring[WORLD_HELD_SIZE] __attribute__((aligned(16)));
	struct position horizon; /* last told */
	uint64_t slices;
	bool copying;
	uint64_t copy_page;
	uint64_t copy_until_ns; /* the dirty rounds take this long */
	uint64_t step_ns;	/* how fast it is; 0: as fast as turns come */
	uint64_t run_at_ns;
	uint64_t hold_until_ns; /* no join before: its disks are not ready */
	bool is_other_build;
	uint64_t leader_since_ns;
	uint64_t rejoin_wait_ns; /* as it should be after the last divergence; 0: there was none */
	uint64_t rejoin_at_ns;
	struct pair_action told; /* the last DIVERGED; kind 0: none since the last flip */
	struct guest incoming;
	uint32_t incoming_disk[GUEST_KEY_COUNT];
	uint64_t incoming_of[2]; /* incarnations, own and peer's, whose channel it came by */
};

struct cut {
	bool cs[WIRE_LINK_COUNT][2]; /* by link and direction: towards server 0, 1 */
	bool management_out[2];
	bool management_in[2];
	bool station;
	bool pulled; /* the CS cables: cut both ways, and no carrier on either side */
};

struct world_faults {
	uint32_t loss_permille;
	uint32_t duplication_permille;
	uint32_t corruption_permille;
	uint32_t jitter_us;
};

struct world {
	uint64_t seed;
	enum world_kind kind;
	uint64_t random_state;
	uint64_t now_ns;
	bool verbose;
	struct server servers[2];
	struct cut cut;
	struct world_faults faults;
	bool is_safety_phase;
	uint32_t beacon_jitter_us; /* on the management network, at any time */
	bool is_unsure;		   /* TAKE_OVER: no station answers, and both continue when unsure */
	bool has_carriers;	   /* a server without power takes the carrier from the other's CS ports */
	bool was_duplex;
	uint64_t duplex_ns;    /* when it last was */
	uint64_t script_at_ns; /* of the kind's next event; 0: not planned */
	uint64_t expect_by_ns; /* what it leads to must be there by then; 0: nothing is expected */
	uint32_t script_side;
	uint32_t flipped;	/* enum guest_field */
	bool is_mended;		/* BUILDS: both servers start the same build from now on */
	bool disks_fail;	/* ROUGH, BUILDS: as well */
	uint32_t stale_side;	/* whose disks lack writes; NOBODY */
	uint64_t isolate_at_ns; /* 0: not planned */
	uint32_t isolate_side;
	uint64_t hear_at_ns; /* the management network works again; 0: not planned */
	uint32_t flying_count;
	struct flying *flying;

	/* the client */
	uint32_t next_request;
	uint64_t client_next_ns;
	uint32_t pending_request; /* 0: none */
	uint32_t pending_key;
	uint32_t pending_version;
	uint64_t pending_sent_ns;
	uint32_t acknowledged[GUEST_KEY_COUNT]; /* newest acknowledged version of each key */
	uint64_t acknowledged_count;

	/* what was seen outside: content of each output of the newest power-on */
	uint64_t seen_boot;
	uint64_t seen[WORLD_OUTPUT_MAX];
	uint64_t outputs_seen;
	uint64_t boots;
	uint64_t crashes;
	uint64_t checks;
	uint64_t joins;
	uint64_t failovers;

	const char *violation; /* NULL: all is well */
	char detail[160];
};

/* Runs one seed: safety phase, healing, liveness phase, final checks. */
void world_run(struct world *world, uint64_t seed, bool verbose);

#endif
