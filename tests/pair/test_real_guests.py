# SPDX-License-Identifier: Apache-2.0
"""Guests that are not Debian from a disk and not the small Linux of the other tests: Debian's generic kernel,
memtest86+ and GRUB's own shell. Each touches hardware in its own way."""

import re
import subprocess
import sys

import pytest

from tests.bench.debian import unpacked
from tests.bench.linux_guest import COMMAND_LINE, build_initramfs, kernel_package
from tests.pair.qemu import ROOT, Disk

sys.path.insert(0, str(ROOT / "tools"))
import image as image_builder  # noqa: E402

FIRMWARE = "/usr/share/seabios/bios-256k.bin"


@pytest.fixture
def direct_guest(server, kernel, tmp_path):
    """direct_guest(kernel file, command line) starts a server whose guest is that kernel; `initrd`: with the one in
    tmp_path."""

    def start(guest_kernel, command_line: str, initrd: bool = False, memory: str = "128M"):
        (tmp_path / "vmlinuz").write_bytes(guest_kernel.read_bytes())
        (tmp_path / "yoke.conf").write_text(f"""
[guest]
memory = {memory}
start = direct
kernel = vmlinuz
{"initrd = initrd" if initrd else ""}
failure_policy = stop
command_line = "{command_line}"
""")
        names = ["yoke.conf", "vmlinuz"] + (["initrd"] if initrd else [])
        return server(kernel=kernel, append="debug_exit", initrd=[(tmp_path / name, "") for name in names],
                      memory="384M")

    return start


def test_generic_kernel(direct_guest, tmp_path):
    """linux-image-amd64, with the drivers for all real hardware that the cloud kernel leaves out."""
    image, modules = kernel_package("generic")
    build_initramfs(tmp_path / "initrd", "uname -r; echo uptime $(cat /proc/uptime)", modules, [])
    machine = direct_guest(image, COMMAND_LINE, initrd=True)
    machine.expect(f"^{re.escape(modules.name)}$", 600)
    machine.expect("^guest: off at exit")


def test_memtest86(direct_guest):
    """Debian's package. It draws what it does every two seconds; test 6 takes longer than that, so it is seen, and
    then one pass of tests 0 to 5 has ended."""
    machine = direct_guest(unpacked("memtest86+") / "boot/memtest86+x64.bin", "console=ttyS0,115200 nopause nobench",
                           memory="32M")
    machine.expect_prompt("#6  [Moving inversions, 64 bit pattern]", 600)
    machine.expect_prompt("Errors: 0 ")
    assert set(re.findall(r"Errors: (\d+) ", machine.output)) == {"0"}


GRUB_AT_SERIAL = """
serial --unit=0 --speed=115200
terminal_input serial
terminal_output serial
"""


@pytest.fixture
def grub_disk(tmp_path):
    """A disk with nothing on it but GRUB, which therefore shows its shell."""
    (tmp_path / "early.cfg").write_text(GRUB_AT_SERIAL)
    core, path = tmp_path / "core.img", tmp_path / "grub.img"
    subprocess.run(["grub-mkimage", "-O", "i386-pc", "-p", "(hd0,gpt1)/", "-c", str(tmp_path / "early.cfg"), "-o", str(core),
                    "biosdisk", "part_gpt", "normal", "serial", "terminal", "ls", "lsmmap", "reboot", "halt"], check=True)
    start = image_builder.ALIGNMENT
    image_builder.write_partition_table(path, [
        (1, start, image_builder.BIOS_BOOT_SIZE, image_builder.BIOS_BOOT_TYPE, "BIOS boot")])
    image_builder.install_grub(path, "/usr/lib/grub/i386-pc/boot.img", core, start)
    return path


def test_grub_shell(server, kernel, grub_disk, tmp_path):
    """Real mode and protected mode in turn, with BIOS calls for disk, memory map, reset and power. SeaBIOS shares
    the serial port with GRUB and keeps the last character of a line (the one of "Welcome to GRUB!") until it is
    called again, which may be in the middle of an answer."""
    (tmp_path / "yoke.conf").write_text("[guest]\nmemory = 128M\n[disk]\nboot = none\nmirror1 = serial:disk0\n")
    machine = server(kernel=kernel, append="debug_exit", memory="384M", disks=[Disk(grub_disk)],
                     initrd=[(tmp_path / "yoke.conf", ""), (FIRMWARE, "")])
    for command, answer in (("ls", r"\(hd0,gpt1\)"), ("lsmmap", "length = 0x7e.*available"),
                            ("reboot", "guest: running -> running: reset")):
        machine.expect_prompt("grub> ", 300)
        machine.send(f"{command}\r")
        machine.expect(answer)
    machine.expect_prompt("grub> ", 300)
    machine.send("halt\r")
    machine.expect("^guest: off at exit")
