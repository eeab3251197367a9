/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All mirror sets of one server and what it remembers of them: the record and the maps
 * in the state partition, the guest's requests, faults, commands. Pure: the owner gives
 * what happened and takes actions until there are none.
 *
 *     start    init -> load -> (create) -> open each disk -> load its maps -> begin
 *              A new record may be created late, when two servers have become a pair:
 *              nothing is written before, nor does a request begin.
 *     a turn   submit, done, state_written -> tick -> take ... take
 *
 * One stream of whole messages (message.h) goes to the other server, and one comes from
 * it. The engine keeps no messages that wait: what is owed is known from what it is, and
 * each is made when there is room for it. Its owner is to
 *
 *   - give buffers and say that the stream is up: buffers -> link
 *   - in each turn, before the tick: give what has come (receive) and copy the data that
 *     is the guest's; then say how much the stream takes (room)
 *   - do each SEND at once: its bytes, and then the data it names, into the stream
 *   - do each OWN on the disk with the memory it names: the guest's, by tag, or a buffer;
 *     several may be under way, and end in any order
 *   - join, with the guest standing still: may_join, no request under way -> the pair
 *     makes duplex durable: era_begin(not alone) here -> era_is_told -> the pair ends the
 *     join; there: era_begin(not alone) -> mode(DUPLEX) on both
 *   - go on alone after a duplex: era_begin(alone) -> mode(ALONE); stop: mode(IDLE)
 *
 * The guest's data stays in the owner's memory from submit to release. In duplex both
 * replicas must submit the same requests in the same order, cut alike.
 *
 * One write to the state partition at a time, the record before the maps. A record
 * tells what was true when it was taken; mirror_engine_is_durable() says whether a
 * change is in one that has reached the disk.
 *
 * The record's field `pair` is lockstep's, and is kept here because it must never be
 * older or newer than the eras that say which disk is right.
 */
#ifndef MIRROR_ENGINE_H
#define MIRROR_ENGINE_H

#include "mirror/message.h"
#include "mirror/remirror.h"
#include "mirror/verify.h"

#define MIRROR_ENGINE_COPY_MAX 16
#define MIRROR_ENGINE_BUFFER_SIZE MIRROR_REGION_SIZE
/* One for whatever the peer may ask at a time, for each region that is being copied, and for one that is compared. */
#define MIRROR_ENGINE_BUFFER_COUNT (MIRROR_MESSAGE_ASKED_MAX + MIRROR_ENGINE_COPY_MAX + 1)
#define MIRROR_ENGINE_VERIFY_RATE (10 * MIB) /* where none is given */

/* A slot's way over the link, in parts that a message holds. */
struct mirror_engine_asked {
	bool open;
	uint8_t under_way;   /* parts */
	uint32_t part_begin; /* sectors that have been asked for */
	int32_t status;	     /* the first part's that failed */
};

/* A round of either map: a flush of both disks, since which nothing was touched. */
struct mirror_engine_round {
	uint8_t phase; /* engine_copy.c */
	uint8_t waits; /* bit of each side whose flush has not ended */
	bool own_owed; /* our flush is to be given out */
	bool peer_owed;
	bool failed;
	bool of_copy;	 /* of the dirty map; else of the intents */
	uint64_t number; /* DUPLEX: the peer is to have ended all up to here first */
};

struct mirror_engine_set {
	bool used;
	bool decided; /* since the servers met: `decision` is the same on both */
	bool decision_untold;
	bool keep_owed; /* the peer is to be told of `keep` */
	int8_t keep;	/* whose disk an administrator said to keep, in this meeting; -1: nothing said */
	struct remirror_decision decision;
	const char *refusal;		   /* why the disk in the bay is not this set's; NULL: it is */
	char bay_serial[MIRROR_TEXT_SIZE]; /* of that disk, where it may become the set's after a word */
	uint64_t bay_sector_count;	   /* 0: it may not */
	uint64_t persist_ticket;
	bool persist_open; /* the set waits for mirror_set_persisted() */

