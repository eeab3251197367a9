# SPDX-License-Identifier: Apache-2.0
"""What a request of the guest's disk and a frame cost the hypervisor, by stage, and what is left of the
throughput that the same guest has on plain QEMU, with virtio-blk and virtio-net there as well.

One server, simplex. The guest is Debian's kernel with disk_load.c, pktgen and frame_meter.c; what the hypervisor
did comes from its own count (kernel/stage.h), which it prints when the guest is off: of that goes off what a guest
takes that boots with the same device and does nothing with it. Rounds of the main loop that found nothing do not
count, nor does the ports' upkeep, so what is left are instructions that a request needs, however long a disk takes.
The exits by which the guest reads the clock, for its own accounts, are among them, and told beside.

Throughput is of virtual time, as the guest's TSC tells it: a busy machine's time is its instructions, an idle one's
passes as ours does. The images lie in memory, since the host's own disk would decide else."""

import dataclasses
import re
import tempfile
from pathlib import Path

from tests.bench.bench_frames import MAC as PORT_MAC, Sender
from tests.bench.linux_guest import compile_static, linux_server, script_output
from tests.bench.report import Result
from tests.pair import disks
from tests.pair.network import Network
from tests.pair.pair import single_server, small_linux
from tests.pair.qemu import ROOT, Disk, Nic, Server

DISK_MODULES, PORT_MODULES = ("virtio_pci", "virtio_blk"), ("virtio_pci", "virtio_net", "pktgen")
GUEST_MAC = "02:00:00:00:0c:01"
MEMORY, SERVER_MEMORY = "128M", "384M"
IMAGE_SIZE = 64 << 20
FRAME_SIZE = 1514
FRAMES = 20000
REQUEST_TARGET = 6000
FRAME_TARGET = 4000
THROUGHPUT_TARGET = 0.5
COSTS = {"single_read": "4 KiB read, one at a time", "single_write": "4 KiB write, one at a time",
         "random_read": "4 KiB read, 16 at a time", "random_write": "4 KiB write, 16 at a time"}
RATES = {"queued_read": "64 KiB reads, 8 at a time", "queued_write": "64 KiB writes, 8 at a time"}
WAYS = {"transmit": "frame out", "receive": "frame in"}
PORT_KINDS = (*WAYS, "port_nothing")
COMMANDS = {"transmit": "transmit", "receive": "receive", "disk_nothing": "", "port_nothing": "",
            **{kind: f"disk_load {kind} || exit 1" for kind in (*COSTS, *RATES)}}
UPKEEP = "upkeep"
GUEST_OFF = "^stages of the hypervisor: "

PORT_SCRIPT = f"""
ip link set eth0 up
while [ "$(cat /sys/class/net/eth0/carrier)" != 1 ]; do sleep 0.1; done
control=/proc/net/pktgen
echo "add_device eth0" > $control/kpktgend_0
transmit() {{
    for setting in "count {FRAMES}" "pkt_size {FRAME_SIZE}" "delay 0" "dst_mac 02:00:00:00:00:01" "dst 10.0.0.1"; do
        echo "$setting" > $control/eth0
    done
    echo start > $control/pgctrl
    echo "@@ transmit $(grep -A1 Result: $control/eth0 | tr '\\n' ' ')"
}}
receive() {{
    echo "@@ ready to receive"
    echo "@@ receive: $(frame_meter eth0 {FRAMES})"
}}
"""


@dataclasses.dataclass
class Run:
    output: str
    stages: dict  # instructions of the hypervisor, by stage; none on plain QEMU
    clock_reads: tuple = (0, 0)  # RDTSC exits, and instructions of each; part of the stage "exits"

    def requests(self, kind: str) -> tuple:
        """How many, in how many nanoseconds of the guest's, of what size."""
        found = re.search(rf"^@@ {kind}: (\d+) instructions for (\d+) requests of (\d+) bytes$", self.output, re.M)
        return int(found[2]), int(found[1]), int(found[3])

    def frames(self, way: str) -> tuple:
        if way == "transmit":
            found = re.search(r"^@@ transmit .*OK: (\d+)\(c\d+\+d\d+\) usec, (\d+) ", self.output, re.M)
            return int(found[2]), int(found[1]) * 1000, FRAME_SIZE
        found = re.search(r"^@@ receive: (\d+) frames in (\d+) ns", self.output, re.M)
        return int(found[1]), int(found[2]), FRAME_SIZE

    def figures(self, kind: str) -> tuple:
        return self.frames(kind) if kind in WAYS else self.requests(kind)


