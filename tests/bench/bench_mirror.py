# SPDX-License-Identifier: Apache-2.0
"""What mirrored disks cost, and how fast they become alike again: a remirror beside what the disks and the
links can do, the bytes of a rapid one, the guest's throughput meanwhile, and the same load in duplex and in
simplex.

Two servers under icount with a small Debian guest, its disk's images in memory: the host's own disk would
decide else. The guest's load is disk_load.c. All times are virtual, of the server that tells them, and the
load's are the guest's own: a busy server's time is its instructions, an idle one's passes as ours does. Both
servers share one machine here, whose scheduler is no property of the product: so what they worked, without what
they slept or the guest stood still for a follower that lagged, stands beside.

The disks alone are measured in the same run and the same kind of time, on the same device and two servers side
by side, as they are in a remirror: tests/guest/disk_bench.c reads and writes 64 KiB at a time. The links are
taken for what their ports say."""

import contextlib
import dataclasses
import re
import tempfile
from pathlib import Path

from tests.bench.bench_disk import IMAGE_SIZE, yoke_figures, yoke_server
from tests.bench.bench_pair import MODULES, PATIENCE, SCRIPT, say
from tests.bench.linux_guest import compile_static
from tests.bench.report import Result
from tests.pair import disks
from tests.pair.pair import NAMES, Pair, other, small_linux, wait_for_echo
from tests.pair.qemu import ROOT, Disk

MIB = 1 << 20
DISK = "mirror1"
DISK_SIZE = 256 * MIB
REGION_SIZE = 64 << 10
CHANGED_REGIONS = 512  # disk_load.c's `regions`
FRAME_HEADER = 14 + 144  # Ethernet's, and struct wire_header
COPY_S = 600
CONF = {"pair": PATIENCE, "console": {"attach": "server"}}
SPEED_TARGET = 0.9
RAPID_TARGET = 1.1
MEANWHILE_TARGET = 0.7
COST_TARGET = 0.95
METADATA_TARGET = 0.001
WORDS = {"sequential_write": "64 KiB sequential writes", "sequential_read": "64 KiB sequential reads",
         "random_write": "4 KiB random writes", "random_read": "4 KiB random reads",
         "flushed_write": "4 KiB random writes, each flushed"}
COST_LOADS = ("sequential_write", "sequential_read", "random_write", "random_read")
MEANWHILE_LOADS = ("sequential_write", "flushed_write", "random_read")
# A guest that keeps its disk in use, hardly so: the limit of a remirror holds while one does.
WORK = """
read kind
case $kind in
keep) disk_load keep < /dev/null > /dev/null 2>&1 & exit ;;
leave) exec killall disk_load ;;
esac
exec disk_load $kind
"""


@dataclasses.dataclass
class Load:
    time_ns: int  # as the guest's clock says
    work_ns: int  # of that the leader neither slept nor had its guest wait for the follower
    requests: int
    size: int

    def rate(self) -> str:
        return f"{self.requests * 1e9 / self.time_ns:,.0f} a second"


@dataclasses.dataclass
class Copy:
    """One remirror, from `remirroring` to `good`."""

    time_ns: int
    work_ns: int  # of the server that had more to do
    size: int  # of what was copied
    carried: int  # by both cables
    frames: int


def work_ns(pair: Pair, name: str) -> int:
    """What this server has worked since power-on: the rest it slept."""
    server = pair.status(name)["servers"][name]
    return server["uptime_ns"] - server["sleep_ns"]


def run_load(pair: Pair, server: str, kind: str) -> Load:
    before = pair.status(server)
    found = re.search(r"^@@ \w+: (\d+) instructions for (\d+) requests of (\d+) bytes$", say(pair, kind), re.M)
    after = pair.status(server)
    time_ns, requests, size = map(int, found.groups())
    up_ns, slept_ns = (after["servers"][server][field] - before["servers"][server][field]
                       for field in ("uptime_ns", "sleep_ns"))
    waited_ns = after["lockstep"]["wait_ns"] - before["lockstep"]["wait_ns"]
    return Load(time_ns, up_ns - max(slept_ns, waited_ns), requests, size)  # it sleeps in waits, too


