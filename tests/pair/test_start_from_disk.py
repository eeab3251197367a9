# SPDX-License-Identifier: Apache-2.0
"""The guest started as a server starts: SeaBIOS out of the boot files, from the guest's first disk. With a blank
disk the firmware itself is all that speaks; operating systems are in test_debian.py."""

import re

import pytest

from tests.pair import disks
from tests.pair.conftest import BUILD, build
from tests.pair.qemu import Disk

MIB = 1 << 20
FIRMWARE = "/usr/share/seabios/bios-256k.bin"
NO_SYSTEM = r"^No bootable device\.  Retrying in 60 seconds\."
BANNER = r"SeaBIOS \(version "
GUEST_END = r"guest: (.+) at exit (\d+) \+ (\d+), rip (0x[0-9a-f]+), (\d+) steps, digest ([0-9a-f]+)"


@pytest.fixture
def guest(server, kernel, tmp_path):
    """guest(conf, firmware, ...) starts a server with one blank disk whose guest starts from it."""

    def start(conf: str = "", firmware=FIRMWARE, files=(), **options):
        (tmp_path / "yoke.conf").write_text(conf)
        brought = [(path, "") for path in (tmp_path / "yoke.conf", firmware, *files) if path]
        options.setdefault("disks", [Disk(disks.make_raw(tmp_path / "blank.img", 16 * MIB), "ahci")])
        return server(kernel=kernel, append="debug_exit", initrd=brought, memory="640M", **options)

    return start


def test_image_with_an_empty_configuration(server, image, tmp_path):
    """What `make run` shows: the image boots from the second disk, the guest's firmware finds the first one blank."""
    blank = disks.make_raw(tmp_path / "blank.img", 64 * MIB)
    machine = server(disks=[Disk(blank, "ahci"), Disk(image, "ahci", boot_index=0)], memory="1G")
    machine.expect("^ready: ", 300)
    machine.expect(BANNER, 300)
    machine.expect("^Boot failed: not a bootable disk$")
    machine.expect(NO_SYSTEM)
    machine.never("not started")


def test_network_folder_brings_the_firmware():
    build("netboot")
    assert (BUILD / "boot/bios-256k.bin").read_bytes() == open(FIRMWARE, "rb").read()
    script = (BUILD / "boot/yoke.ipxe").read_text()
    assert re.search("^module bios-256k.bin bios-256k.bin$", script, re.M)
    assert re.search("^initrd bios-256k.bin$", script, re.M)


def at_the_console(machine, command: str):
    machine.send("\x1d")
    machine.expect_prompt("yoke a> ")
    machine.send(f"{command}\r")


def press_reset(machine):
    at_the_console(machine, "guest reset")
    machine.expect("guest: running -> running: reset")
    machine.send("\x1d")


def test_every_reset_starts_the_firmware_anew(guest):
    machine = guest()
    machine.expect(NO_SYSTEM, 300)
    for _ in range(2):
        press_reset(machine)
        machine.expect(BANNER)
        machine.expect(NO_SYSTEM)


def test_recording_replays(guest, tmp_path):
    """Firmware, disk requests and a reset in a recording: the replayed end is the recorded one."""
    recording = tmp_path / "record.log"
    port = ["-chardev", f"file,id=recording,path={recording}", "-device", "isa-serial,chardev=recording,index=1"]
    record = "[record]\nmode = %s\nport = 0x2f8\n"
    machine = guest(record % "record", extra=port)
    machine.expect(NO_SYSTEM, 300)
    press_reset(machine)
    machine.expect(NO_SYSTEM)
    at_the_console(machine, "guest poweroff")
    end = machine.expect(GUEST_END).groups()
    assert end[0] == "off"
    machine.expect("the recording is complete: [0-9]+ bytes", 300)
    machine.kill()
    machine = guest(record % "replay", files=[recording], name="replay")
    assert machine.expect(GUEST_END, 300).groups() == end


@pytest.mark.parametrize("size, jump, reason", [
    (2 * MIB, True, "too large, 1 MiB is the most"),
    (100 * 1024, True, "its size is not a multiple of 64 KiB from 128 KiB on"),
    (0, False, "its size is not a multiple of 64 KiB from 128 KiB on"),
    (256 * 1024, False, r"no BIOS image \(no jump at its reset vector\)"),
])
def test_unsuitable_firmware_is_refused(guest, tmp_path, size, jump, reason):
    data = bytearray(size)
    if jump:
        data[-16] = 0xEA
    firmware = tmp_path / "bios-256k.bin"
    firmware.write_bytes(data)
    machine = guest(firmware=firmware)
    machine.expect(rf"^the guest is not started: guest.start = disk: bios-256k\.bin: {reason}$")
    machine.expect_prompt("yoke a> ")


def test_missing_firmware_is_told(guest):
    machine = guest(firmware=None)
    machine.expect(r"^the guest is not started: guest.start = disk: bios-256k\.bin is not among the boot files$")
    machine.expect_prompt("yoke a> ")


def test_missing_disk_is_told(guest):
    machine = guest(disks=[])
    machine.expect("^the guest is not started: guest.start = disk: no disk of this server is mirror1$")
    machine.expect_prompt("yoke a> ")
