/* SPDX-License-Identifier: Apache-2.0 */
/* The mirror engine's messages on the disk stream of the pair's channel. */
#ifndef KERNEL_MIRROR_LINK_H
#define KERNEL_MIRROR_LINK_H

#include "lockstep/channel.h"
#include "mirror/engine.h"

/* Where `size` bytes at most of the guest's data of request `tag` are, from byte `offset` on; shortens `*size`. */
typedef uint8_t *(*mirror_link_data)(uint32_t set, uint64_t tag, uint64_t offset, uint64_t *size);

/* Start-up: takes memory for what is under way. 0 or -ENOMEM. `engine` stays. */
int mirror_link_init(struct mirror_engine *engine, mirror_link_data data);

/*
 * Each turn, before the engine's: `channel` leads to the other server, which is known and
 * sound; NULL: there is none at present.
 */
void mirror_link_follow(struct channel *channel);

/* Gives the engine what has come. True when something has. */
bool mirror_link_receive(void);

/* Where the engine's buffer `buffer` is for a disk; < 0: nowhere. */
uint64_t mirror_link_buffer(int32_t buffer);

/* A SEND action. */
void mirror_link_send(const struct mirror_engine_action *action);

#endif
