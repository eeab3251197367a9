# SPDX-License-Identifier: Apache-2.0
"""What lockstep costs, and how fast a pair is: the same guest work in simplex and in duplex, the log that
it makes, what output commit adds to a frame's way, failover and join.

Two servers under icount with a small Debian guest that has a disk on both. A load is asked for over TCP
and reads the TSC around its work (cost_load.c): the instructions of the leader, in which virtual time is
counted; its exits come from `status json` before and after. What the leader stood still because the
follower lagged is taken off: both servers share one machine here, and its scheduler is no property of
the product. The database load waits for its disk, which takes no instructions: there it is the leader's own count of
those of its rounds that had work (`busy_ns`), and what the load's time makes of it stands beside. Simplex is measured
on the same server, after the other one died.

Published figures that the targets come from: 0.98 for a benchmark of the processor, 0.95 for a kernel's
compilation, 0.94 for databases; logs of 1.5 to 18 Mbit/s, 0.15 idle (VMware FT, 2009 and 2010).

All times are virtual, of the server that tells them. Failover counts from the last word of the server
that died. For the failover by carrier the survivor is stopped while the other dies and both its cables
lose their carrier, so that it sees all at once."""

import dataclasses
import re
import socket
from pathlib import Path

from tests.bench.debian import run
from tests.bench.linux_guest import COMMAND_LINE, compile_static, libraries
from tests.bench.report import Result
from tests.pair.pair import (CABLES, GUEST_ADDRESS, NAMES, PATIENCE, SMALL_LINUX_SCRIPT, Pair, other, small_linux,
                             wait_for_echo)
from tests.pair.qemu import ROOT, TIMEOUT_FACTOR

WORK_PORT = 9
WORK_TIMEOUT_S = 300
MODULES = ("virtio_pci", "virtio_net", "virtio_blk", "virtio_rng")
DISK_SIZE = 16 << 20
COMPILED = "lockstep/pair.c"
WAITING = ("database",)  # loads that do not keep the processor busy
GUEST_MEMORY, SERVER_MEMORY = "512M", "896M"
EXIT_COST = 1500  # as in bench_cost.py
CONF = {"pair": PATIENCE, "console": {"attach": "server"}}
LOADS = {"compute": ("compute loop", 0.98), "fork": ("fork and exec", 0.95), "build": ("shell, sort and gzip", 0.95),
         "compile": ("gcc", 0.95), "database": ("8 KiB writes with flushes", 0.94)}
PUBLISHED_LOG = {"compute": 1.5, "fork": 3, "build": 3, "compile": 3, "database": 18}  # Mbit/s
IDLE_LOG = 0.15
IDLE_NS = 3_000_000_000
ECHOES = 100
HELD_TARGET_US = 50  # beyond a link's round trip
JOIN_TARGET_MS = 100
TAKING_TARGET_MS = 10
CARRIER_TARGET_MS = 20
ASK_TIME = "50ms"  # as yoke.conf has it by itself, for the failover by carrier

BUILD = """
for i in 1 2 3 4 5 6; do
    seq 1 2000 | awk '{ print $1 * $1 % 1009, "line " $1 }' | sort | gzip -1 | gunzip | md5sum > /tmp/sum.$i
done
cat /tmp/sum.* | md5sum > /dev/null
"""
# `dirty`: memory is written all the while, for a join to copy, until `clean`.
WORK = """
read kind
case $kind in
dirty)
    touch /tmp/dirty
    (while [ -e /tmp/dirty ]; do head -c 8m /dev/zero > /tmp/written; done) < /dev/null > /dev/null 2>&1 &
    exit ;;
clean) exec rm /tmp/dirty ;;
esac
[ $kind = build ] && exec cost_load run sh /build
[ $kind = compile ] && exec cost_load run /compiler -fpreprocessed -quiet -O2 /source.i -o /tmp/source.s
exec cost_load $kind
"""
# All of it is there before the port that tells that the guest serves.
SCRIPT = SMALL_LINUX_SCRIPT.replace("nc -ll", f"""nc -ll -p {WORK_PORT} -e sh /work &
until netstat -ltn | grep -q ":{WORK_PORT} "; do sleep 0.1; done
head -c 16 /dev/random > /dev/null
nc -ll""", 1)


