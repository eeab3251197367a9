# SPDX-License-Identifier: Apache-2.0
"""What the hypervisor costs a guest that keeps its processor busy: the same work by the same Debian
kernel, on plain QEMU and in Yoke's guest (one server, simplex) on the same QEMU.

Under icount the TSC counts the instructions that the machine executes, so a program in the guest that
reads it before and after its work knows all of them, the hypervisor's as well: exact. What a real
processor would feel stands beside: the same and 1,500 instructions more for each exit. Exits are what
a guest with the work has more than one that boots and does nothing.

Debian's kernel reads the TSC at each system call, for a random stack offset, and each of these reads is
an exit. So everything is measured twice: as Debian ships it, and with that switched off.

Boot is the work from the kernel's entry to the first line of the script, without the firmware's; there
nothing is idle. Its wall time is the best of several rounds, in turn.

What an exit itself costs is tests/guest/exits.c's; beside it the same exit under KVM, with Debian's
kernel as the host on the same QEMU (kvm_exits.c). RDTSC is none there."""

import dataclasses
import re
import subprocess
import time

from tests.bench.linux_guest import (COMMAND_LINE, START_MARK, boot_linux, compile_static, linux_server,
                                     script_output)
from tests.bench.priority import priority
from tests.bench.report import Result
from tests.pair.pair import single_server, small_linux
from tests.pair.qemu import ROOT, Server

NO_STACK_OFFSET = "randomize_kstack_offset=off"
MEMORY = "128M"
# The guest has no RDRAND; without entropy its kernel would mix anew for each random number of an exec.
ENTROPY_MODULES = ("virtio_pci", "virtio_rng")
EXIT_COST = 1500  # of a real processor, in instructions: what the world switch and cold caches take
TARGETS = {"compute": ("compute loop", 1.01), "syscall": ("system calls", 1.03), "fork": ("fork and exec", 1.05)}
BOOT_TARGET = 1.10
WALL_TARGET = 1.5
WALL_ROUNDS = 3
EXIT_TARGET = 400
NOTIFY_TARGET = 3000
GUEST_END = r"^guest: off at exit "
EXIT_LINE = r"^  ([a-z-]+) +(\d+) +(\d+)$"


@dataclasses.dataclass
class Run:
    """One guest from start to end."""

    output: str
    to_script_s: float  # wall time
    exits: dict  # kind: (how many, instructions of the hypervisor in all); none on plain QEMU

    def instructions(self, kind: str) -> int:
        return int(re.search(rf"^@@ {kind}: (\d+) instructions$", self.output, re.M)[1])

    def clock(self) -> int:
        return int(re.search(r"^@@ clock: (\d+)$", self.output, re.M)[1])

    def exits_beyond(self, idle: "Run") -> dict:
        """Exits by kind that `idle`, with less to do, had not; without kinds that have none."""
        more = {kind: count - idle.exits.get(kind, (0, 0))[0] for kind, (count, _) in self.exits.items()}
        return {kind: count for kind, count in more.items() if count > 0}


class Bench:
    """Guests with cost_load on board."""

    def __init__(self, directory):
        self.directory = directory
        self.files = {"/bin/cost_load": compile_static(ROOT / "tests" / "bench" / "cost_load.c", directory)}

    def plain(self, script: str, append: str = "") -> Run:
        with linux_server(self.directory, script, flavour="cloud", files=self.files, append=append, memory=MEMORY,
                          name="plain", icount="off") as guest:
            guest.expect(f"^{START_MARK}$", 300)
            to_script_s = time.monotonic() - guest.started
            return Run(script_output(guest), to_script_s, {})

    def yoke(self, script: str, append: str = "") -> Run:
        folder = self.directory / "yoke"
        folder.mkdir(exist_ok=True)
        guest = small_linux(folder, script, ENTROPY_MODULES, self.files, memory=MEMORY,
                            command_line=f"{COMMAND_LINE} {append}".strip())
        with single_server(folder, guest, {}, icount="off", memory="384M", name="yoke") as server:
            server.expect(f"^{START_MARK}$", 300)
            to_script_s = time.monotonic() - server.started
            server.expect(GUEST_END, 600)
            server.expect("guest: running -> off", 60)
            found = re.findall(EXIT_LINE, server.output, re.M)
            return Run(server.output, to_script_s,
                       {kind: (int(count), int(count) * int(ticks)) for kind, count, ticks in found})

    def firmware_instructions(self) -> int:
        """What plain QEMU's firmware executes before it enters the kernel."""
        source, kernel = ROOT / "tests" / "bench" / "entry_clock.S", self.directory / "entry_clock"
        subprocess.run(["gcc", "-c", "-o", f"{kernel}.o", source], check=True)
        subprocess.run(["ld", "-Ttext", "0", "--oformat", "binary", "-o", kernel, f"{kernel}.o"], check=True)
        with Server(self.directory, kernel=kernel, name="entry", memory=MEMORY, icount="off") as machine:
            return int(machine.expect("^([0-9a-f]{16})$")[1], 16)


