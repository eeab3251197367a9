# SPDX-License-Identifier: Apache-2.0
"""The guest's disks, network, entropy, power and failures: Debian's own kernel on one server, and on the far side
tools that are not ours: sha256sum on the disk's image, Linux's own network stack on the cable."""

import hashlib
import re
import socket
import threading

import pytest

from tests.bench.linux_guest import COMMAND_LINE, build_initramfs, kernel_package
from tests.pair import disks
from tests.pair.pair import GUEST_CONSOLE
from tests.pair.qemu import Disk, Nic

MIB = 1 << 20
GUEST_MAC = "02:59:4f:4b:45:10"
PORT_MAC = "52:54:00:12:34:01"
HOST_ADDRESS = "10.77.0.1"
HOST_ADDRESS_6, GUEST_ADDRESS_6 = "fd77::1", "fd77::2"
GUEST_ADDRESS = "10.77.0.2"
OFF = r"^guest: off at exit"


@pytest.fixture
def guest(server, kernel, tmp_path):
    """guest(script, modules, conf="", **server options) starts a server whose guest runs `script`; `in_guest`: more
    of the section [guest]; `parameters`: of the kernel's command line."""

    def start(script: str, modules, conf: str = "", binaries=(), flavour: str = "cloud",
              in_guest: str = "failure_policy = stop", parameters: str = "", **options):
        image, folder = kernel_package(flavour)
        build_initramfs(tmp_path / "initrd", script, folder, modules, binaries)
        (tmp_path / "yoke.conf").write_text(f"""
[guest]
memory = 128M
start = direct
kernel = vmlinuz
initrd = initrd
{in_guest}
command_line = "{COMMAND_LINE} {parameters}"
{conf}
""")
        (tmp_path / "vmlinuz").write_bytes(image.read_bytes())
        files = [(tmp_path / name, "") for name in ("yoke.conf", "vmlinuz", "initrd")]
        return server(kernel=kernel, append="debug_exit", initrd=files, memory="384M", **options)

    return start


# ---- disks

WRITE_AND_READ = """
dd if=/dev/urandom of=/tmp/data bs=64k count=64 2>/dev/null
echo "made $(sha256sum < /tmp/data | cut -d' ' -f1)"
dd if=/tmp/data of=/dev/vda bs=64k conv=fsync 2>/dev/null || echo "write failed"
echo 3 > /proc/sys/vm/drop_caches
echo "read $(dd if=/dev/vda bs=64k count=64 2>/dev/null | sha256sum | cut -d' ' -f1)"
echo "sectors $(cat /sys/block/vda/size) serial $(cat /sys/block/vda/serial)"
"""


@pytest.mark.parametrize("kind", ["virtio", "nvme", "ahci"])
def test_disk_holds_what_the_guest_wrote(guest, tmp_path, kind):
    image = disks.make_raw(tmp_path / "disk.img", 64 * MIB)
    machine = guest(WRITE_AND_READ, ["virtio_pci", "virtio_blk"], disks=[Disk(image, kind)])
    made = machine.expect(r"^made ([0-9a-f]{64})$", 300).group(1)
    assert machine.expect(r"^read ([0-9a-f]{64})$").group(1) == made
    machine.expect(f"^sectors {64 * MIB // 512} serial YOKE-mirror1$")
    machine.expect(OFF)
    machine.never("write failed")
    machine.kill()
    assert disks.sha256(image, 0, 4 * MIB) == made


def test_recording_ends_where_its_line_takes_nothing(guest, tmp_path):
    """What the guest reads is in the log. It stands still while that waits for a slow line, but not for a dead one."""
    image = disks.make_raw(tmp_path / "disk.img", 8 * MIB, seed=1)
    with socket.socket(socket.AF_UNIX) as line:
        line.bind(str(tmp_path / "line"))
        line.listen()
        machine = guest("echo read $(dd if=/dev/vda bs=64k 2>/dev/null | sha256sum)", ["virtio_pci", "virtio_blk"],
                        "[record]\nmode = record\nport = 0x2f8\n", disks=[Disk(image, "nvme")],
                        extra=["-chardev", f"socket,id=line,path={tmp_path / 'line'}",
                               "-device", "isa-serial,chardev=line,index=1"])
        machine.expect("the recording ends here: record.port takes nothing$", 300)
        assert machine.expect(r"^read ([0-9a-f]{64})").group(1) == disks.sha256(image)
        machine.expect(OFF)


