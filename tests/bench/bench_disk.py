# SPDX-License-Identifier: Apache-2.0
"""Disk drivers beside Linux's own on the same QEMU device in the same run: requests a second,
sequential 64 KiB and random 4 KiB, one at a time and 32. Ours is tests/guest/disk_bench.c, Linux's is
fio on the raw device. Without icount: the device works in host threads, so only wall time tells.
The images lie in memory, for the host's own disk would decide the writes. The two take turns, and of
each the best round counts, because a busy machine only ever slows down; both at a high priority.

What our processor does for a request is counted as well, under icount: instructions, without the
looks that found nothing.

Every round has a bound. A case in which Linux once waited a second for a request tells how long its
time-outs are, not how fast it is: that round is told, does not count for this case, and another one is
run in its place, RETAKES of them at most. The table says how many rounds a case lost that way; one that
lost them all has no ratio, and shows our rate alone."""

import dataclasses
import json
import re
import tempfile
from pathlib import Path

from tests.bench.linux_guest import START_MARK, linux_server, script_output
from tests.bench.priority import priority
from tests.bench.report import Result
from tests.pair import disks
from tests.pair.qemu import Disk, Server, ServerError

BUILD = Path(__file__).resolve().parents[2] / "build"
IMAGE_SIZE = 64 << 20
ROUNDS = 4
RETAKES = 3
DURATION_MS = 500
TARGET = 0.9  # of Linux's rate
OURS_TIMEOUT_S = 120
LINUX_TIMEOUT_S = 240
DONE_MARK = "@@ measured"
STALL_NS = 1e9  # a request that Linux's driver gave up or found later by itself, not one that was slow


@dataclasses.dataclass
class Kind:
    name: str  # as in pair.qemu.Disk
    driver: str  # ours
    device: str  # Linux's name
    modules: list


KINDS = [
    Kind("ahci", "ahci", "sda", ["ahci", "sd_mod"]),
    Kind("nvme", "nvme", "nvme0n1", ["nvme"]),
    Kind("virtio", "virtio-blk", "vda", ["virtio_pci", "virtio_blk"]),
]
# (operation, order, bytes, depth) and what fio calls operation and order together
CASES = {
    (operation, order, size, depth): ("rand" if order == "random" else "") + operation
    for operation in ("read", "write")
    for order, size in (("sequential", 65536), ("random", 4096))
    for depth in (1, 32)
}


def make_disks(directory) -> list:
    """One of each kind, with every block in its file: a hole is another path through the host."""
    directory = Path(directory)
    return [Disk(disks.make_raw(directory / f"{kind.name}.raw", IMAGE_SIZE, seed=1), kind.name) for kind in KINDS]


def yoke_server(directory, disk_list, icount, name="yoke") -> Server:
    """One that measures our drivers on these disks."""
    return Server(directory, kernel=BUILD / "yoke-test.elf32", append=f"debug_exit test=disk_bench ms={DURATION_MS}",
                  memory="256M", icount=icount, disks=disk_list, name=name)


def yoke_figures(server: Server) -> dict:
    """What it found: {(kind, *case): (requests a second, busy nanoseconds a request)}."""
    line = r"^bench: (\S+) (\w+) (\w+) (\d+) (\d+): (\d+) requests in (\d+) us, busy (\d+) ns$"
    kinds = {kind.driver: kind.name for kind in KINDS}
    server.expect("^self-test disk_bench: passed$", OURS_TIMEOUT_S)
    return {(kinds[driver], operation, order, int(size), int(depth)):
            (int(count) * 1e6 / int(us), int(busy_ns) / int(count))
            for driver, operation, order, size, depth, count, us, busy_ns in re.findall(line, server.output, re.M)}


def measure_yoke(directory, images, icount) -> dict:
    with yoke_server(directory, make_disks(images), icount) as server:
        return yoke_figures(server)


