/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the engine share; nobody else includes it. */
#ifndef MIRROR_ENGINE_INTERNAL_H
#define MIRROR_ENGINE_INTERNAL_H

#include "mirror/engine.h"

/* Slots of OWN actions that are none of a set's. */
#define ENGINE_SLOT_SERVED MIRROR_SLOT_MAX
#define ENGINE_SLOT_COPY (ENGINE_SLOT_SERVED + MIRROR_MESSAGE_ASKED_MAX)
#define ENGINE_SLOT_COMPARE (ENGINE_SLOT_COPY + MIRROR_ENGINE_COPY_MAX)
#define ENGINE_SLOT_FLUSH (ENGINE_SLOT_COMPARE + 1)

/* Tags of forwarded requests: with their ids. */
#define ENGINE_TAG_SERVED BIT(63)

/* Ids of what we ask from here on are those of copies. */
#define ENGINE_ID_COPIES (MIRROR_MESSAGE_ASKED_MAX - MIRROR_ENGINE_COPY_MAX)
/* And before them that of a region that is compared. */
#define ENGINE_ID_COMPARE (ENGINE_ID_COPIES - 1)

/* ---- engine.c ---- */

uint64_t engine_record_changed(struct mirror_engine *engine);
/* The record says what the set does. Returns the ticket. */
uint64_t engine_states_remember(struct mirror_engine *engine, uint32_t index);
/* Whose writes the other server's disk does not get: durably known before the first of them. */
void engine_era_is_written_in(struct mirror_engine *engine);
/* Tells sets of changes that are durable by now, on the peer as well if it is to know. */
void engine_persisted(struct mirror_engine *engine);
/* The modes of all sets. */
void engine_mode_set(struct mirror_engine *engine, enum mirror_mode mode);
/* The set becomes the peer's of the same index, both maps empty. */
void engine_set_adopt(struct mirror_engine *engine, uint32_t index);

static inline struct metadata_set *engine_known(struct mirror_engine *engine, uint32_t index)
{
	return &engine->metadata.sets[index];
}

static inline uint32_t engine_server_of(const struct mirror_engine *engine, uint8_t side)
{
	return side == MIRROR_OWN ? engine->server : 1 - engine->server;
}

static inline uint8_t *engine_buffer(const struct mirror_engine *engine, uint32_t buffer)
{
	return engine->buffers + buffer * MIRROR_ENGINE_BUFFER_SIZE;
}

/* ---- engine_link.c: the meeting, and what goes out when ---- */

/* Who runs the guest has changed: what follows is of a new meeting. */
void engine_meeting_begin(struct mirror_engine *engine);
bool engine_link_take(struct mirror_engine *engine, struct mirror_engine_action *action);
/* Has the peer, where it is there, both states of the set durable? */
bool engine_peer_keeps_states(const struct mirror_engine *engine, uint32_t index);

/* ---- engine_serve.c: what the other server asks of our disks ---- */

/* forget: nothing that was asked or answered so far counts. quiet: no disk is at work for it. */
void engine_serve_forget(struct mirror_engine *engine);
bool engine_serve_is_quiet(const struct mirror_engine *engine);
/* WRITE, READ, FLUSH, OFFER, COPY, LEAVE. -EINVAL: no sound peer says that now. */
int engine_serve_receive(struct mirror_engine *engine, const struct mirror_message *message,
			 const uint8_t *data);
/* A disk request for one of them; engine_serve_done() follows. */
bool engine_serve_take(struct mirror_engine *engine, struct mirror_engine_action *action);
void engine_serve_done(struct mirror_engine *engine, uint32_t id, int status);
/* TARGET: a forwarded write has gone through the set. */
void engine_serve_finished(struct mirror_engine *engine, uint32_t id, int status);
/* The next answer; engine_serve_answered() when it is on its way. */
bool engine_serve_answer(struct mirror_engine *engine, struct mirror_message *message,
			 struct mirror_engine_action *action);
