/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What people and tools see of a server: one flat struct, filled by whoever wires
 * the parts together, written as text or as JSON here. The states' names are here,
 * and nothing else in the system prints them.
 */
#ifndef MANAGE_STATUS_H
#define MANAGE_STATUS_H

#include "include/bits.h"
#include "manage/config.h"
#include "manage/event.h"
#include "manage/text.h"

#define STATUS_REASON_SIZE 96
#define STATUS_PEER_DISK_SIZE 24
#define STATUS_ERAS_SIZE 96
#define STATUS_DEVICE_SIZE 64
#define STATUS_VERSION_SIZE 48
#define STATUS_SERVER_COUNT 2
#define STATUS_LINK_COUNT 2
#define STATUS_TEXT_SIZE (16 * KIB) /* enough for status_add_text() with every fault on show */
#define STATUS_JSON_SIZE (48 * KIB) /* likewise for status_add_json() */

enum status_server_state {
	STATUS_SERVER_UNKNOWN, /* never heard of */
	STATUS_SERVER_OFF,
	STATUS_SERVER_WAITING, /* for its peer */
	STATUS_SERVER_SIMPLEX,
	STATUS_SERVER_JOINING,
	STATUS_SERVER_DUPLEX_LEADER,
	STATUS_SERVER_DUPLEX_FOLLOWER,
	STATUS_SERVER_DISABLED, /* by an administrator */
	STATUS_SERVER_FAILED,
	STATUS_SERVER_STATE_COUNT,
};

enum status_guest_state {
	STATUS_GUEST_OFF,
	STATUS_GUEST_STARTING,
	STATUS_GUEST_RUNNING,
	STATUS_GUEST_STOPPED, /* by an administrator or the failure policy; its memory is still there */
	STATUS_GUEST_REFUSED, /* the configuration is wrong: see the reason */
	STATUS_GUEST_STATE_COUNT,
};

enum status_link_state {
	STATUS_LINK_ABSENT, /* no port has this role */
	STATUS_LINK_GOOD,
	STATUS_LINK_DEGRADED,
	STATUS_LINK_FAILED,
	STATUS_LINK_STATE_COUNT,
};

enum status_port_state {
	STATUS_PORT_ABSENT, /* no port has this role */
	STATUS_PORT_ACTIVE,
	STATUS_PORT_STANDBY,
	STATUS_PORT_DOWN,
	STATUS_PORT_STATE_COUNT,
};

enum status_disk_state {
	STATUS_DISK_ABSENT, /* no disk has this role */
	STATUS_DISK_GOOD,
	STATUS_DISK_REMIRRORING,
	STATUS_DISK_OUTDATED,
	STATUS_DISK_FAILED,
	STATUS_DISK_MISSING, /* configured, not found */
	STATUS_DISK_STATE_COUNT,
};

struct status_server {
	uint32_t state; /* enum status_server_state */
	char reason[STATUS_REASON_SIZE];
	uint64_t uptime_ns; /* 0: not known */
	uint64_t sleep_ns;  /* of that without work, asleep; this server's only */
	uint64_t busy_ns;   /* of that at work for the guest, which runs in it; this server's only */
};

struct status_guest {
	uint32_t state;			 /* enum status_guest_state */
	char reason[STATUS_REASON_SIZE]; /* why it is not running */
	uint32_t start;			 /* enum config_start */
	uint64_t memory_size;		 /* bytes */
	uint64_t uptime_ns;		 /* since it was started, over both servers */
	uint64_t restarts;		 /* by the failure policy */
	uint64_t exits;			 /* synchronous exits on this server */
};

struct status_link {
	uint32_t state; /* enum status_link_state */
	char reason[STATUS_REASON_SIZE];
	uint64_t rate_mbit;
	uint64_t round_trip_ns;
	uint64_t loss_ppm; /* frames lost of a million */
};

struct status_port {
	uint32_t state; /* enum status_port_state */
	char reason[STATUS_REASON_SIZE];
	char device[STATUS_DEVICE_SIZE]; /* "00:03.0 e1000 52:54:00:12:34:56" */
	uint64_t rate_mbit;
	uint64_t rx_frames;
	uint64_t tx_frames;
	uint64_t errors;
};

