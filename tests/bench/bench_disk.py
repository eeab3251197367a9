# SPDX-License-Identifier: Apache-2.0
"""Disk drivers beside Linux's own on the same QEMU device in the same run: requests a second,
sequential 64 KiB and random 4 KiB, one at a time and 32. Ours is tests/guest/disk_bench.c, Linux's is
fio on the raw device. Without icount: the device works in host threads, so only wall time tells.
The images lie in memory, for the host's own disk would decide the writes. The two take turns, and of
each the best round counts, because a busy machine only ever slows down. On a busy machine it slows
ours down more: who polls never sleeps, so the scheduler takes it for a hog. So both run at a high
priority where we may give it (root)."""

import contextlib
import dataclasses
import json
import os
import re
import tempfile
from pathlib import Path

from tests.bench.linux_guest import boot_linux
from tests.bench.report import Result
from tests.pair import disks
from tests.pair.qemu import Disk, Server

BUILD = Path(__file__).resolve().parents[2] / "build"
IMAGE_SIZE = 64 << 20
ROUNDS = 2
DURATION_MS = 1000


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


def measure_yoke(directory, images) -> dict:
    """Requests a second by our drivers: {(kind, *case): rate}."""
    line = r"^bench: (\S+) (\w+) (\w+) (\d+) (\d+): (\d+) requests in (\d+) us$"
    kinds = {kind.driver: kind.name for kind in KINDS}
    with Server(directory, kernel=BUILD / "yoke-test.elf32", append=f"debug_exit test=disk_bench ms={DURATION_MS}",
                memory="256M", icount=None, disks=make_disks(images), name="yoke") as server:
        server.expect("^self-test disk_bench: passed$", 300)
        found = re.findall(line, server.output, re.M)
    return {(kinds[driver], operation, order, int(size), int(depth)): int(count) * 1e6 / int(us)
            for driver, operation, order, size, depth, count, us in found}


def fio_script() -> str:
    lines = []
    for kind in KINDS:
        lines += [f"for i in $(seq 100); do [ -b /dev/{kind.device} ] && break; sleep 0.1; done",
                  f"echo none > /sys/block/{kind.device}/queue/scheduler"]
        for (_, _, size, depth), pattern in CASES.items():
            lines.append(f"fio --name=case --filename=/dev/{kind.device} --rw={pattern} --bs={size} "
                         f"--iodepth={depth} --size={IMAGE_SIZE} --ioengine=libaio --direct=1 --time_based "
                         f"--runtime={DURATION_MS}ms --output-format=json || exit 1")
    return "\n".join(lines)


def documents_in(output: str) -> list:
    """The JSON documents that follow one another in the console's text."""
    documents, position = [], output.find("{")
    while position >= 0:
        document, end = json.JSONDecoder().raw_decode(output, position)
        documents.append(document)
        position = output.find("{", end)
    return documents


def measure_linux(directory, images) -> dict:
    """The same by Linux's drivers."""
    output = boot_linux(directory, fio_script(), modules=sum((kind.modules for kind in KINDS), []),
                        binaries=["/usr/bin/fio"], memory="1G", icount=None, disks=make_disks(images))
    documents = documents_in(output)
    keys = [(kind.name, *case) for kind in KINDS for case in CASES]
    assert len(documents) == len(keys), f"fio ran {len(documents)} of {len(keys)} times:\n{output}"
    return {key: document["jobs"][0][key[1]]["iops"] for key, document in zip(keys, documents)}


@contextlib.contextmanager
def priority(nice: int):
    """What is started inside gets this nice value, if we may give it."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, nice)
    yield
    os.setpriority(os.PRIO_PROCESS, 0, before)


def measure(directory):
    ours, linux = [], []
    with tempfile.TemporaryDirectory(prefix="yoke-bench-", dir="/dev/shm") as images, priority(-10):
        for _ in range(ROUNDS):
            ours.append(measure_yoke(directory, images))
            linux.append(measure_linux(directory, images))
    for key in ours[0]:
        our_best, linux_best = (max(one[key] for one in rounds) for rounds in (ours, linux))
        kind, operation, order, size, depth = key
        name = f"disk, {kind}: {order} {size >> 10} KiB {operation}, depth {depth}"
        note = f"{our_best:,.0f} and {linux_best:,.0f} requests a second"
        yield Result(name, our_best / linux_best, "of Linux", least=0.9, note=note)