void engine_serve_answered(struct mirror_engine *engine, uint32_t id);

/* ---- engine_ask.c: what we ask of the other server's disks ---- */

void engine_ask_forget(struct mirror_engine *engine);
/* The set wants the peer's disk to do what `slot` says. */
void engine_ask(struct mirror_engine *engine, uint32_t index, uint32_t slot);
/* The next question; engine_ask_sent() when it is on its way. */
bool engine_ask_send(struct mirror_engine *engine, struct mirror_message *message,
		     struct mirror_engine_action *action);
void engine_ask_sent(struct mirror_engine *engine, const struct mirror_message *message, uint32_t slot);
/* DONE, DATA. */
int engine_ask_answered(struct mirror_engine *engine, const struct mirror_message *message,
			const uint8_t *bytes, struct mirror_engine_data *data);

/* ---- engine_copy.c: remirrors, and rounds of both maps ---- */

void engine_copy_forget(struct mirror_engine *engine);
bool engine_copy_is_quiet(const struct mirror_engine *engine);
/* Once a turn: begins and ends remirrors and rounds. */
void engine_copy_step(struct mirror_engine *engine);
/* A disk request; engine_copy_done() follows, or, of a flush, engine_round_flushed(). */
bool engine_copy_take(struct mirror_engine *engine, struct mirror_engine_action *action);
void engine_copy_done(struct mirror_engine *engine, uint32_t copy, int status);
void engine_round_flushed(struct mirror_engine *engine, uint32_t index, enum mirror_side side, int status);
int engine_copy_stamp(struct mirror_engine *engine, const struct mirror_message *message);
int engine_copy_answered(struct mirror_engine *engine, const struct mirror_message *message);
bool engine_copy_send(struct mirror_engine *engine, struct mirror_message *message,
		      struct mirror_engine_action *action);
void engine_copy_sent(struct mirror_engine *engine, const struct mirror_message *message);

/* ---- engine_verify.c: comparing both disks in duplex ---- */

void engine_verify_forget(struct mirror_engine *engine);
bool engine_verify_is_quiet(const struct mirror_engine *engine);
/* Once a turn. */
void engine_verify_step(struct mirror_engine *engine);
/* An administrator wants a pass, and the set has nothing against it. */
const char *engine_verify_command(struct mirror_engine *engine, uint32_t index);
/* A disk request; engine_verify_done() follows. */
bool engine_verify_take(struct mirror_engine *engine, struct mirror_engine_action *action);
void engine_verify_done(struct mirror_engine *engine, int status);
/* STAMP; and DONE or DATA. */
int engine_verify_stamp(struct mirror_engine *engine, const struct mirror_message *message);
int engine_verify_answered(struct mirror_engine *engine, const struct mirror_message *message,
			   const uint8_t *bytes);
/* COMPARE, COPY, LEAVE, FETCH; engine_verify_sent() when it is on its way. */
bool engine_verify_send(struct mirror_engine *engine, struct mirror_message *message,
			struct mirror_engine_action *action);
void engine_verify_sent(struct mirror_engine *engine);
/* VERIFY, VERIFIED of one set; engine_verify_made() when it is on its way. */
bool engine_verify_make(const struct mirror_engine *engine, uint32_t index, struct mirror_message *message);
void engine_verify_made(struct mirror_engine *engine, uint32_t index);
void engine_verify_asked(struct mirror_engine *engine, uint32_t index);
void engine_verify_follow(struct mirror_engine *engine, uint32_t index, uint64_t region);
void engine_verify_ended(struct mirror_engine *engine, uint32_t index, const struct mirror_message *message);

/* The disk in the bay becomes the set's: from here on it is remembered. */
void engine_bay_take(struct mirror_engine *engine, uint32_t index);
/* The set goes on without the disk in the bay, which may become its own after a word. */
void engine_bay_leave(struct mirror_engine *engine, uint32_t index, bool forget);

#endif
