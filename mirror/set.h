/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One mirror set as one server sees it: its own disk, the peer's, and the requests
 * under way. Pure: the owner gives what happened and takes actions until there are none.
 *
 *     mode      who runs the guest      where a write goes
 *     ALONE     we                      own disk; dirty bit durable first
 *     SOURCE    we; the peer copies     own disk and, over the link, the peer's (see `trails`)
 *     DUPLEX    both                    own disk; the peer's replica writes its own
 *     TARGET    the peer                what it forwards goes to our disk
 *
 * Before a write begins, a bit of its regions is durable here: of the write-intent map
 * when the peer's disk gets the write as well and is to be trusted afterwards, else of
 * the dirty map. That is the one rule from which a later copy knows what to copy.
 *
 * Requests are numbered in the order in which the guest made them, so both replicas
 * number alike. One that overlaps an earlier one waits for it, unless both read. A slot
 * is held until mirror_set_release(): in duplex the completion's place in the log. There
 * a read is held on until the peer has ended it, too: if its disk fails to read, ours
 * must not have been written over.
 *
 * A change of disk states is durable before any request that relied on it finishes.
 */
#ifndef MIRROR_SET_H
#define MIRROR_SET_H

#include "mirror/intent.h"

#define MIRROR_SLOT_MAX 128
#define MIRROR_LOCK_MAX 16
#define MIRROR_ACTION_MAX 32

enum mirror_mode {
	MIRROR_IDLE, /* nobody runs a guest here, or forwards */
	MIRROR_ALONE,
	MIRROR_SOURCE,
	MIRROR_DUPLEX,
	MIRROR_TARGET,
};

enum mirror_operation {
	MIRROR_READ,
	MIRROR_WRITE,
	MIRROR_FLUSH,
};

/* What changes a disk's state. */
enum mirror_change {
	MIRROR_FOUND,	/* the disk is there (again): known to lack something until shown otherwise */
	MIRROR_IN_STEP, /* generations show that it lacks nothing */
	MIRROR_GONE,
	MIRROR_FAULT, /* an I/O error that could not be repaired */
	MIRROR_ADMIN_FAIL,
	MIRROR_ADMIN_ENABLE,
	MIRROR_BEHIND, /* the other disk is written without it */
	MIRROR_COPY_BEGIN,
	MIRROR_COPY_END,    /* all copied and flushed */
	MIRROR_COPY_BROKEN, /* source or link went, or the administrator stopped it */
	MIRROR_CHANGE_COUNT,
};

enum mirror_phase {
	MIRROR_FREE,
	MIRROR_QUEUED,	     /* behind an overlap, a lock, or a map block */
	MIRROR_RUNNING,	     /* `waits` says for whom */
	MIRROR_REPAIR_READ,  /* own read failed: the peer's data is awaited */
	MIRROR_REPAIR_WRITE, /* and written over what is bad */
	MIRROR_ENDING,	     /* its state change is not durable yet, or FINISHED is not taken */
	MIRROR_HELD,	     /* FINISHED was taken */
	MIRROR_TRAILING,     /* a write that is over, but for the disk that is being remirrored */
	MIRROR_WATCHED,	     /* DUPLEX: a read that is over, but for the peer, who may need our disk for it */
};

struct mirror_slot {
	uint64_t number; /* of the guest's request */
	uint64_t tag;	 /* the owner's */
	uint64_t sector;
	uint32_t sector_count;
	int32_t status;
	uint8_t operation; /* enum mirror_operation */
	uint8_t phase;	   /* enum mirror_phase */
	uint8_t waits;	   /* bit of each enum mirror_side still to answer */
	uint8_t done;	   /* bit of each side on which a write or flush succeeded */
	uint8_t issued;	   /* bit of each side that was asked */
	uint8_t is_sent;   /* all of it is on its way to the peer */
	uint8_t intent_counted;
	uint8_t failure_told; /* to the peer */
	uint8_t peer_failed;  /* DUPLEX: the peer says that its disk has not done it */
};

/* A range that nobody may write meanwhile: a copy or a comparison. */
struct mirror_lock {
	uint64_t sector; /* count 0: free */
	uint64_t sector_count;
	uint64_t number; /* holds back requests behind this one */
};

enum mirror_action_kind {
	MIRROR_ACTION_OWN = 1,	/* do `operation` on our disk, then mirror_set_done(slot, MIRROR_OWN, ...) */
	MIRROR_ACTION_PEER,	/* have the peer's disk do it, then mirror_set_done(slot, MIRROR_PEER, ...) */
	MIRROR_ACTION_PERSIST,	/* make both disk states durable, on the peer too if it is there; then
				   mirror_set_persisted() */
	MIRROR_ACTION_FINISHED, /* of `slot`: tell the guest `status`; mirror_set_release() follows */
	MIRROR_ACTION_STATE,	/* event: the disk of `side` became `to`; the peer is told set->states, the
				   latest */
	MIRROR_ACTION_FAULT,	/* event: `operation` failed on the disk of `side`: `status`, `sector` */
	MIRROR_ACTION_REPAIRED, /* event: `sector` on our disk was written anew from the peer's */
};

