#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Plants known bugs of mirrored disks, one at a time: the mirror simulator must find each. See mutations.py."""
import sys

import mutations

SEEDS = 30000  # three of these need more than 2,000; the rest are found at once

# name: (file, text as it stands, text as it must not be)
MUTATIONS = {
    "copy anew before the other has heard of a write that failed": (
        "mirror/set.c",
        "(set->mode != MIRROR_DUPLEX || set->peer_done >= set->lacked_number)",
        "true",
    ),
    "put a copy off while regions are on their way": (
        "mirror/engine_copy.c",
        "	return !is_being_copied(engine, index) && at->round.phase == ROUND_NONE && at->round.waits == 0;",
        "	return at->round.phase == ROUND_NONE && at->round.waits == 0;",
    ),
    "join before the copy is put off": (
        "mirror/engine.c",
        "		if (!at->joined || at->remirror.phase != REMIRROR_IDLE || at->set.persisting ||",
        "		if (!at->joined || at->set.persisting ||",
    ),
    # the three that take the longest
    "call the target good while it trails": (
        "mirror/remirror.c",
        "	if (set->trails)\n		set->trails = false;\n	else\n",
        "	set->trails = false;\n",
    ),
    "finish before the other server knows that a disk is dropped": (
        "mirror/engine_link.c",
        "	return memcmp(at->told, at->set.states, sizeof(at->told)) == 0 && at->kept_number == at->told_number;",
        "	return true;",
    ),
    "end the last round while the target trails": (
        "mirror/remirror.c",
        "if (!set->trails && mirror_set_is_trailed(set))",
        "if (!set->trails && remirror->word_count == 0)",
    ),
    # the rest
    "leave out what began before our disk was remirrored": (
        "mirror/set.c",
        "	if (side == MIRROR_OWN && change == MIRROR_COPY_BEGIN)\n",
        "	if (side == MIRROR_OWN && change == MIRROR_COPY_BEGIN && set->mode == MIRROR_IDLE)\n",
    ),
    "write alone before the dirty bit is durable": (
        "mirror/set.c",
        "return region_map_is_durable(&set->dirty, first, count);",
        "return true;",
    ),
    "write in duplex before the intent is durable": (
        "mirror/set.c",
        "	return intent_begin_write(&set->intent, first, count, now_ns);",
        "	intent_begin_write(&set->intent, first, count, now_ns);\n	return true;",
    ),
    "clear the dirty map on rejoin": (
        "mirror/remirror.c",
        "	remirror->phase = REMIRROR_COPYING;\n	remirror->total",
        "	for (uint64_t r = 0; r < set->dirty.region_count; r++)\n		region_map_clear(&set->dirty, r);\n"
        "	remirror->phase = REMIRROR_COPYING;\n	remirror->total",
    ),
    "leave out what the target was writing in its last moments": (
        "mirror/remirror.c",
        "	for (uint64_t i = 0; i < REGION_MAP_SECTOR_REGIONS && first + i < map->region_count; i++)",
        "	for (uint64_t i = 0; !is_intent && i < REGION_MAP_SECTOR_REGIONS && first + i < map->region_count; i++)",
    ),
    "clear a region that was written since it was copied": (
        "mirror/remirror.c",
        "remirror->round[word] & ~set->intent.touched[word];",
        "remirror->round[word];",
    ),
    "do not order requests that overlap": (
        "mirror/set.c",
        "if (other->phase != MIRROR_FREE && other->number < slot->number &&",
        "if (other->phase == MIRROR_QUEUED && other->number < slot->number &&",
    ),
    "end a flush when one disk has flushed": (
        "mirror/set.c",
        "	if (slot->operation == MIRROR_FLUSH ||\n	    (slot->operation == MIRROR_WRITE &&",
        "	if ((slot->operation == MIRROR_WRITE &&",
    ),
    "copy from the one that stopped": (
        "mirror/remirror.c",
        "wrote[0] && wrote[1] ? (uint32_t)keep : wrote[1];",
        "wrote[0] && wrote[1] ? (uint32_t)keep : wrote[0];",
    ),
    "clear an intent that was touched in the round": (
        "mirror/intent.c",
        "if (intent->touched[region / 64] & BIT(region % 64))",
        "if (intent->touched[region / 64] == UINT64_MAX)",
    ),
    "forget writes that are under way when a round begins": (
        "mirror/set.c",
        "		if (slot->phase != MIRROR_FREE && slot->operation == MIRROR_WRITE)\n			intent_touch(",
        "		if (set->mode == MIRROR_IDLE)\n			intent_touch(",
    ),
    "flush the target only before a dirty bit goes": (
        "mirror/engine_copy.c",
        "	round->own_owed = true;\n	round->waits = (uint8_t)(BIT(MIRROR_PEER) | BIT(MIRROR_OWN));",
        "	round->own_owed = false;\n	round->waits = BIT(MIRROR_PEER);",
    ),
    "copy before what began without the target has ended": (
        "mirror/engine_copy.c",
        "max_u64(copy->stamp.number, copy->left_out)",
        "copy->stamp.number",
    ),
    "try a record that failed again in the other place": (
        "mirror/engine.c",
        "		engine->metadata.sequence--;",
        "		engine->metadata.sequence -= 0;",
    ),
    "end a write before its data is sent": (
        "mirror/set.c",
        "		   slot->operation == MIRROR_WRITE && slot->is_sent && peer_trails(set)) {",
        "		   slot->operation == MIRROR_WRITE && peer_trails(set)) {",
    ),
    "leave out a write where the copy has been": (
        "mirror/set.c",
        "is_sent_to_copy(set) &&\n	       !is_reached(set, first_region(slot), region_count(slot));",
        "is_sent_to_copy(set);",
    ),
    "take for alike what the target wrote by itself": (
        "mirror/set.c",
        "bool stays_alike = is_sent_to_copy(set);",
        "bool stays_alike = set->states[MIRROR_PEER] == MIRROR_REMIRRORING;",
    ),
    "let the target's writes overtake each other": (
        "mirror/set.c",
        "(other->phase != MIRROR_TRAILING || slot->operation != MIRROR_READ) &&",
        "other->phase != MIRROR_TRAILING &&",
    ),
    "free a read that the other server may still need": (
        "mirror/set.c",
        "else if (set->mode == MIRROR_DUPLEX && slot->operation == MIRROR_READ &&",
        "else if (set->mode == MIRROR_IDLE && slot->operation == MIRROR_READ &&",
    ),
    "unlock a region before it is copied": (
        "mirror/engine_serve.c",
        "	served->type = MIRROR_MESSAGE_COPY;\n",
        "	served->type = MIRROR_MESSAGE_COPY;\n	unlock(engine, served);\n",
    ),
    "let the target keep its own past": (
        "mirror/engine_link.c",
        "	own->era_count = peer->era_count - 1;",
        "	own->era_count = peer->era_count;",
    ),
    "call the target good before the last intents are durable": (
        "mirror/remirror.c",
        "if (!is_durable_in_intents(set))",
        "if (set->dirty.set_count > set->dirty.region_count)",
    ),
    "copy all where a rapid copy is possible": (
        "mirror/remirror.c",
        "from->sector_count != to->sector_count ||",
        "from->sector_count == to->sector_count ||",
    ),
    "believe the older copy of the record": (
        "mirror/metadata.c",
        "choice->copy = sequences[1] > sequences[0] ? 1 : 0;",
        "choice->copy = sequences[1] < sequences[0] ? 1 : 0;",
    ),
    "read a disk that is being remirrored": (
        "mirror/set.c",
        "return is_reachable(set, side) && set->states[side] == MIRROR_GOOD;",
        "return is_reachable(set, side) &&\n"
        "	       (set->states[side] == MIRROR_GOOD || set->states[side] == MIRROR_REMIRRORING);",
    ),
    "tell the peer of requests that have not ended": (
        "mirror/set.c",
        "	if (slot->phase == MIRROR_QUEUED || owes_failure(slot))\n		return false;",
        "	if (slot->phase == MIRROR_QUEUED || owes_failure(slot))\n		return true;",
    ),
    "hand an error to the guest though the peer has the data": (
        "mirror/set.c",
        "	if (is_readable(set, MIRROR_PEER)) {\n		slot->phase = MIRROR_REPAIR_READ;",
        "	if (set->states[MIRROR_OWN] == MIRROR_MISSING) {\n		slot->phase = MIRROR_REPAIR_READ;",
    ),
    "count what neither disk has done as done": (
        "mirror/set.c",
        "slot->status != 0 && !slot->failure_told &&",
        "slot->status > 0 && !slot->failure_told &&",
    ),
    "compare a region while the guest writes it": (
        "mirror/engine_verify.c",
        "	if (compare->lock >= 0 && mirror_set_lock_holds(set, compare->lock))",
        "	if (compare->lock >= 0)",
    ),
    "compare what the follower has with what the leader had": (
        "mirror/engine_serve.c",
        "	if (region_lock(engine, served, served->number))",
        "	if (region_lock(engine, served, set_of(engine, served)->last_number))",
    ),
    "count a difference and leave it": (
        "mirror/engine_verify.c",
        "stamp.crc32c)\n		return COMPARE_COPY;",
        "stamp.crc32c)\n		return COMPARE_LEAVE;",
    ),
    "copy before all earlier writes are on the source": (
        "mirror/set.c",
        "	if (number > set->last_number)\n		return false;\n	for",
        "	if (number <= set->last_number)\n		return true;\n	for",
    ),
}

if __name__ == "__main__":
    sys.exit(mutations.main(MUTATIONS, SEEDS, ["-lcmocka"]))