SCATTERED = """
for i in 1 2 3 4 5 6 7 8; do
    dd if=/dev/urandom of=/tmp/part$i bs=3k count=100 2>/dev/null
    dd if=/tmp/part$i of=/dev/vda bs=3k seek=$((i * 1000)) conv=notrunc 2>/dev/null &
done
wait
dd if=/dev/zero of=/dev/vda bs=512 count=3 seek=1001 oflag=direct conv=notrunc 2>/dev/null
sync
echo 3 > /proc/sys/vm/drop_caches
for i in 1 2 3 4 5 6 7 8; do
    dd if=/dev/vda bs=3k skip=$((i * 1000)) count=100 2>/dev/null | cmp - /tmp/part$i || echo "part $i differs"
    echo "part $i $(sha256sum < /tmp/part$i | cut -d' ' -f1)"
done
/sbin/blkdiscard -z -o 33554432 -l 1048576 /dev/vda && echo "zeroed"
/sbin/blkdiscard -o 50331648 -l 1048576 /dev/vda && echo "discarded"
"""


def test_disk_scattered_writes_and_zeroes(guest, tmp_path):
    """Many writes at once, single sectors past the cache, write-zeroes and discard."""
    image = disks.make_raw(tmp_path / "disk.img", 64 * MIB, b"\xa5" * (64 * MIB))
    machine = guest(SCATTERED, ["virtio_pci", "virtio_blk"], binaries=["/sbin/blkdiscard"], disks=[Disk(image)])
    sums = [machine.expect(rf"^part {i} ([0-9a-f]{{64}})$", 300).group(1) for i in range(1, 9)]
    machine.expect("^zeroed$")
    machine.expect("^discarded$")
    machine.expect(OFF)
    machine.never("differs")
    machine.kill()
    assert [disks.sha256(image, i * 3000 * 1024, 300 * 1024) for i in range(1, 9)] == sums
    assert disks.read(image, 1001 * 512, 3 * 512) == bytes(3 * 512)
    assert disks.read(image, 1004 * 512, 512) == b"\xa5" * 512
    assert disks.read(image, 32 * MIB, MIB) == bytes(MIB)
    assert disks.read(image, 33 * MIB, 512) == b"\xa5" * 512


ERRORS = """
dd if=/dev/vda of=/dev/null bs=4k skip=256 count=1 iflag=direct 2>/dev/null && echo "read where it fails"
dd if=/dev/vda of=/dev/null bs=4k skip=512 count=1 iflag=direct 2>/dev/null && echo "read elsewhere"
"""


def test_disk_error_is_the_guests_too(guest, tmp_path):
    image = disks.make_raw(tmp_path / "disk.img", 16 * MIB)
    disk = Disk(image, inject=[disks.inject_error("read", 256 * 8)])
    machine = guest(ERRORS, ["virtio_pci", "virtio_blk"], disks=[disk])
    machine.expect("^read elsewhere$", 300)
    machine.expect(OFF)
    machine.never("read where it fails")


LARGE_SECTORS = """
echo "sectors of $(cat /sys/block/vda/queue/logical_block_size), $(cat /sys/block/vda/size) of 512 in all"
dd if=/dev/vda bs=4k skip=1000 count=3 iflag=direct 2>/dev/null | sha256sum | sed 's/^/read /'
yes yoke | head -c 300000 > /tmp/data
sha256sum < /tmp/data | sed 's/^/wrote /'
dd if=/tmp/data of=/dev/vda bs=300000 seek=1 conv=fsync,notrunc 2>/dev/null
echo "all is written"
"""


@pytest.mark.parametrize("kind", ["virtio", "nvme"])
def test_disk_of_large_sectors(guest, tmp_path, kind):
    image = disks.make_raw(tmp_path / "disk.img", 16 * MIB, seed=9)
    machine = guest(LARGE_SECTORS, ["virtio_pci", "virtio_blk"], disks=[Disk(image, kind, sector_size=4096)])
    machine.expect("^sectors of 4096, 32768 of 512 in all$", 300)
    assert machine.expect("^read ([0-9a-f]{64})").group(1) == disks.sha256(image, 1000 * 4096, 3 * 4096)
    written = machine.expect("^wrote ([0-9a-f]{64})").group(1)
    machine.expect("^all is written$")
    machine.expect(OFF)
    machine.kill()
    assert disks.sha256(image, 300000, 300000) == written
    before, after = disks.pattern(9, 16 * MIB)[:300000], disks.pattern(9, 16 * MIB)[600000:]
    assert (disks.read(image, 0, 300000), disks.read(image, 600000, 16 * MIB)) == (before, after)