@dataclasses.dataclass
class Run:
    instructions: int  # of the leader, without its waits for the follower
    elapsed: int  # with whatever the load waited for, but not those
    waited: int
    exits: int
    log_bits: int

    def estimate(self) -> int:
        return self.instructions + EXIT_COST * self.exits

    def log_mbit(self) -> float:
        return self.log_bits * 1e3 / self.elapsed


def say(pair: Pair, word: str) -> str:
    """To the guest's WORK; returns all of its answer."""
    with pair.network.entered():
        connection = socket.create_connection((GUEST_ADDRESS, WORK_PORT))
    with connection, connection.makefile("r") as reader:
        connection.settimeout(WORK_TIMEOUT_S * TIMEOUT_FACTOR)
        connection.sendall(f"{word}\n".encode())
        return reader.read()


def ask_for(pair: Pair, kind: str) -> int:
    """Has the guest do `kind`; returns its count."""
    return int(re.search(r"^@@ \w+: (\d+) instructions$", say(pair, kind), re.M)[1])


def measure_load(pair: Pair, server: str, kind: str) -> Run:
    before = pair.status(server)
    count = ask_for(pair, kind)
    after = pair.status(server)

    def more(part: str, field: str) -> int:
        return after[part][field] - before[part][field]

    waited = min(more("lockstep", "wait_ns"), count)
    elapsed = count - waited
    busy = busy_ns(after, server) - busy_ns(before, server)
    return Run(busy if kind in WAITING else elapsed, elapsed, waited, more("guest", "exits"), 8 * more("lockstep", "log_bytes"))


def busy_ns(status: dict, server: str) -> int:
    return status["servers"][server]["busy_ns"]


def measure_loads(pair: Pair, server: str) -> dict:
    return {kind: measure_load(pair, server, kind) for kind in LOADS}


def compare(duplex: dict, simplex: dict):
    for kind, (words, target) in LOADS.items():
        two, one = duplex[kind], simplex[kind]
        estimate = one.estimate() / two.estimate()
        yield Result(f"pair, {words}: simplex / duplex", one.instructions / two.instructions, "", least=target,
                     note=f"{one.instructions:,} and {two.instructions:,}, after {two.waited:,} of waits; exits "
                          f"{one.exits:,} and {two.exits:,}; with {EXIT_COST:,} for each {estimate:.3f}")
        if kind in WAITING:
            yield Result(f"pair, {words}: simplex / duplex, time", one.elapsed / two.elapsed, "",
                         note="with the waits for the disks; duplex waits for both and a round trip")
        yield Result(f"pair, {words}: log", two.log_mbit(), "Mbit/s", note=f"published {PUBLISHED_LOG[kind]}")


def measure_idle_log(pair: Pair, leader: str):
    before = pair.status(leader)
    ends_ns = before["guest"]["uptime_ns"] + IDLE_NS
    pair.wait_until(lambda: pair.status(leader)["guest"]["uptime_ns"] > ends_ns, "the guest was idle for long enough")
    after = pair.status(leader)
    bits = 8 * (after["lockstep"]["log_bytes"] - before["lockstep"]["log_bytes"])
    elapsed_ns = after["guest"]["uptime_ns"] - before["guest"]["uptime_ns"]
    yield Result("pair, idle: log", bits * 1e3 / elapsed_ns, "Mbit/s", most=IDLE_LOG)


def measure_output_commit(pair: Pair, leader: str):
    """A line to the guest and back, again and again: each answer is held until the follower has its log."""
    connection = wait_for_echo(pair)
    before = pair.status(leader)["lockstep"]
    with connection, connection.makefile("rb") as reader:
        for number in range(ECHOES):
            line = f"echo {number}\n".encode()
            connection.sendall(line)
            assert reader.readline() == line
    status = pair.status(leader)
    count, held_ns = (status["lockstep"][field] - before[field] for field in ("held_outputs", "held_ns"))
    trip_us = min(status["links"][link]["round_trip_ns"] for link in CABLES) / 1e3
    held_us = held_ns / count / 1e3
    yield Result("pair, output commit: a frame is held", held_us, "us virtual", note=f"the mean of {count}")
    yield Result("pair, output commit: beyond a round trip", held_us - trip_us, "us virtual", most=HELD_TARGET_US,
                 note=f"round trip {trip_us:.0f} us")