struct mirror_action {
	uint8_t kind;	   /* enum mirror_action_kind */
	uint8_t operation; /* enum mirror_operation */
	uint8_t side;	   /* enum mirror_side */
	uint8_t from;	   /* STATE */
	uint8_t to;
	uint8_t reserved[3];
	uint32_t slot;
	int32_t status;
	uint64_t tag;
	uint64_t sector;
	uint32_t sector_count;
	uint32_t reserved2;
};

/*
 * How far a remirror of the peer's disk from ours has come (remirror.h): for each region a bit.
 * One that is neither will be copied yet, so the peer need not get what is written there.
 */
struct mirror_reach {
	uint64_t *offered;
	uint64_t *copied;      /* since the last clearing, or written on both since it was clean */
	uint64_t copied_count; /* copied, dirty bit still set */
	uint64_t left_out;     /* requests up to here may have begun without the peer, and are in the copy */
};

struct mirror_set {
	uint64_t sector_count;
	uint8_t mode;			   /* enum mirror_mode */
	uint8_t states[MIRROR_SIDE_COUNT]; /* enum mirror_disk_state */
	bool peer_lost;			   /* the link is gone, and nobody knows yet who goes on */
	bool persisting;		   /* a PERSIST was taken and not answered */
	bool persist_wanted;		   /* states differ from those being made durable */
	/*
	 * SOURCE, while the peer's disk is remirrored: a write ends when our disk has it and all of it has
	 * been sent, a flush when our disk has flushed. The dirty map tells of either until a round after
	 * it, so that disk is no worse for being late. Before it is called good nothing may trail any
	 * more, and a flush of it must have followed.
	 */
	bool trails;
	uint64_t last_number;
	uint64_t last_request_ns; /* when it came */
	uint64_t peer_done;	  /* DUPLEX: every request up to here has ended on the peer */
	uint64_t lacked_number;	  /* DUPLEX: the last request that our disk, the last good copy, has failed */
	struct region_map dirty;
	struct intent intent;
	struct mirror_reach reach;
	uint32_t slots_end; /* behind the last one in use: most often few are, and looking costs */
	struct mirror_slot slots[MIRROR_SLOT_MAX];
	struct mirror_lock locks[MIRROR_LOCK_MAX];
	uint32_t action_first; /* events; other actions come from the slots */
	uint32_t action_count;
	uint32_t events_lost; /* did not fit: told with the next */
	struct mirror_action actions[MIRROR_ACTION_MAX];
	uint64_t repaired;
	uint64_t faults[MIRROR_SIDE_COUNT];
};

struct mirror_set_memory {
	void *dirty;  /* region_map_memory_size() */
	void *intent; /* intent_memory_size() */
};

/* IDLE, with the states that the metadata holds. Both maps are then loaded, or formatted. */
void mirror_set_init(struct mirror_set *set, uint64_t identity, uint64_t sector_count,
		     enum mirror_disk_state own, enum mirror_disk_state peer,
		     const struct mirror_set_memory *memory);

/*
 * The mode changes. To ALONE: the peer went (the pair has made that durable): whatever
 * waits for it ends without it, its disk is behind, and all intents become dirty. To
 * IDLE: nobody waits for it, either, and what has not begun does not begin.
 */
void mirror_set_mode(struct mirror_set *set, enum mirror_mode mode);

/*
 * The link is gone. Until the mode changes, whoever waits for the peer goes on waiting; but
 * our own disk is not given up for one that may be lost.
 */
void mirror_set_peer_lost(struct mirror_set *set);

/* Is no disk at work for any request? */
bool mirror_set_is_quiet(const struct mirror_set *set);

/*
 * May the peer's disk be remirrored from ours? In duplex not while its replica may still make a write
 * that ours has not done: it would land on what was copied, and nothing tells of it.
 */
bool mirror_set_may_copy(const struct mirror_set *set);

/* Does the peer's disk still lack the end of a write that is over? */
bool mirror_set_is_trailed(const struct mirror_set *set);

/*
 * The servers have met, and agreed whose disk is right: ours is the source, or the other
 * is. `other`: what the disk that is not right is: OUTDATED, FAILED or MISSING.
 */
void mirror_set_meet(struct mirror_set *set, bool is_source, enum mirror_disk_state other);

/*
 * Both disks were given up at once, each because the other one was there; the peer's is `peer`.
 * `keeps_own`: ours is the last good copy then, as it would have been had the other one failed
 * first. What waits for the peer's ends with an error, or is done on ours.
 */
void mirror_set_both_failed(struct mirror_set *set, bool keeps_own, enum mirror_disk_state peer);