def run_loads(pair: Pair, server: str, kinds) -> dict:
    return {kind: run_load(pair, server, kind) for kind in kinds}


def carried(pair: Pair) -> tuple[int, int]:
    """Frames and bytes, by both cables and both ways."""
    cables = pair.cables.values()
    return sum(cable.frames_carried() for cable in cables), sum(cable.bytes_carried() for cable in cables)


def watch_copy(pair: Pair, source: str, begin) -> Copy:
    """`begin` is what makes it start."""
    target = other(source)
    mark = pair.servers[source].mark()
    worked = {name: work_ns(pair, name) if pair.answers(name) else 0 for name in NAMES}
    before = carried(pair)
    begin()
    pair.servers[source].wait_for(f"disk {DISK} {target}: remirroring -> good$", COPY_S, mark)
    frames, size_carried = (count - earlier for count, earlier in zip(carried(pair), before))
    times = {event["new_state"]: event["time_ns"] for event in pair.events(source)
             if event["object"] == f"disk {DISK} {target}"}
    size = pair.status(source)["disks"][DISK]["peer_copied"]
    work = max(work_ns(pair, name) - worked[name] for name in NAMES)
    return Copy(times["good"] - times["remirroring"], work, size, size_carried, frames)


# ---- what they are measured by

def measure_disks(directory) -> dict:
    """Bytes a second of `read` and `write`, of two servers at once: the slower one's, as deep as a remirror is."""
    images = [disks.make_raw(directory / f"{name}.raw", IMAGE_SIZE, seed=1) for name in NAMES]
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(yoke_server(directory, [Disk(image, "ahci")], "on", name))
                   for name, image in zip(NAMES, images)]
        both = [yoke_figures(server) for server in servers]
    rates = {operation: min(figures["ahci", operation, "sequential", REGION_SIZE, 32][0] for figures in both)
             for operation in ("read", "write")}
    return {operation: rate * REGION_SIZE for operation, rate in rates.items()}


def measure_speed(pair: Pair, source: str, disk_rates: dict):
    """All of a new disk, while the guest is there and leaves its disk alone."""
    copy = watch_copy(pair, source, lambda: pair.mirror_from(source))
    assert copy.size == DISK_SIZE
    rate = copy.size * 1e9 / copy.time_ns
    links = sum(link["rate_mbit"] for link in pair.status(source)["links"].values()) * 1e6 / 8
    slower = min(links, *disk_rates.values())
    yield Result("mirror, remirror of a new disk, guest idle", rate / slower, "of the slower", least=SPEED_TARGET,
                 note=f"{rate / 1e6:.0f} MB/s; a disk reads {disk_rates['read'] / 1e6:.0f}, writes "
                      f"{disk_rates['write'] / 1e6:.0f}, both links carry {links / 1e6:.0f}")
    yield Result("mirror, remirror by the busier server's work alone", copy.size * 1e9 / copy.work_ns / slower,
                 "of the slower", note=f"{copy.work_ns / 1e6:.0f} ms of its instructions; all took "
                                       f"{copy.time_ns / 1e6:.0f} ms")


def measure_rapid(pair: Pair, source: str):
    """`regions` changed while the other server had no power."""
    pair.kill(other(source))
    pair.wait_role(source, "simplex")
    say(pair, "regions")
    copy = watch_copy(pair, source, lambda: pair.restart(other(source)))
    changed = CHANGED_REGIONS * REGION_SIZE
    yield Result("mirror, rapid remirror: bytes copied", copy.size / changed, "of the changed", most=RAPID_TARGET,
                 note=f"{copy.size:,} of {changed:,} in {CHANGED_REGIONS} regions")
    yield Result("mirror, rapid remirror: bytes on the links", copy.carried / changed, "of the changed",
                 most=RAPID_TARGET, note=f"{copy.carried:,} both ways, from power-on on; without {FRAME_HEADER} bytes of "
                                         f"headers in each of {copy.frames:,} frames "
                                         f"{(copy.carried - FRAME_HEADER * copy.frames) / changed:.3f}")


