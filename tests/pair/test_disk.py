# SPDX-License-Identifier: Apache-2.0
"""Disk drivers in QEMU: what they write is read by tools that are not ours, what the host prepared
is read by them, and the disks fail in every way that QEMU can make them fail. tests/guest/disk.c is
the other side and describes its commands."""

import re
import struct

import pytest

from tests.pair import disks
from tests.pair.qemu import Disk

KINDS = ["ahci", "nvme", "virtio"]
# QEMU's AHCI disks have sectors of 512 bytes only; the unit tests have both.
KINDS_AND_SECTORS = [("ahci", 512), ("nvme", 512), ("nvme", 4096), ("virtio", 512), ("virtio", 4096)]
SIZE = 8 << 20
UNIT = 512
EIO, ENODEV, EINVAL, EROFS, ETIMEDOUT, ECANCELED = 5, 19, 22, 30, 116, 140  # Newlib's
MASK = (1 << 64) - 1


def pattern(first_unit: int, count: int, seed: int) -> bytes:
    """The contents of units: pattern_write() of tests/guest/disk.c."""
    words = struct.Struct("<64Q")
    units = []
    for unit in range(first_unit, first_unit + count):
        base = (unit + 1) * 0x9E3779B97F4A7C15 + seed
        units.append(words.pack(*[(base + i * 0xD1342543DE82EF95) & MASK for i in range(64)]))
    return b"".join(units)


class DiskServer:
    """Commands to tests/guest/disk.c and its answers."""

    def __init__(self, machine, disk_id: str = "disk0"):
        self.machine = machine
        self.disk_id = disk_id
        line = r'^disk: (\S+) serial "(.*)" sectors (\d+) of (\d+) depth (\d+) cache (\d) fua (\d) read_only (\d)$'
        fields = machine.expect(line).groups()
        self.driver, self.serial = fields[:2]
        self.sectors, self.sector_size, self.depth, self.cache, self.fua, self.read_only = map(int, fields[2:])

    def start(self, command: str) -> int:
        """Starts a request: its number, or the (negative) error that refused it."""
        self.machine.send(command + "\r")
        number, error = self.machine.expect(r"^disk: (?:request (\d+) started|refused: (-\d+))$").groups()
        return int(number or error)

    def ended(self, *numbers: int, timeout_s: float = 120) -> list:
        """Waits for these requests: (status, first failed sector, their count, wrong units) of each.
        Looks at the whole console: requests end in any order, and between other answers."""
        for number in numbers:
            self.machine.wait_for(rf"^disk: request {number} ended: ", timeout_s)
        pattern_ended = r"^disk: request (\d+) ended: status (-?\d+), failed (\d+)\+(\d+), (\d+) wrong$"
        found = [tuple(map(int, fields)) for fields in re.findall(pattern_ended, self.machine.output, re.M)]
        results = {number: tuple(rest) for number, *rest in found}
        assert len(results) == len(found), "a request ended twice"
        return [results[number] for number in numbers]

    def run(self, command: str) -> tuple:
        number = self.start(command)
        assert number > 0, f"{command}: refused with {number}"
        return self.ended(number)[0]

    def work(self, command: str) -> tuple:
        """`fill` or `check`: requests that failed, units that were wrong."""
        self.machine.send(command + "\r")
        return tuple(map(int, self.machine.expect(r"^disk: worked: (\d+) failed, (\d+) wrong$", 120).groups()))

    def reset(self) -> int:
        self.machine.send("reset\r")
        return int(self.machine.expect(r"^disk: reset: (-?\d+)$")[1])

    def status(self) -> dict:
        self.machine.send("status\r")
        words = self.machine.expect(r"^disk: (reads .*)$")[1].split()
        return dict(zip(words[::2], map(int, words[1::2])))

    def end(self):
        self.machine.send("end\r")
        self.machine.expect("^self-test disk_server: passed$")
        assert self.machine.exit_code() == 0