class Bench:
    """The same guest in Yoke and on plain QEMU, with a disk and a port."""

    def __init__(self, directory, images, network):
        folder = ROOT / "tests" / "bench"
        self.directory = directory
        self.network = network
        self.tap = network.tap("tap0")
        self.sender = compile_static(folder / "frame_sender.c", directory)
        self.files = {f"/bin/{name}": compile_static(folder / f"{name}.c", directory)
                      for name in ("disk_load", "frame_meter")}
        self.image = disks.make_raw(images / "disk.raw", IMAGE_SIZE, seed=1)

    def guest(self, kinds, mac: str) -> tuple:
        """Of what these kinds need: the script, the modules, the machine's devices, of which a port has `mac`."""
        has_port = any(kind in PORT_KINDS for kind in kinds)
        has_disk = any(kind not in PORT_KINDS for kind in kinds)
        script = (PORT_SCRIPT if has_port else "") + "".join(f"{COMMANDS[kind]}\n" for kind in kinds)
        modules = (*(DISK_MODULES if has_disk else ()), *(PORT_MODULES if has_port else ()))
        devices = {"disks": [Disk(self.image)] if has_disk else [],
                   "nics": [Nic(self.tap, "virtio-net-pci", mac=mac)] if has_port else []}
        return script, modules, devices

    def send_meanwhile(self, server: Server, kinds):
        """The host's part: frames for the guest, once it waits for them."""
        if "receive" not in kinds:
            return
        server.expect("^@@ ready to receive$", 300)
        with Sender(self.network, self.sender, FRAME_SIZE, GUEST_MAC):
            server.expect("^@@ receive: ", 300)

    def plain(self, kinds) -> Run:
        script, modules, devices = self.guest(kinds, GUEST_MAC)
        with linux_server(self.directory, script, flavour="cloud", modules=modules, files=self.files, memory=MEMORY,
                          name="plain", icount="on", **devices) as guest:
            self.send_meanwhile(guest, kinds)
            return Run(script_output(guest), {})

    def yoke(self, kinds) -> Run:
        folder = self.directory / "yoke"
        folder.mkdir(exist_ok=True)
        script, modules, devices = self.guest(kinds, PORT_MAC)
        guest = small_linux(folder, script, modules, self.files, memory=MEMORY)
        conf = {"guest": {"mac": GUEST_MAC},
                "disk": {"boot": "none", "mirror1": "serial:disk0" if devices["disks"] else "none"},
                "network": {"public1": PORT_MAC if devices["nics"] else "none"}}
        with single_server(folder, guest, conf, icount="on", memory=SERVER_MEMORY, name="yoke", **devices) as server:
            self.send_meanwhile(server, kinds)
            server.expect(GUEST_OFF, 600)
            server.expect("guest: running -> off", 60)
            stages = re.findall(r"^  ([a-z ]+): (\d+)$", server.output.partition("stages of the hypervisor")[2], re.M)
            clock = re.search(r"^  rdtsc +(\d+) +(\d+)$", server.output, re.M)
            return Run(server.output, {name: int(ticks) for name, ticks in stages if name != UPKEEP},
                       (int(clock[1]), int(clock[2])))


def cost(name: str, run: Run, idle: Run, count: int, target: float) -> Result:
    each = {stage: (ticks - idle.stages[stage]) / count for stage, ticks in run.stages.items()}
    by_stage = ", ".join(f"{stage} {ticks:,.0f}" for stage, ticks in each.items())
    reads = (run.clock_reads[0] - idle.clock_reads[0]) / count
    return Result(f"io, {name}: hypervisor", sum(each.values()), "instructions", most=target,
                  note=f"{by_stage}; RDTSC exits {reads:.1f} of {run.clock_reads[1]}")


def throughput(name: str, ours: tuple, plain: tuple) -> Result:
    rates = [count * size / time_ns for count, time_ns, size in (ours, plain)]
    return Result(f"io, {name}: throughput", rates[0] / rates[1], "of plain QEMU", least=THROUGHPUT_TARGET,
                  note=f"{rates[0] * 1000:,.0f} and {rates[1] * 1000:,.0f} MB a second of the guest's time")


def measure_costs(bench: Bench):
    for kinds, nothing, target in ((COSTS, "disk_nothing", REQUEST_TARGET), (WAYS, "port_nothing", FRAME_TARGET)):
        idle = bench.yoke([nothing])
        for kind, name in kinds.items():
            run = bench.yoke([kind])
            yield cost(name, run, idle, run.figures(kind)[0], target)


def measure_throughput(bench: Bench):
    kinds = {**RATES, **WAYS}
    ours, plain = bench.yoke(kinds), bench.plain(kinds)
    for kind, name in kinds.items():
        yield throughput(name, ours.figures(kind), plain.figures(kind))


def measure(directory):
    with tempfile.TemporaryDirectory(prefix="yoke-bench-", dir="/dev/shm") as images, Network() as network:
        bench = Bench(directory, Path(images), network)
        yield from measure_costs(bench)
        yield from measure_throughput(bench)
