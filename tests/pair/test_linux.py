# SPDX-License-Identifier: Apache-2.0
"""Debian's own kernel as the guest, on one server: it boots, answers at its serial console, and a
recording of a run replays to the same position, step count and digest of everything, whatever the
slices it runs in."""

import re
from pathlib import Path

import pytest

from tests.bench.linux_guest import COMMAND_LINE, build_initramfs, kernel_package

GUEST_END = r"^guest: (.+) at exit (\d+) \+ (\d+), rip (0x[0-9a-f]+), (\d+) steps, digest ([0-9a-f]+)"
RECORDING = "record.log"

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


@pytest.fixture
def guest(server, kernel, tmp_path):
    """guest(script, mode, ...) starts a server whose guest runs `script`; the recording goes to or
    comes from tmp_path."""
    def start(script: str, mode: str = "off", options: str = "", memory: str = "128M", modules=()):
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
[record]
mode = {mode}
port = 0x2f8
""")
        files = [(folder / name, "") for name in ("yoke.conf", "vmlinuz", "initrd")]
        extra = []
        if mode == "record":
            extra = ["-chardev", f"file,id=recording,path={tmp_path / RECORDING}",
                     "-device", "isa-serial,chardev=recording,index=1"]
        elif mode == "replay":
            (folder / RECORDING).write_bytes((tmp_path / RECORDING).read_bytes())
            files.append((folder / RECORDING, ""))
        return server(kernel=kernel, append=f"debug_exit {options}".strip(), initrd=files, memory="384M", extra=extra)

    return start


def end_of(machine, timeout_s: float = 300) -> tuple:
    return machine.expect(GUEST_END, timeout_s).groups()


def test_boots_to_its_script_and_off(guest):
    machine = guest(MIXED_LOAD)
    machine.expect("^uname: Linux", 300)
    machine.expect("^compressed and back")
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


def recorded(guest, options: str = "") -> tuple:
    machine = guest(MIXED_LOAD, "record", options)
    end = end_of(machine)
    assert end[0] == "off"
    machine.expect("^the recording is complete: [0-9]+ bytes", 60)
    machine.kill()
    return end


def test_recording_replays_to_the_same_end(guest):
    end = recorded(guest)
    assert end_of(guest(MIXED_LOAD, "replay")) == end


@pytest.mark.parametrize("record_mean, replay_mean", [(100000, 20000)])
def test_recording_replays_in_other_slices(guest, record_mean, replay_mean):
    end = recorded(guest, f"slice_mean={record_mean} slice_seed=7")
    assert end_of(guest(MIXED_LOAD, "replay", f"slice_mean={replay_mean} slice_seed=8")) == end


def test_damaged_recording_is_told(guest, tmp_path):
    """One time in the recording changed: the run must end otherwise and say so, not go on as if nothing was."""
    end = recorded(guest)
    path = tmp_path / RECORDING
    log = bytearray(path.read_bytes())
    log[len(log) // 2] ^= 1
    path.write_bytes(log)
    machine = guest(MIXED_LOAD, "replay")
    assert end_of(machine) != end
    assert not re.search(r"^guest: off at", machine.output, re.M)
