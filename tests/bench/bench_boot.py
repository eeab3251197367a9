# SPDX-License-Identifier: Apache-2.0
"""How big the hypervisor is, how much memory it keeps for itself, and how long it takes from
power-on to the end of start-up, in virtual time: under icount one instruction is one nanosecond.

The image is on the second disk, behind an empty first one, as in a server. What is measured ends
with the kernel's `ready:` line. The BIOS figure includes SeaBIOS and GRUB; under UEFI the firmware
takes seconds by itself, so our share counts: from the loader's first instruction."""

import subprocess
from pathlib import Path

from tests.bench.report import Result
from tests.pair import disks
from tests.pair.qemu import Disk, Server

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
READY = r"^ready: (\d+) us after power-on, (\d+) us after the loader began$"


def stripped_size(directory: Path) -> int:
    stripped = directory / "yoke.stripped"
    subprocess.run(["strip", "-o", str(stripped), str(BUILD / "yoke.elf")], check=True)
    return stripped.stat().st_size


def boot(directory: Path, name: str, **options) -> tuple[float, float, int]:
    """Milliseconds since power-on and since the loader began; MiB that the hypervisor keeps."""
    given = [Disk(disks.make_raw(directory / "empty.img", 16 << 20), "ahci"),
             Disk(disks.make_qcow(directory / f"{name}.qcow2", None, BUILD / "yoke.img"), "ahci", format="qcow2",
                  boot_index=0)]
    with Server(directory, name=name, disks=given, icount="off", **options) as server:
        memory = server.expect(r"^memory: \d+ MiB; the hypervisor uses (\d+) MiB", 600)
        ready = server.expect(READY, 600)
    return int(ready[1]) / 1000, int(ready[2]) / 1000, int(memory[1])


def measure(directory):
    yield Result("kernel image, stripped", stripped_size(directory) / 1024, "KiB", most=512)
    total_ms, own_ms, used = boot(directory, "bios", memory="512M")
    yield Result("BIOS: power-on to ready", total_ms, "ms virtual", most=1000, note="with SeaBIOS and GRUB")
    yield Result("BIOS: kernel's entry to ready", own_ms, "ms virtual")
    yield Result("hypervisor's memory, server of 512 MiB", used, "MiB", most=64)
    _, _, used = boot(directory, "bios-large", memory="4G")
    yield Result("hypervisor's memory, server of 4 GiB", used, "MiB", most=64)
    total_ms, own_ms, _ = boot(directory, "uefi", memory="512M", uefi=True)
    yield Result("UEFI: power-on to ready", total_ms, "ms virtual", note="with OVMF")
    yield Result("UEFI: loader's entry to ready", own_ms, "ms virtual", most=10000)
