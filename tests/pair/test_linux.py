# SPDX-License-Identifier: Apache-2.0
"""Debian's own kernel as the guest, on one server: it boots, answers at its serial console, and a
recording of a run replays to the same position, step count and digest of everything, whatever the
slices it runs in."""

import math
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.linux_guest import COMMAND_LINE, build_initramfs, kernel_package
from tests.pair import disks
from tests.pair.qemu import ROOT, Disk, Nic

PORT_MAC = "52:54:00:12:34:01"
HOST_ADDRESS, GUEST_ADDRESS = "10.77.0.1", "10.77.0.2"
GUEST_END = r"^guest: (.+) at exit (\d+) \+ (\d+), rip (0x[0-9a-f]+), (\d+) steps, digest ([0-9a-f]+)"
RECORDING = "record.log"

# The server's clock: a replay on another day shows the guest the day of the recording.
DATE = "2031-05-06"
CLOCK, OTHER_CLOCK = f"base={DATE}T07:08:09,clock=vm", "base=2040-02-29T23:59:59,clock=vm"

# Timers, processes, files, page faults: something of everything that could differ.
MIXED_LOAD = """
echo "uname: $(uname -s)"
for i in 1 2 3 4 5 6 7 8 9 10; do (echo $i | md5sum > /tmp/sum.$i) & done
wait
seq 1 20000 > /tmp/numbers
gzip < /tmp/numbers | gunzip | cmp - /tmp/numbers && echo "compressed and back"
sleep 0.05
date
"""

# All of it at once with a disk and a network.
DEVICES_LOAD = f"""
ip address add {GUEST_ADDRESS}/24 dev eth0
ip link set eth0 up
dd if=/dev/urandom of=/tmp/data bs=64k count=8 2>/dev/null
(for i in 1 2 3; do dd if=/tmp/data of=/dev/vda bs=4k conv=fsync seek=$((i * 128)) 2>/dev/null; done) &
wget -q -O /tmp/fetched http://{HOST_ADDRESS}/file &
(ping -c 4 -i 0.02 -W 10 {HOST_ADDRESS} > /tmp/ping) &
{MIXED_LOAD}
wait
echo 3 > /proc/sys/vm/drop_caches
dd if=/dev/vda bs=4k skip=384 count=128 2>/dev/null | cmp - /tmp/data && echo "to the disk and back"
echo "fetched $(sha256sum < /tmp/fetched)"
grep received /tmp/ping
"""


def serial_to(path, index: int) -> list[str]:
    """QEMU's words for the serial port `index`, whose output goes to a file."""
    return ["-chardev", f"file,id=serial{index},path={path}", "-device", f"isa-serial,chardev=serial{index},index={index}"]


@pytest.fixture
def guest(server, kernel, tmp_path):
    """guest(script, mode, ...) starts a server whose guest runs `script`; the recording goes to or
    comes from tmp_path."""
    def start(script: str, mode: str = "off", options: str = "", memory: str = "128M", modules=(), trail: str = "",
              **devices):
        image, folder_of_modules = kernel_package("cloud")
        folder = tmp_path / "files"
        folder.mkdir(exist_ok=True)
        (folder / "vmlinuz").write_bytes(Path(image).read_bytes())
        build_initramfs(folder / "initrd", script, folder_of_modules, list(modules))
        (folder / "yoke.conf").write_text(f"""
[guest]
memory = {memory}
start = direct
kernel = vmlinuz
initrd = initrd
failure_policy = stop
command_line = "{COMMAND_LINE}"
[disk]
boot = none
mirror1 = {"serial:disk0" if "disks" in devices else "none"}
[network]
public1 = {PORT_MAC if "nics" in devices else "none"}
[record]
mode = {mode}
port = 0x2f8
trail = {"yes" if trail else "no"}
trail_port = 0x3e8
""")
        files = [(folder / name, "") for name in ("yoke.conf", "vmlinuz", "initrd")]
        extra = []
        if mode == "record":
            extra = serial_to(tmp_path / RECORDING, 1)
        elif mode == "replay":
            (folder / RECORDING).write_bytes((tmp_path / RECORDING).read_bytes())
            files.append((folder / RECORDING, ""))
        if trail:
            extra += serial_to(tmp_path / trail, 2)
        return server(kernel=kernel, append=f"debug_exit {options}".strip(), initrd=files, memory="384M", extra=extra,
                      **devices)

    return start


def end_of(machine, timeout_s: float = 300) -> tuple:
    return machine.expect(GUEST_END, timeout_s).groups()


def assert_same_end(end: tuple, recorded_end: tuple, note: str = ""):
    """Why it ended, position, rip and digest are the same, and so is the number of steps in all, but for the one that QEMU's
    TLB may add or not where Linux copies a return over memcpy's own last jump (docs/VCPU.md)."""
    assert (*end[:4], end[5]) == (*recorded_end[:4], recorded_end[5]), note
    assert abs(int(end[4]) - int(recorded_end[4])) <= 1, f"{end} for {recorded_end} {note}"


def test_boots_to_its_script_and_off(guest):
    machine = guest(f"{MIXED_LOAD}\ndate -u '+@@ %F'", rtc=CLOCK)
    machine.expect("^uname: Linux", 300)
    machine.expect("^compressed and back")
    machine.expect(f"^@@ {DATE}$")
    assert end_of(machine)[0] == "off"


def test_shell_answers(guest):
    """A person types into the guest's serial port; in between the guest is idle and the server halts."""
    machine = guest("echo '@@ shell'; sh; echo '@@ left'")
    machine.expect("^@@ shell", 300)
    machine.send("echo $((6 * 7)) is the answer\r")
    machine.expect("^42 is the answer")
    machine.send("exit\r")
    machine.expect("^@@ left")
    assert end_of(machine)[0] == "off"