struct status_disk {
	uint32_t state; /* enum status_disk_state */
	char reason[STATUS_REASON_SIZE];
	char device[STATUS_DEVICE_SIZE]; /* "00:1f.2/0 ahci serial:QM00001" */
	uint64_t size;			 /* bytes */
	uint32_t percent;		 /* while remirroring */
	/* The other server's, as we know it: "remirroring 35 %"; "": none. */
	char peer[STATUS_PEER_DISK_SIZE];
	uint64_t lacks;		    /* bytes that the other server's disk lacks */
	uint64_t remaining_ns;	    /* estimated, while it is remirrored */
	uint64_t copied;	    /* bytes that the last remirror has copied to it */
	uint32_t verify_percent;    /* while both are compared */
	uint64_t verified_ns;	    /* since the last comparison ended; 0: there was none */
	uint64_t verify_mismatches; /* regions of 64 KiB that differed in it */
	uint64_t verify_unreadable; /* that one of the two could not read */
	uint64_t repaired;	    /* ranges written anew from the other server's disk, since power-on */
	uint64_t faults;	    /* on record */
	uint64_t peer_faults;
	char eras[STATUS_ERAS_SIZE]; /* the pair's last generations: "11 both, 12 a alone (written)" */
	uint64_t reads;
	uint64_t writes;
	uint64_t errors;
};

struct status_lockstep {
	char step_counter[16];	/* "icount", "pmc" */
	bool exact;		/* passed its self-test: duplex is possible */
	uint64_t lag_ns;	/* of the follower, now */
	uint64_t log_rate_bits; /* a second */
	uint64_t digest_checks; /* compared since duplex began */
	uint64_t divergences;	/* ever, as the four below */
	uint64_t joins;
	uint64_t failovers;
	uint64_t join_stop_ns; /* the guest's stop in the last join */
	uint64_t failover_ns;  /* from the last word of one that died to the guest running on */
	uint64_t join_rounds;  /* of copying, in the last join */
	uint64_t join_bytes;   /* of memory, copied in it */
	/* Sums, for who takes two and compares; of the log: since duplex began. */
	uint64_t log_bytes;
	uint64_t wait_ns;      /* that the guest stood still for a follower that lagged */
	uint64_t held_outputs; /* some of the guest's outputs ... */
	uint64_t held_ns;      /* ... and how long these were held back */
};

struct status {
	char version[STATUS_VERSION_SIZE];
	uint32_t self; /* enum config_server_name: which of the two this is */
	struct status_server servers[STATUS_SERVER_COUNT];
	struct status_guest guest;
	struct status_lockstep lockstep;
	struct status_link links[STATUS_LINK_COUNT];
	struct status_port ports[NETWORK_ROLE_COUNT]; /* of this server */
	struct status_disk disks[DISK_ROLE_COUNT];    /* of this server */
};

/* Adds a table of some twenty lines for people; `log` for the faults on show. */
void status_add_text(struct text *text, const struct status *status, const struct event_log *log);

/* Adds its lines of this server's disks alone, or that there are none. */
void status_add_disks(struct text *text, const struct status *status);

/* Adds all that is known of one of them, a line each. */
void status_add_disk(struct text *text, const struct status *status, uint32_t role);

/* Adds one JSON object in one line, for tools. Times in nanoseconds, sizes in bytes. */
void status_add_json(struct text *text, const struct status *status, const struct event_log *log);

/* Adds one short line, without newline: "a duplex-leader, b duplex-follower, guest running, 1 fault". */
void status_add_line(struct text *text, const struct status *status, const struct event_log *log);

/* "duplex-leader", "running" ... for events. */
const char *status_server_state_name(uint32_t state);
const char *status_guest_state_name(uint32_t state);
const char *status_link_state_name(uint32_t state);
const char *status_port_state_name(uint32_t state);
const char *status_disk_state_name(uint32_t state);

#endif