	/* With the other server. */
	bool joined;	/* both have agreed on it in this meeting */
	bool apart;	/* but the disk in the target's bay waits for an administrator's word */
	bool maps_owed; /* we are behind: ours are to be sent, from this block on */
	uint64_t maps_next;
	bool maps_in;		 /* we are the source, and have the other's */
	uint8_t told[2];	 /* states in our last STATES */
	uint8_t heard[2];	 /* in the peer's last, if we have said nothing else since */
	uint32_t told_number;	 /* of it; 0: none was sent */
	uint32_t heard_number;	 /* of the peer's last */
	uint32_t dropped_number; /* of ours that said first that our disk is good no more */
	uint32_t kept_number;	 /* of the last of ours that the peer made durable */
	uint32_t kept_owed;	 /* of the peer's last STATES, 0: answered */
	uint64_t kept_ticket;	 /* it is answered when this is durable */
	uint64_t target_ticket;	 /* nothing is written for the peer before */
	uint64_t forwarded;	 /* TARGET: the highest of the peer's numbers that has come */
	uint64_t progress_told;
	uint64_t peer_progress; /* that came before we were DUPLEX, too */

	struct mirror_engine_asked asked[MIRROR_SLOT_MAX];
	struct mirror_engine_round round;
	uint8_t put_off; /* of the copy, for a join; engine_copy.c */
	struct remirror remirror;
	struct verify verify; /* DUPLEX; of who follows: what it has heard */
	bool verify_owed;     /* the leader is to be asked for a pass */
	bool verified_owed;   /* the follower is to be told what came of one */
	bool verify_untold;   /* that one has ended, or was stopped */
	bool verify_stopped;
	uint8_t cleared_untold; /* bit of each server: its disk's faults were taken off the record */
	void *memory;		/* the owner's */
	uint64_t copy_after_ns; /* a region could not be read: not before */
	struct mirror_set set;
};

/* What we asked of the peer, by id. */
struct mirror_engine_ask {
	uint8_t type; /* enum mirror_message_type; 0: free */
	uint8_t set;
	uint32_t slot;
	uint64_t number; /* of the slot's request; 0: a round's flush */
	uint64_t sector;
	uint32_t sector_count;
};

/* What the peer asked of us, by id. */
struct mirror_engine_served {
	uint8_t type;  /* enum mirror_message_type; 0: free */
	uint8_t phase; /* engine_serve.c */
	uint8_t set;
	bool is_void;  /* of a former meeting: nobody waits for the answer */
	bool verifies; /* OFFER: it was COMPARE */
	bool compare;
	bool compared;
	int lock;
	int32_t status;
	uint32_t crc32c;
	uint32_t sector_count;
	uint64_t sector;
	uint64_t number;
};

/* A region on its way to the peer's disk. */
struct mirror_engine_copy {
	uint8_t phase; /* engine_copy.c; 0: free */
	uint8_t set;
	bool compare;
	bool is_void; /* of a former meeting */
	uint64_t region;
	uint64_t left_out; /* as it was when the region was offered: those writes are to be in the copy */
	struct mirror_message_stamp stamp;
};

/* The region that is compared in duplex, of who leads. */
struct mirror_engine_compare {
	uint8_t phase; /* engine_verify.c; 0: free */
	uint8_t set;
	uint8_t outcome; /* enum verify_outcome, once both were read */
	bool is_void;	 /* of a duplex that has ended */
	int lock;	 /* on our disk; -1: none yet */
	uint64_t region;
	uint64_t number; /* compared as of this request */
	struct mirror_message_stamp stamp;
};

enum mirror_engine_write {
	MIRROR_ENGINE_WRITE_NONE,
	MIRROR_ENGINE_WRITE_RECORD,
	MIRROR_ENGINE_WRITE_MAP,
};