def words_of(exits: dict) -> str:
    by_count = sorted(exits.items(), key=lambda item: -item[1])
    return ", ".join(f"{count:,} {kind}" for kind, count in by_count) or "none"


def ratio(name: str, ours: int, plain: int, exits: dict, target: float) -> Result:
    estimate = (ours + EXIT_COST * sum(exits.values())) / plain
    note = (f"{ours:,} and {plain:,}; exits: {words_of(exits)}; with {EXIT_COST:,} for each {estimate:.3f}")
    return Result(name, ours / plain, "of plain QEMU", most=target, note=note)


def measure_work(bench: Bench, title: str, append: str):
    script = "head -c 16 /dev/random > /dev/null; cost_load {}\n"
    plain = bench.plain("".join(script.format(kind) for kind in TARGETS), append)
    idle = bench.yoke(script.format("nothing"), append)
    for kind, (words, target) in TARGETS.items():
        run = bench.yoke(script.format(kind), append)
        yield ratio(f"cost, {title}: {words}", run.instructions(kind), plain.instructions(kind),
                    run.exits_beyond(idle), target)


def measure_boot(bench: Bench):
    script = "cost_load clock\n"
    with priority(-20):
        rounds = [(bench.yoke(script), bench.plain(script)) for _ in range(WALL_ROUNDS)]
    ours, plain = rounds[0]
    exits = {kind: count for kind, (count, _) in ours.exits.items()}
    yield ratio("cost, boot to the script", ours.clock(), plain.clock() - bench.firmware_instructions(), exits,
                BOOT_TARGET)
    for kind, (count, total) in sorted(ours.exits.items(), key=lambda item: -item[1][0]):
        yield Result(f"cost, boot: {kind} exits", total / count, "instructions each", note=f"{count:,} of them")
    best = [min(run.to_script_s for run in side) for side in zip(*rounds)]
    yield Result("cost, boot to the script: wall time", best[0] / best[1], "of plain QEMU", most=WALL_TARGET,
                 note=f"{best[0]:.1f} and {best[1]:.1f} s, the best of {WALL_ROUNDS}; ours with the hypervisor's start")


def kvm_exits(directory) -> dict:
    """Instructions of KVM for an exit, by what the guest does."""
    program = compile_static(ROOT / "tests" / "bench" / "kvm_exits.c", directory)
    output = boot_linux(directory, "kvm_exits", flavour="cloud", modules=["kvm_amd"], memory="512M", icount="off",
                        files={"/bin/kvm_exits": program}, name="kvm")
    return {what: int(count) for what, count in re.findall(r"^@@ (.+): (\d+)$", output, re.M)}


def exit_target(what: str, kvm: dict) -> int | None:
    if what.startswith("MMIO"):
        return None
    if what.startswith("virtio notify"):
        return NOTIFY_TARGET
    return min(EXIT_TARGET, kvm.get(what, EXIT_TARGET))


def measure_exits(directory):
    kvm = kvm_exits(directory)
    with Server(directory, kernel=ROOT / "build" / "yoke-test.elf32", append="debug_exit test=guest_exits",
                memory="256M", name="exits") as machine:
        machine.exit_code()
        found = re.findall(r"test +(.+): (\d+) instructions$", machine.output, re.M)
    for what, count in found:
        yield Result(f"cost, exit: {what}", int(count), "instructions", note=f"KVM {kvm[what]:,}" if what in kvm else "",
                     most=exit_target(what, kvm))


def measure(directory):
    bench = Bench(directory)
    yield from measure_exits(directory)
    yield from measure_work(bench, "Debian", "")
    yield from measure_work(bench, NO_STACK_OFFSET, NO_STACK_OFFSET)
    yield from measure_boot(bench)
