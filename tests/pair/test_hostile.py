# SPDX-License-Identifier: Apache-2.0
"""A hostile guest (hostile_guest.c): whatever it does with ports, MSRs, CPUID, registers, memory, rings and its own
code, the server stays up and answers at its console."""

import struct
import subprocess

import pytest

from tests.pair import disks
from tests.pair.qemu import ROOT, Disk, Nic, Server, ServerError

MIB = 1 << 20
THINGS_A_LINE = 10_000
PATIENCE_S = 20
PORT_MAC = "52:54:00:12:34:01"
LOAD_GPA = 16 * MIB
FLAGS = ["-O1", "-ffreestanding", "-nostdlib", "-fno-pie", "-no-pie", "-static", "-mgeneral-regs-only", "-mno-red-zone",
         "-fno-stack-protector", "-fcf-protection=none", "-fno-asynchronous-unwind-tables", "-Wall", "-Wextra", "-Werror",
         "-Wl,--build-id=none,-N,--no-warn-rwx-segments,-e,start",
         f"-Wl,--section-start=.entry={LOAD_GPA:#x},-Ttext={LOAD_GPA + 0x400:#x}"]


def kernel_image(directory):
    """The guest behind the header of a Linux kernel image (boot protocol 2.12), with a 64-bit entry."""
    program, flat = directory / "hostile.elf", directory / "hostile.bin"
    subprocess.run(["gcc", *FLAGS, "-o", program, ROOT / "tests/pair/hostile_guest.c"], check=True)
    subprocess.run(["objcopy", "-O", "binary", program, flat], check=True)
    code = flat.read_bytes()
    header = bytearray(1024)
    for offset, form, value in [
            (0x1F1, "B", 1), (0x1F4, "I", (len(code) + 15) // 16), (0x1FE, "H", 0xAA55), (0x200, "H", 0x66EB),
            (0x202, "4s", b"HdrS"), (0x206, "H", 0x020C), (0x211, "B", 1), (0x22C, "I", 0xFFFFFFFF), (0x236, "H", 1),
            (0x238, "I", 255), (0x258, "Q", LOAD_GPA), (0x260, "I", 4 * MIB)]:
        struct.pack_into("<" + form, header, offset, value)
    image = directory / "hostile"
    image.write_bytes(header + code)
    return image


@pytest.fixture
def hostile(server, kernel, tmp_path):
    """hostile(seed) starts a server with that guest on it, which has a disk and a network port to play with."""

    def start(seed: int) -> Server:
        (tmp_path / "yoke.conf").write_text(f"""
[guest]
memory = 64M
start = direct
kernel = hostile
failure_policy = restart
watchdog = 10s
command_line = "{seed}"
[disk]
boot = none
mirror1 = serial:disk0
[network]
public1 = {PORT_MAC}
[trace]
level = error
""")
        files = [(tmp_path / "yoke.conf", ""), (kernel_image(tmp_path), "")]
        return server(kernel=kernel, append="debug_exit", initrd=files, memory="256M", nics=[Nic(mac=PORT_MAC)],
                      disks=[Disk(disks.make_raw(tmp_path / "disk.img", 4 * MIB))])

    return start


def press_reset(machine):
    """At the server's side of the console, where it has to answer, and back."""
    machine.send("\x1d")
    machine.expect_prompt("yoke a> ")
    machine.send("guest reset\r")
    machine.expect_prompt("yoke a> ")
    machine.send("\x1d")


def test_hostile_guest(hostile, rounds):
    """Its watchdog, or at last this test, resets a guest that has brought itself to a halt; it goes on with its count
    and its random numbers where it was. A tenth of what `make soak` does, which takes minutes."""
    seed, things = 1, rounds(100_000, 1_000_000)
    print(f"seed {seed}")
    machine = hostile(seed)
    done = resets = 0
    while done < things:
        try:
            machine.expect("@@ 10000 more$", PATIENCE_S)
            done += THINGS_A_LINE
        except ServerError:
            assert machine.running, machine.describe(f"seed {seed}: the server ended after {done} things")
            resets += 1
            assert resets < 100, machine.describe(f"seed {seed}: {done} things, {resets} resets")
            press_reset(machine)
    press_reset(machine)
    machine.never("fail-stop")