/*
 * What the servers tell each other when they meet. A meeting begins anew when the
 * stream does, and when who runs the guest changes: of a former one nothing counts.
 */
struct mirror_engine_meeting {
	bool link_up;
	uint32_t number;      /* counted since the stream began */
	uint32_t peer_number; /* of the peer's last METADATA */
	bool owed;	      /* our METADATA is to be sent; else `own` was */
	bool history_owed;    /* and our record with the era that both are to begin */
	bool met;	      /* both have told of this meeting */
	struct mirror_message_metadata own_words;
	struct mirror_message_metadata peer_words;
	struct metadata own; /* as it was sent: both decide by the same */
	struct metadata peer;
};

struct mirror_engine {
	struct metadata metadata;
	uint32_t server; /* 0: a, 1: b */
	uint64_t partition_size;
	uint64_t remirror_rate; /* bytes per second; 0: no limit */
	uint64_t verify_rate;
	uint64_t now_ns;
	uint64_t now_s; /* the server's clock */
	uint8_t mode;	/* enum mirror_mode, of all sets */
	bool join_wanted;
	uint64_t join_patience_s;
	bool leads;	   /* DUPLEX: the guest was here when it began */
	uint32_t sets_end; /* behind the last set in use: few are, and looking costs */
	struct mirror_engine_set sets[MIRROR_SET_MAX];
	struct mirror_engine_meeting meeting;
	struct mirror_engine_ask asks[MIRROR_MESSAGE_ASKED_MAX];
	uint32_t served_end; /* behind the last that is not free */
	struct mirror_engine_served served[MIRROR_MESSAGE_ASKED_MAX];
	uint32_t copies_open;
	struct mirror_engine_copy copies[MIRROR_ENGINE_COPY_MAX];
	struct mirror_engine_compare compare;
	uint8_t *buffers; /* the owner's memory */
	uint64_t room;	  /* bytes that the stream to the peer takes now */
	uint8_t message[MIRROR_MESSAGE_FIXED_MAX + METADATA_SIZE]; /* of the last SEND */
	_Alignas(8) uint8_t bytes_out[METADATA_SIZE];		   /* of the one that is being made */

	uint64_t change; /* of the record, counted */
	uint64_t change_written;
	uint64_t change_durable;
	uint64_t changed_ticket; /* no write begins before this era is durably one that was written in */

	uint8_t write; /* enum mirror_engine_write: what is under way */
	uint8_t write_set;
	bool write_is_intent;
	bool write_failed; /* told once until one succeeds */
	bool write_failure_untold;
	uint64_t write_block;
	uint64_t write_after_ns;		  /* after a failure: not before */
	_Alignas(8) uint8_t bytes[METADATA_SIZE]; /* of the write under way */
};

struct mirror_engine_disk {
	const char *serial;
	uint64_t sector_count; /* 0: there is no disk in the bay */
	bool large_sectors;    /* its own, of 4096 bytes */
	bool large_wanted;     /* a set that is new is to have them, whatever the disk has */
};

enum mirror_engine_action_kind {
	MIRROR_ENGINE_OWN = 1,	/* do `operation` on the disk of `set`, then mirror_engine_done(). Its data
				   is the guest's of `tag`, or, with `buffer` >= 0, buffer `buffer`'s, or
				   none: a flush. */
	MIRROR_ENGINE_FINISHED, /* tell the guest `status`; mirror_engine_release() follows */
	MIRROR_ENGINE_STATE,	/* `bytes` at `offset` of the state partition, durably; then
				   mirror_engine_state_written(). They stay until then. */
	MIRROR_ENGINE_EVENT,	/* for a person: `event` */
	MIRROR_ENGINE_SEND,	/* a whole message to the peer, at once: `size` bytes at `bytes`, then
				   `data_size` bytes: of buffer `buffer`, or, with `buffer` < 0, of the
				   guest's data of `tag` in `set` from byte `data_offset` on */
};