GOOD = (0, 0, 0, 0)


@pytest.fixture
def serve(server, test_kernel):
    """serve(Disk, ...) starts the guest side on the first disk."""

    def start(*all_disks, options: str = "", **more) -> DiskServer:
        machine = server(kernel=test_kernel, append=f"debug_exit test=disk_server {options}".strip(), memory="256M",
                         disks=all_disks, **more)
        return DiskServer(machine)

    return start


@pytest.mark.parametrize("kind,sector_size", KINDS_AND_SECTORS)
def test_what_is_written_is_on_the_disk(serve, tmp_path, kind, sector_size):
    """Many requests of odd sizes into a qcow2 image; qemu-img and sha256sum read it."""
    image = disks.make_qcow(tmp_path / "disk.qcow2", SIZE)
    disk = serve(Disk(image, kind, format="qcow2", serial="SN-4711", sector_size=sector_size))
    per_sector = sector_size // UNIT
    sectors = SIZE // sector_size
    assert (disk.serial, disk.sectors, disk.sector_size, disk.cache) == ("SN-4711", sectors, sector_size, 1)
    assert disk.depth >= 31
    assert disk.work(f"fill 0 {sectors} 11 7 32") == (0, 0)
    largest = (128 << 10) // sector_size
    assert disk.work(f"fill 5 {4 * largest + 3} 12 {largest} 3") == (0, 0)
    assert disk.run(f"write {sectors - 1} 1 13") == GOOD
    assert disk.run("flush") == GOOD
    assert disk.work(f"check 5 {4 * largest + 3} 12 3 31") == (0, 0)
    assert disk.run(f"read {sectors - 1} 1 13") == GOOD
    # That the comparison can fail at all:
    assert disk.run("read 0 2 12")[3] == 2 * per_sector
    disk.end()

    expected = bytearray(pattern(0, SIZE // UNIT, 11))
    expected[5 * sector_size : (5 + 4 * largest + 3) * sector_size] = pattern(
        5 * per_sector, (4 * largest + 3) * per_sector, 12)
    expected[-sector_size:] = pattern(SIZE // UNIT - per_sector, per_sector, 13)
    wanted = disks.make_raw(tmp_path / "wanted.raw", SIZE, bytes(expected))
    disks.check_qcow(image)
    assert disks.sha256(disks.to_raw(image, tmp_path / "disk.raw")) == disks.sha256(wanted)


@pytest.mark.parametrize("kind,sector_size", KINDS_AND_SECTORS)
def test_what_the_host_prepared_is_read(serve, tmp_path, kind, sector_size):
    image = disks.make_raw(tmp_path / "disk.raw", SIZE, pattern(0, SIZE // UNIT, 77))
    disk = serve(Disk(image, kind, sector_size=sector_size, read_only=kind == "virtio"))
    assert disk.work(f"check 0 {SIZE // sector_size} 77 5 32") == (0, 0)
    assert disk.work(f"check 0 {SIZE // sector_size} 77 {(128 << 10) // sector_size} 1") == (0, 0)
    if kind == "virtio":  # the one of the three that can tell
        assert disk.read_only
        assert disk.start("write 0 1 1") == -EROFS
    disk.end()
    assert disks.sha256(image) == disks.sha256(disks.make_raw(tmp_path / "same", SIZE, pattern(0, SIZE // UNIT, 77)))


@pytest.mark.parametrize("kind", KINDS)
def test_ranges_outside_are_refused(serve, tmp_path, kind):
    disk = serve(Disk(disks.make_raw(tmp_path / "disk.raw", SIZE), kind))
    assert disk.start(f"read {disk.sectors} 1 0") == -EINVAL
    assert disk.start(f"write {disk.sectors - 1} 2 0") == -EINVAL
    assert disk.start(f"read {2**64 - 1} 2 0") == -EINVAL
    assert disk.status()["errors"] == 0
    disk.end()


@pytest.mark.parametrize("kind", KINDS)
def test_disks_of_all_kinds_together(serve, tmp_path, kind):
    """Three kinds, two of each: each is the one that it says it is."""
    machines = [Disk(disks.make_raw(tmp_path / f"{name}{i}.raw", SIZE), name, serial=f"{name}-{i}")
                for name in KINDS for i in range(2)]
    all_serials = {disk.serial for disk in machines}
    disk = serve(*machines, options=f"disk={KINDS.index(kind) * 2 + 1}", machine="pc")
    assert set(re.findall(r'serial "(\w+-\d)"', disk.machine.output)) == all_serials
    assert disk.work("fill 0 1000 3 8 16") == (0, 0)
    serial = disk.serial
    disk.end()
    for one in machines:
        contents = disks.read(one.path, 0, 1000 * UNIT)
        assert contents == (pattern(0, 1000, 3) if one.serial == serial else bytes(1000 * UNIT)), one.serial


@pytest.mark.parametrize("kind", KINDS)
def test_bad_sectors_fail_and_nothing_else(serve, tmp_path, kind):
    """One sector cannot be read, one cannot be written; alone and in a full queue. (QEMU's virtio-blk
    would merge neighbouring requests into one, which then fail together.)"""
    faults = [disks.inject_error("read", 1003), disks.inject_error("write", 2005)]
    image = disks.make_raw(tmp_path / "disk.raw", SIZE)
    properties = "request-merging=off" if kind == "virtio" else ""
    disk = serve(Disk(image, kind, inject=faults, properties=properties))
    assert disk.run("write 1000 8 4") == GOOD
    assert disk.run("read 1000 8 4") == (-EIO, 1000, 8, 0)
    assert disk.run("read 1004 4 4") == GOOD
    assert disk.run("write 2000 8 5") == (-EIO, 2000, 8, 0)
    assert disk.run("through 2005 1 5") == (-EIO, 2005, 1, 0)
    assert disk.run("write 2006 8 5") == GOOD
    assert disk.work("fill 1600 800 6 8 32") == (1, 0)
    assert disk.work("fill 600 800 6 8 32") == (0, 0)
    assert disk.work("check 600 800 6 8 32") == (1, 0)
    # Both ends of the bad sectors' requests, now without these sectors.
    assert disk.work("check 600 403 6 8 32") == (0, 0)
    assert disk.work("check 1004 396 6 8 32") == (0, 0)
    status = disk.status()
    assert (status["errors"], status["timeouts"], status["device_faults"], status["gone"]) == (5, 0, 0, 0)
    disk.end()
    assert disks.read(image, 600 * UNIT, 800 * UNIT) == pattern(600, 800, 6)
    assert disks.read(image, 1600 * UNIT, 400 * UNIT) == pattern(1600, 400, 6)
    assert disks.read(image, 2008 * UNIT, 392 * UNIT) == pattern(2008, 392, 6)


@pytest.mark.parametrize("kind", KINDS)
def test_flush_reaches_the_disk(serve, tmp_path, kind):
    """A flush that fails must be told: so one was sent. A write-through without FUA sends one too, a
    plain write does not. (QEMU's NVMe has FUA but does nothing about it; that the bit is set is seen
    in the unit test.)"""
    image = disks.make_raw(tmp_path / "disk.raw", SIZE)
    disk = serve(Disk(image, kind, inject=[disks.inject_error("flush")]))
    assert disk.run("write 0 8 1") == GOOD
    assert disk.run("flush")[0] == -EIO
    assert disk.run("through 100 8 1") == (GOOD if disk.fua else (-EIO, 100, 8, 0))
    assert disk.fua == (kind == "nvme")
    assert disk.run("read 0 8 1") == GOOD
    disk.end()


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_cache_nothing_is_lost(serve, tmp_path, kind):
    disk = serve(Disk(disks.make_raw(tmp_path / "disk.raw", SIZE), kind, cache="writethrough"))
    assert disk.cache == 0
    for command in ("write 0 8 1", "through 8 8 1", "flush", "read 0 16 1"):
        assert disk.run(command) == GOOD
    disk.end()


@pytest.mark.parametrize("kind", KINDS)
def test_a_slow_disk_is_waited_for(serve, tmp_path, kind):
    """Requests that take seconds, but not too many, end well."""
    disk = serve(Disk(disks.make_raw(tmp_path / "disk.raw", SIZE), kind), icount=None)
    disks.set_throttle(disk.machine, "disk0", bytes_per_s=100_000)
    started = [disk.start(f"write {sector} 128 2") for sector in (0, 128, 256)]
    assert disk.ended(*started) == [GOOD] * 3
    disks.set_throttle(disk.machine, "disk0")
    assert disk.work("check 0 384 2 64 4") == (0, 0)
    status = disk.status()
    assert (status["timeouts"], status["resets"]) == (0, 0)
    disk.end()


@pytest.mark.parametrize("kind", KINDS)
def test_a_hung_disk_is_reset(serve, tmp_path, kind):
    """The first request uses up the disk's allowance, the others would take longer than a request may.
    (With a blkdebug breakpoint QEMU itself hangs in the reset: its devices wait for their requests.)"""
    disk = serve(Disk(disks.make_raw(tmp_path / "disk.raw", SIZE), kind), icount=None)
    disks.set_throttle(disk.machine, "disk0", bytes_per_s=2_000)
    started = [disk.start(f"write {sector} 128 2") for sector in (0, 128, 256)]
    results = disk.ended(*started)
    assert results[0] == GOOD
    assert results[1] == (-ETIMEDOUT, 128, 128, 0)
    assert results[2] in [(-ETIMEDOUT, 256, 128, 0), (-ECANCELED, 256, 128, 0)]
    disks.set_throttle(disk.machine, "disk0")
    status = disk.status()
    assert (status["resets"], status["device_faults"], status["gone"]) == (1, 0, 0)
    assert status["timeouts"] >= 1
    assert disk.work("fill 0 2000 9 16 32") == (0, 0)
    assert disk.work("check 0 2000 9 16 32") == (0, 0)
    disk.end()


@pytest.mark.parametrize("kind", KINDS)
def test_reset_on_request(serve, tmp_path, kind):
    disk = serve(Disk(disks.make_raw(tmp_path / "disk.raw", SIZE), kind))
    for seed in range(3):
        assert disk.work(f"fill 0 2000 {seed} 16 32") == (0, 0)
        assert disk.reset() == 0
        assert disk.work(f"check 0 2000 {seed} 16 32") == (0, 0)
    assert disk.status()["resets"] == 3
    disk.end()


@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_that_is_pulled_out(serve, tmp_path, kind):
    """While it works (QEMU's AHCI does not survive that, so there while idle)."""
    disk = serve(Disk(disks.make_raw(tmp_path / "disk.raw", SIZE), kind), machine="pc", icount=None)
    assert disk.run("write 0 128 1") == GOOD
    started = []
    if kind != "ahci":
        disks.set_throttle(disk.machine, "disk0", bytes_per_s=20_000)
        started = [disk.start(f"read {sector} 128 0") for sector in (0, 128, 256)]
    disk.machine.unplug("disk0-ahci" if kind == "ahci" else "disk0-device")
    # virtio finishes on its way out what it has begun; NVMe forgets it.
    assert all(result[0] in (0, -ENODEV) for result in disk.ended(*started))
    # The driver looks every 100 ms; until then a request may get in, and then it ends with the same error.
    number = disk.start("read 0 8 0")
    if number > 0:
        assert disk.ended(number)[0][0] == -ENODEV
    assert disk.start("read 0 8 0") == -ENODEV
    assert disk.reset() == -ENODEV
    assert disk.status()["gone"] == 1
    disk.end()