/*
 * Nobody runs a guest, and neither disk is whole: an administrator says that the disk of `right`
 * is to be taken for whole all the same, and what only the other one holds is given up.
 */
void mirror_set_word(struct mirror_set *set, enum mirror_side right);

/* Before DUPLEX, on who joins, with no request under way: the source's last number. */
void mirror_set_join(struct mirror_set *set, uint64_t number);

/*
 * The guest's next request, or, in TARGET, a forwarded one. Returns its slot; -EINVAL: not
 * inside the disk; -EAGAIN: no slot is free.
 */
int mirror_set_submit(struct mirror_set *set, enum mirror_operation operation, uint64_t sector,
		      uint32_t sector_count, uint64_t tag, uint64_t now_ns);

/* The next action. Also after map blocks were written: those let requests begin. */
bool mirror_set_take(struct mirror_set *set, struct mirror_action *action, uint64_t now_ns);

/*
 * What an OWN or PEER action came to: 0 or an error. -EBADMSG for an own read: its
 * checksum differs from the leader's, so the peer's data is the right one.
 */
void mirror_set_done(struct mirror_set *set, uint32_t slot, enum mirror_side side, int status);
/* All of a PEER write has been given to the link: its data is not needed for that any more. */
void mirror_set_sent(struct mirror_set *set, uint32_t slot);
void mirror_set_persisted(struct mirror_set *set);
/* The completion has its place in the guest's stream. */
void mirror_set_release(struct mirror_set *set, uint32_t slot);

/* DUPLEX: up to which number has all ended here, reads as well? Told to the peer now and then. */
uint64_t mirror_set_progress(const struct mirror_set *set);
void mirror_set_peer_progress(struct mirror_set *set, uint64_t number);
/*
 * DUPLEX: a write or flush that ended here with an error, 0: none is untold. Progress stays below it
 * until it is told: the peer may count on our disk for it.
 */
uint64_t mirror_set_failure(const struct mirror_set *set);
void mirror_set_failure_told(struct mirror_set *set, uint64_t number);
void mirror_set_peer_failure(struct mirror_set *set, uint64_t number);

/*
 * A disk's state changes. False: not possible from the state it is in, or it is the last
 * good copy and `change` is no loss of it. The peer's is told by its server, or follows
 * from what it answers.
 */
bool mirror_set_change(struct mirror_set *set, enum mirror_side side, enum mirror_change change);

/* A write or flush that is none of the guest's failed on a disk: a fault, and that disk's end. */
void mirror_set_fault(struct mirror_set *set, enum mirror_side side, enum mirror_operation operation,
		      uint64_t sector, uint32_t sector_count, int status);

/* Only tells of it. */
void mirror_set_tell_fault(struct mirror_set *set, enum mirror_side side, enum mirror_operation operation,
			   uint64_t sector, uint32_t sector_count, int status);

/* A range of our disk was written anew from the peer's. */
void mirror_set_tell_repaired(struct mirror_set *set, uint64_t sector, uint32_t sector_count);

/* Is it the only disk that holds everything and can be reached? */
bool mirror_set_is_last(const struct mirror_set *set, enum mirror_side side);

/*
 * Keeps requests numbered above `number` from writing a range, from now on until it is unlocked,
 * whatever the mode. Returns the lock; -ESTALE: a later one has begun: choose a later number;
 * -ENOSPC: too many locks.
 */
int mirror_set_lock(struct mirror_set *set, uint64_t sector, uint64_t sector_count, uint64_t number);
/* Have all those up to its number been made, and ended where they write there? */
bool mirror_set_lock_holds(const struct mirror_set *set, int lock);
void mirror_set_unlock(struct mirror_set *set, int lock);
/* Have all writes up to `number` ended on our disk? Then it may be read for a copy of that stamp. */
bool mirror_set_has_all(const struct mirror_set *set, uint64_t number);
/*
 * DUPLEX: may a range of our disk be read for the peer's request `number`? 0; -EAGAIN: we
 * have not all writes before it yet; -ESTALE: a later one has begun to write there.
 */
int mirror_set_may_read(const struct mirror_set *set, uint64_t sector, uint64_t sector_count,
			uint64_t number);

/* A clearing round of intents begins: whatever writes have not ended count as touched. */
void mirror_set_round_begin(struct mirror_set *set, uint64_t now_ns);

/* ---- console ---- */

enum mirror_command {
	MIRROR_COMMAND_FAIL,
	MIRROR_COMMAND_ENABLE,
	MIRROR_COMMAND_REMIRROR, /* of the disk of `side`, from the other */
	MIRROR_COMMAND_VERIFY,
};

/* Why a command cannot be done: a line for a person; NULL: it can. */
const char *mirror_set_refusal(const struct mirror_set *set, enum mirror_command command,
			       enum mirror_side side);
const char *mirror_disk_state_name(enum mirror_disk_state state);

#endif