enum mirror_engine_event {
	MIRROR_EVENT_DISK_STATE = 1, /* of server `server`'s disk: `from`, `to` */
	MIRROR_EVENT_FAULT,	     /* a new fault: `fault` kind, `sector`, `status` */
	MIRROR_EVENT_REPAIRED,
	MIRROR_EVENT_CLEARED, /* an administrator has seen the faults of server `server`'s disk, which is good */
	MIRROR_EVENT_STATE_FAILED, /* the state partition cannot be written: `status`; tried again for ever */
	MIRROR_EVENT_STATE_BACK,
	MIRROR_EVENT_VERIFIED,	     /* a pass has ended: mirror_engine_status() says what it found */
	MIRROR_EVENT_VERIFY_STOPPED, /* duplex ended, or a disk went */
	MIRROR_EVENT_DECISION, /* the servers have met: mirror_engine_decision() says which disk is right */
};

struct mirror_engine_action {
	uint8_t kind; /* enum mirror_engine_action_kind */
	uint8_t set;
	uint8_t operation; /* enum mirror_operation */
	uint8_t event;	   /* enum mirror_engine_event */
	uint8_t server;	   /* whose disk */
	uint8_t from;	   /* enum mirror_disk_state */
	uint8_t to;
	uint8_t fault; /* enum metadata_fault_kind */
	uint32_t slot;
	int32_t status;
	uint64_t tag;
	uint64_t sector;
	uint32_t sector_count;
	uint32_t size;
	uint64_t offset;
	const uint8_t *bytes;
	int32_t buffer; /* -1: none */
	uint32_t data_size;
	uint64_t data_offset;
};

/* ---- start ---- */

void mirror_engine_init(struct mirror_engine *engine, uint32_t server, uint64_t partition_size);

/*
 * Numbers this start: one more than any before it, and no less than the server's clock
 * `now_s`, so that a number is never used twice even when the record was lost. Once,
 * after the load. `*ticket`: as of mirror_engine_is_durable().
 */
uint64_t mirror_engine_count_start(struct mirror_engine *engine, uint64_t now_s, uint64_t *ticket);

/*
 * The two copies of the record as read (NULL: cannot be read). True when one is in
 * force. Else `choice` says why, and only where metadata_may_initialise() may
 * mirror_engine_create() follow, also after disks were opened: nothing else is ever written
 * over. Returns a ticket.
 */
bool mirror_engine_load(struct mirror_engine *engine, const uint8_t *const copies[METADATA_COPY_COUNT],
			struct metadata_choice *choice);
uint64_t mirror_engine_create(struct mirror_engine *engine, uint64_t pair_identity);

/* Sectors of set `index`: of what is remembered, else of the disk; 0: neither is there. */
uint64_t mirror_engine_sector_count(const struct mirror_engine *engine, uint32_t index,
				    const struct mirror_engine_disk *disk);
/*
 * Does the guest see sectors of 4096 bytes? As is remembered, else as the disk has them, or as is wanted for
 * the other server's. Such a set's disks hold whole ones, and every request is of whole ones.
 */
bool mirror_engine_large_sectors(const struct mirror_engine *engine, uint32_t index,
				 const struct mirror_engine_disk *disk);
/* Bytes of `memory`, aligned to 8, for a set of so many sectors. */
uint64_t mirror_engine_memory_size(uint64_t sector_count);

/*
 * The disk that is in the bay of set `index`, lowest index first; `identity`: a random
 * number for a set that is new. Returns 0; -EEXIST: the set was known, its maps are to
 * be loaded; or -ENOSPC: the state partition has no room for its maps. A disk that does
 * not belong there leaves the set without one of its own, and what is remembered as it
 * is until the servers have met: see mirror_engine_refusal().
 */
