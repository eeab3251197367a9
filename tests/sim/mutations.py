#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Plants known bugs, one at a time, and demands that the pair simulator finds each.

A mutation replaces one piece of text in one file of lockstep/; the file is compiled
anew and linked with the other objects of the build. --help tells the rest.
"""
import argparse
import concurrent.futures
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SEEDS = 2000
SEEDS_AT_ONCE = 500
FLAGS = ["-std=gnu11", "-O2", "-g", f"-I{ROOT}", "-w"]

# name: (file, text as it stands, text as it must not be); the one that takes longest comes first, for the sake of all
MUTATIONS = {
    "load the guest before the disk stream has come": (
        "lockstep/pair_guest.c",
        "if (pair->channel.receivers[WIRE_STREAM_DISK].consumed < pair->join_end.disk_base) {",
        "if (pair->join_end.disk_base == UINT64_MAX) {",
    ),
    "acknowledge what lies beyond a gap": (
        "lockstep/channel.c",
        "header.received[i] = channel->receivers[i].received;",
        "header.received[i] = channel->receivers[i].ahead_count ?"
        " channel->receivers[i].ahead[channel->receivers[i].ahead_count - 1].end : channel->receivers[i].received;",
    ),
    "release one record early": (
        "lockstep/pair_guest.c",
        "channel_acknowledged(&pair->channel, WIRE_STREAM_LOG) >= stamp",
        "channel_acknowledged(&pair->channel, WIRE_STREAM_LOG) + 64 >= stamp",
    ),
    "release without waiting": (
        "lockstep/pair_guest.c",
        "channel_acknowledged(&pair->channel, WIRE_STREAM_LOG) >= stamp",
        "stamp != UINT64_MAX",
    ),
    "run past the horizon": (
        "lockstep/pair_guest.c",
        "		if (plan->verdict == FOLLOWER_DIVERGED)",
        "		if (plan->verdict == FOLLOWER_WAIT) {\n"
        "			plan->verdict = FOLLOWER_RUN;\n			plan->steps_max = 50;\n		}\n"
        "		if (plan->verdict == FOLLOWER_DIVERGED)",
    ),
    "stop one step late": (
        "lockstep/follower.c",
        "plan->steps_max = record->position.steps - now->steps;",
        "plan->steps_max = record->position.steps - now->steps + 1;",
    ),
    "trust a peer of a higher generation that restarted": (
        "lockstep/pair.c",
        "if (peer->generation > pair->durable.generation)",
        "if (peer->generation == UINT64_MAX)",
    ),
    "release alone before that is durable": (
        "lockstep/pair_guest.c",
        "	if (pair->role == PAIR_SIMPLEX)\n		return true;",
        "	if (pair->role == PAIR_SIMPLEX || pair->role == PAIR_ALONE)\n		return true;",
    ),
    "go alone without replaying the rest of the log": (
        "lockstep/pair.c",
        "	if (pair->role != PAIR_FOLLOWER)\n		return true;\n	pair_pump_log(pair);",
        "	if (pair->role != PAIR_LEADER)\n		return true;\n	pair_pump_log(pair);",
    ),
    "go on without the other's consent": (
        "lockstep/arbiter.c",
        "question->claim == ARBITER_CLAIM_STOPPED ? ARBITER_GO_ON : ARBITER_ASK",
        "ARBITER_GO_ON",
    ),
    "go on without knowing": (
        "lockstep/arbiter.c",
        "if (question->continue_when_unsure && own->disks_current)",
        "if (own->disks_current)",
    ),
    "stop without knowing though told to continue": (
        "lockstep/pair.c",
        ".continue_when_unsure = pair->config.continue_when_unsure,",
        ".continue_when_unsure = pair->override_alone,",
    ),
    "take a path that had a break for proof": (
        "lockstep/detector.c",
        "path->proven_since_ns <= detector_cs_heard_ns(detector);",
        "path->proven_since_ns <= detector->suspected_ns;",
    ),
    "take a break for none in which the peer may have gone on early": (
        "lockstep/detector.c",
        "if (detector->cut && now_ns - path->unbroken_ns > detector->config.carrier_gap_ns)",
        "if (now_ns == UINT64_MAX)",
    ),
    "reckon from when the carriers were missed, not from when they were seen": (
        "lockstep/detector.c",
        "detector->paths[path].unbroken_ns = seen_ns;",
        "detector->paths[path].unbroken_ns = now_ns;",
    ),
    "ask for long though the carriers are gone": (
        "lockstep/detector.c",
        "	if (!detector->cut || !cs_carrier_is_lost(detector))\n		return UINT64_MAX;",
        "	if (detector->suspecting)\n		return UINT64_MAX;",
    ),
    "believe every claim of having stopped": (
        "lockstep/arbiter.c",
        "	if (question->claim == ARBITER_CLAIM_ALONE)",
        "	if (question->claim == 99)",
    ),
    "let the target go on before our disk says duplex": (
        "lockstep/pair.c",
        "	if (pair->durable.state == PAIR_DURABLE_DUPLEX)",
        "	if (pair->durable.state != PAIR_DURABLE_COUNT)",
    ),
    "report ready with an old record on our disk": (
        "lockstep/pair.c",
        "	persist(pair, pair->join_end.generation, PAIR_DURABLE_DUPLEX, false);",
        "	persist(pair, pair->durable.generation, PAIR_DURABLE_DUPLEX, false);",
    ),
    "start alone though the peer may have gone on": (
        "lockstep/pair.c",
        "	    pair->durable.state != PAIR_DURABLE_ALONE ||\n",
        "",
    ),
    "let time go back at a takeover": (
        "lockstep/pair_guest.c",
        "	pair->time_ns = max_u64(pair->time_ns, local_ns); /* no step back, also after a takeover */",
        "	pair->time_ns = local_ns;",
    ),
    "lose a piece that was lost": (
        "lockstep/channel.c",
        "if (piece->offset + piece->size > sender->acknowledged) {",
        "if (piece->offset > sender->acknowledged + piece->size) {",
    ),
    "choose the older state when two meet": (
        "lockstep/pair.c",
        "return pair->durable.generation > peer->generation;",
        "return pair->durable.generation < peer->generation;",
    ),
    "begin a join that is held": (
        "lockstep/pair.c",
        "	if (pair->join_held || !may_begin_join(pair))",
        "	if (!may_begin_join(pair))",
    ),
    "keep a guest that goes on elsewhere": (
        "lockstep/pair.c",
        "if (keeps && pair->peer.role == PAIR_SIMPLEX &&",
        "if (keeps && pair->peer.role == PAIR_ALONE &&",
    ),
    "join again at once after a divergence": (
        "lockstep/pair.c",
        "	       pair->now_ns >= pair->rejoin_at_ns && !no_duplex(&pair->config.identity, &pair->peer);",
        "	       !no_duplex(&pair->config.identity, &pair->peer);",
    ),
    "wait the same after each divergence": (
        "lockstep/pair.c",
        "min_u64(2 * pair->rejoin_wait_ns, pair->config.rejoin_wait_max_ns)",
        "pair->rejoin_wait_ns",
    ),
    "wait ever longer, however long the duplex was good": (
        "lockstep/pair.c",
        "pair->now_ns - pair->role_since_ns >= pair->config.good_stretch_ns;",
        "pair->now_ns - pair->role_since_ns >= 1000 * pair->config.good_stretch_ns;",
    ),
    "replay what is left of an older log": (
        "lockstep/pair_guest.c",
        "uint64_t skip = pair->log_base - min_u64(pair->log_base, log->consumed);",
        "uint64_t skip = 0;",
    ),
    "overlook another digest": (
        "lockstep/pair_guest.c",
        "if (pair->role == PAIR_FOLLOWER && record->digest != digest)",
        "if (pair->role == PAIR_FOLLOWER && record->digest == 1)",
    ),
    "forget the channel, and the trail with it, when the follower diverges": (
        "lockstep/pair.c",
        "(pair->role == PAIR_LEADER || pair->role == PAIR_FOLLOWER) && !pair->peer_diverged",
        "(pair->role == PAIR_LEADER || pair->role == PAIR_FOLLOWER)",
    ),
    "compare the trail at another check": (
        "lockstep/trail.c",
        "return is_kept ? &trail->entries[number % TRAIL_SIZE] : NULL;",
        "return is_kept ? &trail->entries[(number + 1) % TRAIL_SIZE] : NULL;",
    ),
    "make a pair of two builds": (
        "lockstep/pair.c",
        "if (memcmp(own->build, peer->build, sizeof(own->build)) != 0)",
        "if (memcmp(own->build, peer->build, 0) != 0)",
    ),
    "never try a refused peer again": (
        "lockstep/pair.c",
        "		try_again(pair, \"the refused peer has restarted\");\n		connect_to(pair, peer->incarnation);",
        "		connect_to(pair, peer->incarnation);",
    ),
    "believe a claim from before the join": (
        "lockstep/pair.c",
        "persist(pair, pair->durable.generation + 1, PAIR_DURABLE_DUPLEX, true);",
        "persist(pair, pair->durable.generation, PAIR_DURABLE_DUPLEX, true);",
    ),
    "keep the peer's claim when the duplex begins": (
        "lockstep/pair.c",
        "	if (to == PAIR_LEADER || to == PAIR_FOLLOWER)\n		pair->claim = ARBITER_CLAIM_NONE;\n",
        "",
    ),
    "claim to go alone while ending a join": (
        "lockstep/pair.c",
        "return pair->durable.state == PAIR_DURABLE_DUPLEX ? ARBITER_CLAIM_NONE : ARBITER_CLAIM_ALONE;",
        "return ARBITER_CLAIM_ALONE;",
    ),
    "stop with a guest that lacks the rest of the log": (
        "lockstep/pair.c",
        "	if (!pair->stopping || (keeps && !log_is_drained(pair)))",
        "	if (!pair->stopping)",
    ),
    "yield to a slow follower only at the greatest lag": (
        "lockstep/pair_guest.c",
        "pair->now_ns % YIELD_SPAN_NS < above_ns * YIELD_SPAN_NS / (max_ns - max_ns / 2);",
        "lag_ns > max_ns;",
    ),
    "never go on alone": (
        "lockstep/arbiter.c",
        'return decision(ARBITER_GO_ON, "peer dead");',
        'return decision(ARBITER_STOP, "peer dead");',
    ),
    "take the leader's disks for current": (
        "lockstep/pair.c",
        ".disks_current = pair->own_disks_current,",
        ".disks_current = true,",
    ),
    "go on without the disks of a peer that restarted": (
        "lockstep/pair.c",
        "	if (pair->own_disks_current)\n		go_alone(pair, reason);",
        "	if (pair != NULL)\n		go_alone(pair, reason);",
    ),
    "start from disks that lack writes": (
        "lockstep/pair.c",
        "	if (pair->disks_told != (peer->disks_current != 0))\n		return pair->disks_told;\n",
        "",
    ),
    "suspect a peer that lives": (
        "lockstep/detector.c",
        "if (now_ns - detector_cs_heard_ns(detector) < detector_timeout_ns(detector)) {",
        "if (now_ns - detector_cs_heard_ns(detector) < detector->config.carrier_timeout_ns / 2) {",
    ),
}


def mutated(mutation, name):
    path, old, new = mutation
    text = (ROOT / path).read_text()
    if text.count(old) != 1:
        sys.exit(f"mutation '{name}': its text stands {text.count(old)} times in {path}, expected once")
    return text.replace(old, new)


def compile_mutant(mutation, name, objects, directory, libraries):
    path = mutation[0]
    source = directory / "mutant.c"
    source.write_text(mutated(mutation, name))
    mutant = directory / "mutant.o"
    subprocess.run(["gcc", *FLAGS, "-c", "-o", mutant, source], check=True)
    others = [o for o in objects if not o.as_posix().endswith(path[: -len(".c")] + ".o")]
    assert len(others) == len(objects) - 1
    program = directory / "mutant"
    subprocess.run(["gcc", "-o", program, mutant, *others, *libraries], check=True)
    return program


def is_found(program, seeds):
    """True when some seed fails: by a checker, an assertion, or by never ending. Most bugs show in the first few
    hundred seeds, and a program that found one goes on with its other tests: so it is given them bit by bit."""
    for first in range(1, seeds + 1, SEEDS_AT_ONCE):
        command = [program, str(first), str(min(SEEDS_AT_ONCE, seeds + 1 - first)), "1"]
        try:
            if subprocess.run(command, capture_output=True, timeout=900).returncode != 0:
                return True
        except subprocess.TimeoutExpired:
            return True
    return False


def parse(mutations):
    parser = argparse.ArgumentParser(description="plants known bugs, one at a time: the simulator must find each")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--texts", action="store_true",
                      help="only see whether each text still stands once: a change of the source may have touched it")
    what.add_argument("objects", nargs="?", type=pathlib.Path, help="folder of the simulator's object files")
    parser.add_argument("names", nargs="*", metavar="name", help="of planted bugs; without one: all")
    arguments = parser.parse_args()
    for name in arguments.names:
        if name not in mutations:
            parser.error(f"there is no planted bug '{name}'")
    if arguments.objects and not arguments.objects.is_dir():
        parser.error(f"{arguments.objects}: no such folder; make sim-mutations and mirror-sim-mutations build it")
    return arguments


def main(mutations, seeds, libraries=()):
    arguments = parse(mutations)
    if arguments.texts:
        for name, mutation in mutations.items():
            mutated(mutation, name)
        return 0
    build = arguments.objects
    objects = sorted(build.rglob("*.o"))
    objects = [o for o in objects if "mutants" not in o.parts]
    directory = build / "mutants"
    directory.mkdir(exist_ok=True)
    names = arguments.names or list(mutations)

    def try_one(name: str) -> bool:
        started = time.monotonic()
        with tempfile.TemporaryDirectory(dir=directory) as folder:
            mutant = compile_mutant(mutations[name], name, objects, pathlib.Path(folder), libraries)
            found = is_found(mutant, seeds)
        outcome = f"found in {time.monotonic() - started:.0f} s" if found else f"NOT FOUND in {seeds} seeds"
        print(f"mutation {outcome}: {name}", flush=True)
        return found

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        missed = list(pool.map(try_one, names)).count(False)
    print(f"mutations: {len(names) - missed} passed, {missed} failed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(MUTATIONS, SEEDS))