def compare(duplex: dict, simplex: dict):
    for kind in COST_LOADS:
        two, one = duplex[kind], simplex[kind]
        yield Result(f"mirror, {WORDS[kind]}: duplex / simplex", one.time_ns / two.time_ns, "", least=COST_TARGET,
                     note=f"{two.rate()} and {one.rate()} of virtual time")
        yield Result(f"mirror, {WORDS[kind]}: by the leader's work", one.work_ns / two.work_ns, "", least=COST_TARGET,
                     note=f"{two.work_ns // two.requests:,} and {one.work_ns // one.requests:,} instructions a request")


def measure_metadata(before: dict, after: dict, loads: dict):
    writes = after["boot"]["writes"] - before["boot"]["writes"]
    guest = sum(load.requests for kind, load in loads.items() if kind.endswith("write"))
    yield Result("mirror, metadata writes in duplex", writes / guest, "a guest write", most=METADATA_TARGET,
                 note=f"{writes} writes to the boot disk, {guest:,} of the guest")


def measure_meanwhile(pair: Pair, source: str, normal: dict):
    """The same load while all of the disk is copied, with the limit that yoke.conf has by itself."""
    pair.restart(other(source))
    pair.servers[source].wait_for(f"disk {DISK} {other(source)}: outdated -> remirroring$", COPY_S,
                                  pair.servers[source].mark())
    meanwhile = run_loads(pair, source, MEANWHILE_LOADS)
    peer = pair.status(source)["disks"][DISK]["peer"]
    assert peer.startswith("remirroring"), f"the copy has ended before the load: {peer}"
    for kind in MEANWHILE_LOADS:
        with_copy, without = meanwhile[kind], normal[kind]
        yield Result(f"mirror, {WORDS[kind]}: remirror / normal", without.time_ns / with_copy.time_ns, "",
                     least=MEANWHILE_TARGET, note=f"{with_copy.rate()} and {without.rate()} of virtual time")


def measure_pair(pair: Pair, disk_rates: dict):
    pair.wait_until(lambda: any(pair.state(name) == "simplex" for name in NAMES), "the guest runs on one")
    source = next(name for name in NAMES if pair.state(name) == "simplex")
    wait_for_echo(pair).close()
    yield from measure_speed(pair, source, disk_rates)
    pair.wait_duplex(600)
    yield from measure_rapid(pair, source)
    pair.wait_duplex(600)
    run_load(pair, source, "sequential_write")  # all of the disk: from here on the load is steady
    before = pair.status(source)["disks"]
    duplex = run_loads(pair, source, COST_LOADS)
    yield from measure_metadata(before, pair.status(source)["disks"], duplex)
    pair.kill(other(source))
    pair.wait_role(source, "simplex")
    simplex = run_loads(pair, source, COST_LOADS)
    yield from compare(duplex, simplex)
    say(pair, "keep")
    yield from measure_meanwhile(pair, source, run_loads(pair, source, MEANWHILE_LOADS))


def measure(directory):
    (directory / "work").write_text(WORK)
    files = {"/bin/disk_load": compile_static(ROOT / "tests" / "bench" / "disk_load.c", directory),
             "/work": directory / "work"}
    with tempfile.TemporaryDirectory(prefix="yoke-bench-", dir="/dev/shm") as images:
        images = Path(images)
        disk_rates = measure_disks(images)
        # No holes in it: they are another path through the host.
        disk = disks.make_raw(images / "disk", DISK_SIZE, disks.pattern(1, DISK_SIZE // 4) * 4)
        guest = small_linux(images, SCRIPT, MODULES, files, disk=disk)
        with Pair(images, kernel=ROOT / "build" / "yoke.elf32", guest=guest, conf=CONF) as pair:
            yield from measure_pair(pair, disk_rates)