int mirror_engine_open(struct mirror_engine *engine, uint32_t index, const struct mirror_engine_disk *disk,
		       uint64_t identity, void *memory);
const char *mirror_engine_refusal(const struct mirror_engine *engine, uint32_t index);

/*
 * The next block of a known set's maps to be read: `block` from 0 on until false. Its
 * place in the state partition is `offset`; mirror_engine_map_load() takes what is there,
 * NULL when it cannot be read.
 */
bool mirror_engine_map_place(const struct mirror_engine *engine, uint32_t index, uint64_t block,
			     uint64_t *offset);
void mirror_engine_map_load(struct mirror_engine *engine, uint32_t index, uint64_t block,
			    const uint8_t *bytes);

/* ---- what is remembered of the pair ---- */

/*
 * The guest is about to run under `pair`, alone or with the peer: an era with `token`,
 * random when alone, else one that both servers know. Returns a ticket: nothing is let
 * out before mirror_engine_is_durable().
 */
uint64_t mirror_engine_era_begin(struct mirror_engine *engine, const struct metadata_pair *pair,
				 uint64_t token, bool alone, bool overridden);
/*
 * The duplex era that we began as SOURCE is on its way to the peer: before that the pair
 * must not end the join. The peer takes it for its own when it begins one.
 */
bool mirror_engine_era_is_told(const struct mirror_engine *engine);
/* The record's pair without a new era. */
uint64_t mirror_engine_remember(struct mirror_engine *engine, const struct metadata_pair *pair);
static inline bool mirror_engine_is_durable(const struct mirror_engine *engine, uint64_t ticket)
{
	return engine->change_durable >= ticket;
}

/*
 * All sets: who runs the guest. ALONE: call mirror_engine_era_begin() first. DUPLEX: only
 * when mirror_engine_may_join() and no request is under way; numbers begin anew on both.
 * IDLE: the guest is gone. SOURCE and TARGET come by themselves when the servers have met
 * and one runs the guest ALONE, and go when the link does.
 */
void mirror_engine_mode(struct mirror_engine *engine, enum mirror_mode mode);

/* ---- the other server ---- */

/*
 * The stream to the other server began, or has broken: what was in it is gone. In order,
 * nothing lost, nothing twice; it takes up where it was after a failed link. The
 * kernel's is the channel's disk stream, up while the channel is connected.
 */
void mirror_engine_link(struct mirror_engine *engine, bool up);

/*
 * Before the first link: MIRROR_ENGINE_BUFFER_COUNT buffers of MIRROR_ENGINE_BUFFER_SIZE
 * in a row, the owner's for ever and within its disks' reach. They hold what comes from
 * the peer and goes there, so that no message waits for memory: the guest's own data
 * stays in the owner's.
 */
void mirror_engine_buffers(struct mirror_engine *engine, void *buffers);

/* So many bytes the stream takes from now on: no SEND is larger than what is left of them. */
void mirror_engine_room(struct mirror_engine *engine, uint64_t bytes);

/* Data that has come for the guest: `size` bytes at `bytes` go to `offset` of that of `tag` in `set`. */
struct mirror_engine_data {
	const uint8_t *bytes;
	uint64_t size; /* 0: none */
	uint64_t offset;
	uint64_t tag;
	uint32_t set;
};

/*
 * What has come and was not consumed yet, from its first byte: at most one message is
 * taken. Returns its bytes, which are consumed; 0: it is not whole yet (it has at most
 * MIRROR_MESSAGE_MAX bytes); -EINVAL: no sound peer says that: the link is to be given up.
 * `data` is to be copied before the next call.
 */
int64_t mirror_engine_receive(struct mirror_engine *engine, const uint8_t *bytes, uint64_t size,
			      struct mirror_engine_data *data);

/* Which disk of set `index` is right, as both servers find; NULL: they have not met. */
const struct remirror_decision *mirror_engine_decision(const struct mirror_engine *engine, uint32_t index);