# ---- network

def network_script(script: str) -> str:
    return f"""
echo "address $(cat /sys/class/net/eth0/address)"
ip address add {GUEST_ADDRESS}/24 dev eth0
ip link set eth0 up
for i in $(seq 50); do [ "$(cat /sys/class/net/eth0/carrier)" = 1 ] && break; sleep 0.1; done
{script}
"""


def network_options(network, model):
    tap = network.tap("tap0", address=f"{HOST_ADDRESS}/24")
    return {"conf": f"[network]\npublic1 = {PORT_MAC}\n", "nics": [Nic(tap, model, PORT_MAC)]}


class Peer(threading.Thread):
    """A TCP server in the network: sends `to_send`, keeps all that it is sent."""

    def __init__(self, network, to_send: bytes):
        super().__init__(daemon=True)
        self.to_send = to_send
        self.received = b""
        with network.entered():
            self.socket = socket.create_server((HOST_ADDRESS, 7000))
        self.start()

    def run(self):
        connection, _ = self.socket.accept()
        sender = threading.Thread(target=connection.sendall, args=(self.to_send,), daemon=True)
        sender.start()
        while data := connection.recv(65536):
            self.received += data
        sender.join()
        connection.close()


TRANSFER = f"""
ping -c 3 -W 5 {HOST_ADDRESS} > /tmp/ping; grep received /tmp/ping
dd if=/dev/urandom of=/tmp/sent bs=1k count=300 2>/dev/null
nc {HOST_ADDRESS} 7000 < /tmp/sent | head -c 500000 > /tmp/received
echo "sent $(sha256sum < /tmp/sent | cut -d' ' -f1)"
echo "received $(sha256sum < /tmp/received | cut -d' ' -f1)"
"""


@pytest.mark.parametrize("model", ["e1000", "virtio-net-pci"])
def test_network_ping_and_transfer(guest, network, model):
    """Linux's TCP at both ends: what arrives is what was sent, both ways at once."""
    options = network_options(network, model)
    peer = Peer(network, disks.pattern(1, 500000))
    machine = guest(network_script(TRANSFER), ["virtio_pci", "virtio_net"], **options)
    machine.expect(f"^address {GUEST_MAC}$", 300)
    machine.expect("^3 packets transmitted, 3 packets received, 0% packet loss$")
    sent = machine.expect(r"^sent ([0-9a-f]{64})$", 300).group(1)
    received = machine.expect(r"^received ([0-9a-f]{64})$").group(1)
    machine.expect(OFF)
    peer.join(30)
    assert sha256_of(peer.received) == sent
    assert sha256_of(peer.to_send) == received


@pytest.mark.parametrize("model", ["e1000", "virtio-net-pci"])
def test_ipv6_finds_its_neighbours(guest, network, model):
    """The host asks for the guest's address by multicast, and so does the guest for the host's."""
    options = network_options(network, model)
    network.run("sh", "-c", "echo 0 > /proc/sys/net/ipv6/conf/tap0/disable_ipv6")
    network.run("ip", "address", "add", f"{HOST_ADDRESS_6}/64", "dev", "tap0", "nodad")
    script = f"""
echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_dad
ip -6 address add {GUEST_ADDRESS_6}/64 dev eth0
ping -6 -c 3 -W 5 {HOST_ADDRESS_6} > /tmp/ping; grep received /tmp/ping
ip -6 neigh flush dev eth0
echo "asked for"
read word
"""
    machine = guest(network_script(script), ["virtio_pci", "virtio_net"], **options)
    machine.expect("^3 packets transmitted, 3 packets received, 0% packet loss$", 300)
    machine.expect("^asked for$")
    network.run("ip", "-6", "neigh", "flush", "dev", "tap0")
    assert " 0% packet loss" in network.run("busybox", "ping", "-6", "-c", "3", "-W", "10", GUEST_ADDRESS_6)
    machine.send("\r")
    machine.expect(OFF)


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# ---- entropy, power