def fio_script() -> str:
    """One fio for each disk, which does the cases one after the other: starting it takes seconds."""
    lines = []
    for kind in KINDS:
        jobs = [f"--name=case --stonewall --rw={pattern} --bs={size} --iodepth={depth}"
                for (_, _, size, depth), pattern in CASES.items()]
        lines += [f"for i in $(seq 100); do [ -b /dev/{kind.device} ] && break; sleep 0.1; done",
                  f"echo none > /sys/block/{kind.device}/queue/scheduler",
                  f"fio --filename=/dev/{kind.device} --size={IMAGE_SIZE} --ioengine=libaio --direct=1 --time_based "
                  f"--runtime={DURATION_MS}ms --output-format=json {' '.join(jobs)} || exit 1",
                  f"echo '{DONE_MARK} {kind.name}'"]
    return "\n".join(lines)


def fio_figures(kind: Kind, document: str) -> dict:
    """What fio says of one disk, without the cases that stood still: {(kind, *case): requests a second}."""
    jobs = json.loads(document[document.index("{"):])["jobs"]
    assert len(jobs) == len(CASES), f"fio ran {len(jobs)} of {len(CASES)} cases:\n{document}"
    figures = {}
    for case, job in zip(CASES, jobs):
        data = job[case[0]]
        if data["clat_ns"]["max"] >= STALL_NS:
            print(f"bench_disk: Linux stood still for {data['clat_ns']['max'] / 1e9:.1f} s "
                  f"({case_name((kind.name, *case))}): this round does not count", flush=True)
        else:
            figures[kind.name, *case] = data["iops"]
    return figures


def measure_linux(directory, images) -> dict:
    """The same by Linux's drivers, as far as it came within the time."""
    figures = {}
    with linux_server(directory, fio_script(), modules=sum((kind.modules for kind in KINDS), []),
                      binaries=["/usr/bin/fio"], memory="1G", icount=None, disks=make_disks(images)) as guest:
        try:
            script_output(guest, LINUX_TIMEOUT_S)
        except ServerError as error:
            if guest.running is False:
                raise
            print(f"bench_disk: Linux did not end: {str(error).splitlines()[0]}; what it had counts", flush=True)
        rest = guest.output.partition(START_MARK)[2]
        for kind in KINDS:
            document, mark, rest = rest.partition(f"{DONE_MARK} {kind.name}\n")
            if mark:
                figures.update(fio_figures(kind, document))
    return figures


def case_name(key: tuple) -> str:
    kind, operation, order, size, depth = key
    return f"{kind}: {order} {size >> 10} KiB {operation}, depth {depth}"


def compare(key: tuple, ours: list, linux: list, instructions: float) -> Result:
    """The best round of each, of which Linux may have fewer that count."""
    name, stalls = f"disk, {case_name(key)}", len(ours) - len(linux)
    own = f"ours {instructions:.0f} instructions each"
    if not linux:
        return Result(name, max(ours), "requests a second", note=f"{own}; Linux stood still in all {stalls} rounds")
    note = f"{max(ours):,.0f} and {max(linux):,.0f} requests a second; {own}"
    if stalls:
        note += f"; Linux stood still in {stalls} of {len(ours)} rounds, which do not count"
    return Result(name, max(ours) / max(linux), "of Linux", least=TARGET, note=note)


def measure(directory):
    keys = [(kind.name, *case) for kind in KINDS for case in CASES]
    ours, linux = {key: [] for key in keys}, {key: [] for key in keys}
    with tempfile.TemporaryDirectory(prefix="yoke-bench-", dir="/dev/shm") as images, priority(-20):
        counted = measure_yoke(directory, images, "on")
        for attempt in range(ROUNDS + RETAKES):
            if attempt >= ROUNDS and all(len(rates) >= ROUNDS for rates in linux.values()):
                break
            for key, (rate, _) in measure_yoke(directory, images, None).items():
                ours[key].append(rate)
            for key, rate in measure_linux(directory, images).items():
                linux[key].append(rate)
    for key in keys:
        yield compare(key, ours[key], linux[key], counted[key][1])
