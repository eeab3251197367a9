# SPDX-License-Identifier: Apache-2.0
"""The harness itself: what other tests believe in without looking."""

import hashlib
import re

import pytest

from tests.bench.linux_guest import boot_linux
from tests.pair import disks
from tests.pair.network import BROADCAST, TEST_ETHERTYPE, Peer, frame
from tests.pair.qemu import Disk, Nic, Server, ServerError


def test_kernel_starts(server, kernel):
    machine = server(kernel=kernel, memory="256M", append="greeting=hello")
    machine.expect(r"^Yoke \S+")


def test_server_dies_and_comes_back(server, kernel, network):
    """The same disks, the same cable, a console that goes on behind what was there."""
    tap = network.tap("tap0")
    machine = server(kernel=kernel, memory="256M", nics=[Nic(tap, "e1000")])
    machine.expect(r"^Yoke \S+")
    machine.kill()
    assert not machine.running
    machine.start()
    machine.expect(r"^Yoke \S+")
    assert len(re.findall(r"^Yoke \S+", machine.output, re.MULTILINE)) == 2
    machine.qmp("stop")
    assert machine.qmp("query-status")["status"] == "paused"


class LateReader(Server):
    """Reads nothing of the console before QEMU has ended."""

    def _read_console(self, console):
        self.process.wait()
        super()._read_console(console)


def test_no_byte_is_lost_to_a_slow_reader(tmp_path, test_kernel):
    """A serial port that is stuck for long is given up by whoever writes to it; so it never is."""
    outputs = []
    for kind in (Server, LateReader):
        with kind(tmp_path / kind.__name__, kernel=test_kernel, append="debug_exit test=list", memory="256M") as machine:
            assert machine.exit_code() == 0
            outputs.append(machine.output)
    assert len(outputs[0]) > 1000 and outputs[1] == outputs[0]


def test_half_a_line_is_no_match(server):
    """A number that is still arriving is not taken for a shorter one."""
    machine = server(memory="64M", paused=True)
    machine._output = "count 12"
    with pytest.raises(ServerError):
        machine.expect(r"count (\d+)", timeout_s=0.1)
    machine.expect_prompt("count 12")
    machine._output += "34\n"
    machine._position = 0
    assert machine.expect(r"count (\d+)$")[1] == "1234"


def test_refused_command_line_is_told(tmp_path):
    with pytest.raises(ServerError, match="no-such-machine"):
        Server(tmp_path, machine="no-such-machine").start()


def test_silence_ends_at_the_time_out(server):
    machine = server(memory="64M")
    with pytest.raises(ServerError, match="no /never said/ within 1 s"):
        machine.expect("never said", timeout_s=1)
    assert machine.running
    machine.kill()
    with pytest.raises(ServerError, match="QEMU ended while waiting"):
        machine.expect("never said")


def test_monitor_answers(server):
    machine = server(memory="64M", paused=True)
    assert machine.qmp("query-status")["status"] == "prelaunch"
    machine.qmp("cont")
    assert machine.qmp("query-status")["status"] == "running"
    assert "CS =" in machine.hmp("info registers")


def test_disks_of_every_kind_are_there(server, tmp_path):
    kinds = ["virtio", "nvme", "ahci"]
    images = [disks.make_raw(tmp_path / f"{kind}.img", 4 << 20, seed=1) for kind in kinds]
    given = [Disk(path, kind, breakable=True) for path, kind in zip(images, kinds)]
    machine = server(memory="64M", disks=given)
    nodes = [block["inserted"]["node-name"] for block in machine.qmp("query-block")]
    assert nodes == ["disk0", "disk1", "disk2"]
    machine.hmp('qemu-io disk1 "read 512 1024"')
    assert "read 1024/1024 bytes at offset 512" in machine.words()


def test_injected_error_hits_its_sector_only(server, tmp_path):
    image = disks.make_raw(tmp_path / "a.img", 4 << 20)
    disk = Disk(image, inject=[disks.inject_error("read", sector=8)])
    machine = server(memory="64M", paused=True, disks=[disk])
    machine.hmp('qemu-io disk0 "read 8192 512"')
    assert "read 512/512" in machine.words()
    machine.hmp('qemu-io disk0 "read 4096 512"')
    assert "read failed: Input/output error" in machine.words()


def test_images_read_back(tmp_path):
    raw = disks.make_raw(tmp_path / "a.img", 1 << 20, seed=7)
    assert disks.sha256(raw) == hashlib.sha256(disks.pattern(7, 1 << 20)).hexdigest()
    part = disks.pattern(7, 1 << 20)[70000:80000]
    assert disks.sha256(raw, 70000, 10000) == hashlib.sha256(part).hexdigest()
    overlay = disks.make_qcow(tmp_path / "a.qcow2", 1 << 20, backing=raw)
    disks.check_qcow(overlay)
    assert disks.sha256(disks.to_raw(overlay, tmp_path / "b.img")) == disks.sha256(raw)


def test_cable_carries_frames(server, network):
    """The network boot of QEMU's own ROM asks for an address: its frames reach the peer."""
    tap = network.tap("tap0", mtu=9000)
    with Peer(tap) as peer:
        server(memory="64M", nics=[Nic(tap, "e1000", mac="52:54:00:00:00:17", boot=True)], icount=None)
        seen = peer.receive(lambda data: data[:6] == BROADCAST and data[12:14] == b"\x08\x00")
        assert seen and seen[6:12] == bytes.fromhex("525400000017")
        peer.send(frame(BROADCAST, peer.mac, TEST_ETHERTYPE, b"x" * 9000))
        assert peer.receive(lambda data: data[6:12] == peer.mac, 0.2) is None, "own frames come back"


def test_linux_judges_a_disk(tmp_path):
    """Debian's kernel, modules loaded in order, sees the bytes that the host wrote."""
    image = disks.make_raw(tmp_path / "a.img", 1 << 20, seed=9)
    output = boot_linux(tmp_path, "sha256sum /dev/vda; ls /bin/lsblk", flavour="cloud",
                        modules=["virtio_pci", "virtio_blk"], binaries=["/bin/lsblk"], disks=[Disk(image)])
    assert output.splitlines() == [f"{disks.sha256(image)}  /dev/vda", "/bin/lsblk"]


def test_linux_tells_a_failed_script(tmp_path):
    with pytest.raises(ServerError, match="ended with status 3"):
        boot_linux(tmp_path, "exit 3", flavour="cloud")
