/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the engine share; nobody else includes it. */
#ifndef MIRROR_ENGINE_INTERNAL_H
#define MIRROR_ENGINE_INTERNAL_H

#include "mirror/engine.h"

/* ---- engine.c ---- */

uint64_t engine_record_changed(struct mirror_engine *engine);
/* Whose writes the other server's disk does not get: durably known before the first of them. */
void engine_era_is_written_in(struct mirror_engine *engine);

static inline struct metadata_set *engine_known(struct mirror_engine *engine, uint32_t index)
{
	return &engine->metadata.sets[index];
}

static inline uint32_t engine_server_of(const struct mirror_engine *engine, uint8_t side)
{
	return side == MIRROR_OWN ? engine->server : 1 - engine->server;
}

/* ---- engine_link.c: the meeting, and what goes out when ---- */

/* Who runs the guest has changed: what follows is of a new meeting. */
void engine_meeting_begin(struct mirror_engine *engine);
bool engine_link_take(struct mirror_engine *engine, struct mirror_engine_action *action);

#endif