def test_guest_has_entropy(guest):
    """virtio-rng answers: the guest's generator is ready without waiting for noise."""
    machine = guest("head -c 512 /dev/hwrng | wc -c | sed 's/^/@@ bytes /'", modules=["virtio_pci", "virtio_rng"])
    machine.expect("^@@ bytes 512", 300)
    assert end_of(machine)[0] == "off"


def recorded(guest, script: str = MIXED_LOAD, options: str = "", **more) -> tuple:
    machine = guest(script, "record", options, **more)
    end = end_of(machine, 3600)
    assert end[0] == "off"
    machine.wait_for("^the recording is complete: [0-9]+ bytes")
    if "trail" in more:
        machine.wait_for("^the digest trail is complete")
    machine.kill()
    return end, machine.output


@pytest.fixture
def devices(network, tmp_path):
    """devices() is a new disk and a port in a network with a web server, which serves `file`."""
    (tmp_path / "served").mkdir()
    disks.make_raw(tmp_path / "served/file", 300_000, seed=1)
    tap = network.tap("tap0", address=f"{HOST_ADDRESS}/24")
    host = network.popen("busybox", "httpd", "-f", "-p", f"{HOST_ADDRESS}:80", "-h", str(tmp_path / "served"))

    def make() -> dict:
        return {"disks": [Disk(disks.make_raw(tmp_path / "disk.img", 16 << 20))], "nics": [Nic(tap, mac=PORT_MAC)],
                "modules": ["virtio_pci", "virtio_blk", "virtio_net"]}

    yield make
    host.kill()
    host.wait()


def test_recordings_replay(guest, devices, rounds, tmp_path):
    """Recorded in slices as they come and in slices of random length, by turns; replayed in others."""
    lengths = random.Random(1)
    count = rounds(4, 40)
    least = 10_000 if count == 4 else 100  # so short, a boot takes a quarter of an hour
    for number in range(count):
        means = [round(math.exp(lengths.uniform(math.log(least), math.log(100_000)))) for _ in range(2)]
        record_options, replay_options = [f"slice_mean={mean} slice_seed={number + 1}" for mean in means]
        end, output = recorded(guest, DEVICES_LOAD, record_options if number % 2 else "", rtc=CLOCK,
                               **devices())
        assert f"fetched {disks.sha256(tmp_path / 'served/file')}" in output
        assert "to the disk and back" in output
        assert " 0% packet loss" in output
        machine = guest(DEVICES_LOAD, "replay", replay_options, rtc=OTHER_CLOCK, **devices())
        assert_same_end(end_of(machine, 3600), end, f"recorded with '{record_options}', replayed with '{replay_options}'")
        machine.kill()


def test_snapshots_go_on_equal(guest, devices, rounds):
    """At random positions of a replay all of the guest is copied out, made as good as new and copied in again."""
    end, _ = recorded(guest, DEVICES_LOAD, memory="96M", **devices())
    steps, left = int(end[4]), rounds(10, 100)
    for seed in range(left):
        machine = guest(DEVICES_LOAD, "replay", f"slice_mean=20000 snapshot_mean={steps // 15} snapshot_seed={seed}",
                        memory="96M", **devices())
        assert_same_end(end_of(machine, 900), end)
        left -= len(re.findall("through a snapshot at exit", machine.output))
        machine.kill()
        if left <= 0:
            return
    raise AssertionError(f"{left} snapshots too few")


def compare_trails(first, second) -> tuple[int, str]:
    """tools/replay.py's status, and what it says."""
    result = subprocess.run([sys.executable, "tools/replay.py", first, second], cwd=ROOT, capture_output=True, text=True)
    return result.returncode, result.stdout + result.stderr


def doctored(path, number: int, field: str):
    """A copy of the trail with another digest in one field of one check."""
    lines = path.read_text().splitlines(keepends=True)
    lines[number], count = re.subn(rf"\t{re.escape(field)}=[0-9a-f]+", f"\t{field}={0:016x}", lines[number])
    assert count == 1
    copy = path.with_suffix(".doctored")
    copy.write_text("".join(lines))
    return copy


def test_difference_is_told_and_named(guest, tmp_path):
    """Trails of a recording and its replay are equal. One time in the recording changed: the run must end otherwise
    and say so, not go on as if nothing was; the trails say where and in what."""
    end, _ = recorded(guest, trail="recorded.trail")
    machine = guest(MIXED_LOAD, "replay", trail="replayed.trail")
    assert_same_end(end_of(machine), end)
    checks = machine.expect(r"^the digest trail is complete: (\d+) checks", 60)[1]
    machine.kill()
    trails = [tmp_path / f"{name}.trail" for name in ("recorded", "replayed", "damaged")]
    status, words = compare_trails(*trails[:2])
    assert (status, words.split(",")[0]) == (0, f"equal: {checks} checks")
    status, words = compare_trails(trails[0], doctored(trails[1], 7, "lapic.request"))
    assert status == 1
    assert re.match(r"check 7 differs, at \d+ \+ \d+, rip 0x[0-9a-f]+: first in lapic.request\n", words), words

    log = bytearray((tmp_path / RECORDING).read_bytes())
    log[len(log) // 2] ^= 1
    (tmp_path / RECORDING).write_bytes(log)
    machine = guest(MIXED_LOAD, "replay", trail="damaged.trail")
    assert end_of(machine) != end
    assert not re.search(r"^guest: off at", machine.output, re.M)
    machine.expect("^the digest trail is complete", 60)
    machine.kill()
    status, words = compare_trails(trails[0], trails[2])
    assert status == 1, words
    assert re.match(r"check \d+ (differs, at|is at) |the first goes on", words), words
