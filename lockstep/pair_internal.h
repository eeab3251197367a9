/* SPDX-License-Identifier: Apache-2.0 */
/* Between pair.c (roles) and pair_guest.c (the guest's side); nobody else includes it. */
#ifndef LOCKSTEP_PAIR_INTERNAL_H
#define LOCKSTEP_PAIR_INTERNAL_H

#include "lockstep/pair.h"

/* A new action at the end of the queue, zeroed but for its kind. */
struct pair_action *pair_action_add(struct pair *pair, enum pair_action_kind kind);

/* Changes the role and tells it as an action; ASSERTs that the change is a legal one. */
void pair_change_role(struct pair *pair, enum pair_role to, const char *reason);

/* Puts a message on the control stream; false when there is no room: the peer has not read for long. */
bool pair_send(struct pair *pair, enum message_type type, const void *body, uint32_t size);
bool pair_send_text(struct pair *pair, enum message_type type, const char *text);
void pair_send_identity(struct pair *pair);

/* Moves what has come of the log to the follower. */
void pair_pump_log(struct pair *pair);

/* MESSAGE_TRAIL has come, with `count` fields that lie behind `body`. */
void pair_receive_trail(struct pair *pair, const uint8_t *body, uint32_t size);

#endif