/*
 * An administrator's word after a decision of SPLIT, FULL or NO_SOURCE: the disk of server `server`
 * is right, and the other is written over. After a FULL the servers are together without that disk
 * until then, in duplex as well. After a SPLIT it is the word for all sets; after a
 * NO_SOURCE the servers meet anew, and that disk is a whole one. NULL, or a line that says why not.
 */
const char *mirror_engine_keep(struct mirror_engine *engine, uint32_t index, uint32_t server);

/*
 * Bytes that a remirror may copy in a second while the guest uses that disk, 0: as many as it
 * can (which holds without this), and that a comparison may read, not 0. From now on.
 */
void mirror_engine_rates(struct mirror_engine *engine, uint64_t remirror_bytes, uint64_t verify_bytes);

/* ---- a turn ---- */

/* The guest's next request, as mirror_set_submit(). `tag` is the owner's, below 2^63. */
int mirror_engine_submit(struct mirror_engine *engine, uint32_t index, enum mirror_operation operation,
			 uint64_t sector, uint32_t sector_count, uint64_t tag);
/* An OWN action ended: 0, or the disk's error. `slot` is the action's. */
void mirror_engine_done(struct mirror_engine *engine, uint32_t index, uint32_t slot, int status);
/*
 * FOLLOWER: the log says that the leader has ended the request of `slot` well. It may be told
 * before PROGRESS is, and after the leader's death by nobody else.
 */
void mirror_engine_peer_done(struct mirror_engine *engine, uint32_t index, uint32_t slot);
void mirror_engine_release(struct mirror_engine *engine, uint32_t index, uint32_t slot);
void mirror_engine_state_written(struct mirror_engine *engine, int status);
/* `now_s`: the server's clock, for what a person is shown. */
void mirror_engine_tick(struct mirror_engine *engine, uint64_t now_ns, uint64_t now_s);
bool mirror_engine_take(struct mirror_engine *engine, struct mirror_engine_action *action);

/*
 * Are every set's disks whole, or one is and the other has failed, is not there, or has been put off? That one
 * is remirrored in duplex.
 */
bool mirror_engine_may_join(const struct mirror_engine *engine);

/*
 * SOURCE: nothing but our disks stands in a join's way, or one goes on. A remirror that would take longer than
 * `patience_s` more, 0: any, is put off until duplex; what has been copied stays so. From now on.
 */
void mirror_engine_want_join(struct mirror_engine *engine, bool wanted, uint64_t patience_s);

/* Are all disks of server `server` whole, as both servers were last told? */
bool mirror_engine_is_current(const struct mirror_engine *engine, uint32_t server);

/* ---- console ---- */

/* Does it, and returns NULL, or says in a line why not. `server`: whose disk. */
const char *mirror_engine_command(struct mirror_engine *engine, uint32_t index, enum mirror_command command,
				  uint32_t server);

struct mirror_engine_status {
	uint8_t states[2]; /* enum mirror_disk_state, of a's and b's disk */
	uint64_t sector_count;
	uint64_t dirty_bytes; /* that the other disk lacks */
	uint64_t faults[2];   /* kept, of a's and b's disk */
	uint64_t repaired;
	const char *refusal;
	bool copying;		   /* a remirror goes on, and we are its source */
	uint32_t percent;	   /* of it */
	uint64_t remaining_s;	   /* estimated; UINT64_MAX: not known yet */
	uint64_t bytes_copied;	   /* of it, or the last one */
	uint64_t regions_compared; /* likewise */
	bool verifying;
	uint32_t verify_percent;
	uint64_t verified_time_s;     /* when the last whole pass ended, 0: never; the server's clock */
	uint64_t verified_mismatches; /* regions that differed in it */
	uint64_t verified_unreadable;
};

/* False: there is no such set. */
bool mirror_engine_status(const struct mirror_engine *engine, uint32_t index,
			  struct mirror_engine_status *status);

#endif