def join_results(pair: Pair, leader: str, what: str):
    status = pair.status(leader)["lockstep"]
    yield Result(f"pair, join, {what}: the guest stood", status["join_stop_ns"] / 1e6, "ms virtual", most=JOIN_TARGET_MS,
                 note=f"{status['join_rounds']} rounds, {status['join_bytes'] / (1 << 20):.0f} MiB, guest of {GUEST_MEMORY}")


def rejoin(pair: Pair, dead: str):
    pair.restart(dead)
    pair.wait_duplex(600)
    yield from join_results(pair, other(dead), "memory being written, one link")


def taking_ms(pair: Pair, survivor: str) -> float:
    """From the decision to go alone until the guest runs on."""
    times = {event["new_state"]: event["time_ns"] for event in pair.events(survivor)
             if event["object"] == f"server {survivor}"}
    return (times["simplex"] - times["going alone"]) / 1e6


def measure_death(pair: Pair):
    """By silence alone: the cables keep their carrier."""
    leader = pair.leader()
    survivor = other(leader)
    pair.kill(leader)
    pair.wait_role(survivor, "simplex")
    total_ms = pair.status(survivor)["lockstep"]["failover_ns"] / 1e6
    after_ms = taking_ms(pair, survivor)
    yield Result("pair, failover by silence: from the last word", total_ms, "ms virtual",
                 note=f"time-out adapts up to {CONF['pair']['failure_timeout']}")
    yield Result("pair, failover by silence: beyond the detection", after_ms, "ms virtual", most=TAKING_TARGET_MS)


def measure_carrier(pair: Pair):
    for name in NAMES:
        pair.kill(name)
        pair.reconfigure(name, {"pair": {"ask_time": ASK_TIME}})
    for name in NAMES:
        pair.restart(name)
    leader = pair.wait_duplex(600)
    survivor = other(leader)
    pair.pause(survivor)
    pair.kill(leader)
    for link in CABLES:
        pair.set_link(survivor, link, False)
    pair.resume(survivor)
    pair.wait_role(survivor, "simplex")
    yield Result("pair, failover, carrier lost on both links", pair.status(survivor)["lockstep"]["failover_ns"] / 1e6,
                 "ms virtual", most=CARRIER_TARGET_MS, note=f"with the default ask_time of {ASK_TIME}")


def measure_pair(pair: Pair):
    pair.mirror_new_disks()
    leader = pair.wait_duplex(600)
    yield from join_results(pair, leader, "booting")
    wait_for_echo(pair).close()
    yield from measure_idle_log(pair, leader)
    yield from measure_output_commit(pair, leader)
    duplex = measure_loads(pair, leader)
    pair.kill(other(leader))
    pair.wait_role(leader, "simplex")
    yield from compare(duplex, measure_loads(pair, leader))
    say(pair, "dirty")
    pair.cut("cs2")
    yield from rejoin(pair, other(leader))
    pair.heal("cs2")
    say(pair, "clean")
    yield from measure_death(pair)
    yield from measure_carrier(pair)


def compiler_files(directory) -> dict:
    """The compiler proper of Debian's gcc and one of our files for it, preprocessed; as they are called in WORK."""
    source = directory / "source.i"
    run("gcc", "-E", "-O2", "-I", ROOT, "-o", source, ROOT / COMPILED)
    compiler = Path(run("gcc", "-print-prog-name=cc1").strip())
    return {"/compiler": compiler, "/source.i": source, **{path: path for path in libraries(compiler)}}


def measure(directory):
    (directory / "work").write_text(WORK)
    (directory / "build").write_text(BUILD)
    files = {"/bin/cost_load": compile_static(ROOT / "tests" / "bench" / "cost_load.c", directory),
             "/work": directory / "work", "/build": directory / "build", **compiler_files(directory)}
    guest = small_linux(directory, SCRIPT, MODULES, files, memory=GUEST_MEMORY, disk=DISK_SIZE,
                        command_line=f"{COMMAND_LINE} randomize_kstack_offset=off")
    with Pair(directory, kernel=ROOT / "build" / "yoke.elf32", guest=guest, conf=CONF, memory=SERVER_MEMORY) as pair:
        yield from measure_pair(pair)