ENTROPY = """
echo "source $(cat /sys/class/misc/hw_random/rng_current)"
head -c 4096 /dev/hwrng > /tmp/random
echo "bytes $(wc -c < /tmp/random), packed $(gzip < /tmp/random | wc -c)"
"""


def test_entropy(guest):
    machine = guest(ENTROPY, ["virtio_pci", "virtio_rng"])
    machine.expect(r"^source virtio_rng.0$", 300)
    packed = int(machine.expect(r"^bytes 4096, packed (\d+)$").group(1))
    assert packed > 4096, "what can be packed is not random"
    machine.expect(OFF)


def test_reboot_from_inside(guest, tmp_path):
    """The first life marks the disk and reboots; the second finds the mark and ends."""
    image = disks.make_raw(tmp_path / "disk.img", 16 * MIB)
    script = """
if [ "$(head -c 6 /dev/vda)" = marked ]; then echo "second life"; else
    echo marked | dd of=/dev/vda conv=notrunc,fsync 2>/dev/null
    echo "first life"
    reboot -f
    sleep 100
fi
"""
    machine = guest(script, ["virtio_pci", "virtio_blk"], disks=[Disk(image)])
    machine.expect("^first life$", 300)
    machine.expect("^second life$", 300)
    machine.expect(OFF)
    assert len(re.findall("^first life$", machine.output, re.M)) == 1


# ---- failures

FAILURES = {
    "triple fault": {"crash": "reboot -f", "modules": [], "parameters": "reboot=triple,force"},
    "its watchdog ran out": {"crash": "watchdog -F -T 2 -t 1000 /dev/watchdog", "modules": ["i6300esb"],
                             "flavour": "generic"},  # the cloud kernel has not got its driver
}


def failing_guest(guest, failure: str, policy: str):
    """A guest that has just failed. It lives until a line is typed."""
    row = dict(FAILURES[failure])
    script = f"echo '@@ alive'\nread word\n{row.pop('crash')}\nsleep 1000\n"
    machine = guest(script, row.pop("modules"), in_guest=f"failure_policy = {policy}\nwatchdog = 2s", **row)
    machine.expect("^@@ alive$", 300)
    machine.send("\r")
    return machine


@pytest.mark.parametrize("failure", FAILURES)
def test_failure_restarts(guest, failure):
    machine = failing_guest(guest, failure, "restart")
    machine.expect(f"guest: running -> running: {failure}$", 300)
    machine.expect("^@@ alive$", 300)
    machine.never("guest: running -> stopped")


@pytest.mark.parametrize("failure", FAILURES)
def test_failure_stops(guest, failure):
    """It stays where it failed, and the server at its console, where a person can start it anew."""
    machine = failing_guest(guest, failure, "stop")
    machine.expect(f"^guest: {failure} at exit", 300)
    machine.expect(f"guest: running -> stopped: {failure}$")
    command(machine, "start")
    machine.expect("^@@ alive$", 300)


# ---- the console's buttons

BUTTONS = """
echo "alive"
until grep -q '^ *[1-9]' /sys/firmware/acpi/interrupts/ff_pwr_btn; do sleep 0.1; done
echo "button pressed"
sleep 1000
"""


def command(machine, words: str):
    """Types a command at the server's side of the console and goes back to the guest's, as `start` does itself."""
    machine.send("\x1d")
    machine.expect(r"^\[yoke\] the server's command line; ")
    machine.expect_prompt("yoke a> ")
    machine.send(f"{words}\r")
    if words != "start":
        machine.expect_prompt("yoke a> ")
        machine.send("\x1d")
    machine.expect(GUEST_CONSOLE)


def test_buttons_at_the_console(guest):
    machine = guest(BUTTONS, ["button"])
    machine.expect("^alive$", 300)
    command(machine, "guest nmi")
    machine.wait_for("Uhhuh. NMI received")
    command(machine, "guest stop")
    machine.wait_for("guest: running -> stopped: at the console")
    command(machine, "start")
    machine.wait_for("guest: stopped -> running: goes on")
    command(machine, "guest power")
    machine.expect("button pressed$", 60)
    command(machine, "guest reset")
    machine.wait_for("guest: running -> running: reset")
    machine.expect("alive$", 300)
    command(machine, "guest poweroff")
    machine.wait_for("guest: running -> off")
