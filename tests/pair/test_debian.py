# SPDX-License-Identifier: Apache-2.0
"""Debian 12 as the guest, started as a real server starts: SeaBIOS, GRUB, kernel, initramfs, systemd, a login at
the serial console. Inside, programs that check themselves are the judges of processor, memory, disk and network.

One boot for all of it, since the boot is half of the time. The disk (tests/bench/debian_disk.py) is made at the first
run, in one and a half to five minutes, and kept: it and this test are short enough for `make test`."""

import hashlib
import sys

import pytest

from tests.bench import debian_disk
from tests.pair import disks
from tests.pair.qemu import Disk, Nic, Server

FIRMWARE = "/usr/share/seabios/bios-256k.bin"
PORT_MAC = "52:54:00:12:34:01"
PROMPT = "@@ "
CONFIGURATION = f"""
[guest]
memory = 512M
start = disk
failure_policy = stop
[disk]
boot = none
mirror1 = serial:disk0
[network]
public1 = {PORT_MAC}
"""


class Shell:
    """Root's shell at the guest's serial console."""

    def __init__(self, machine: Server):
        self.machine = machine
        machine.expect_prompt(f"{debian_disk.HOST_NAME} login: ", 900)
        machine.send("root\r")
        machine.expect_prompt("Password: ")
        machine.send(f"{debian_disk.PASSWORD}\r")
        machine.expect_prompt("# ", 300)
        machine.send("exec sh\r")  # neither edits the line nor colours it
        machine.expect_prompt("# ")
        machine.send(f'stty -echo; PS1=; dmesg -n 1; echo "{PROMPT}$?"\r')
        machine.expect(f"{PROMPT}0$")

    def run(self, command: str, timeout_s: float = 300) -> str:
        """Returns what `command` printed; it must succeed. Less than the 256 bytes that the server keeps for a guest."""
        __tracebackhide__ = True
        since = self.machine.mark()
        self.machine.send(f'{command}; echo "{PROMPT}$?"\r')
        status = self.machine.expect(rf"{PROMPT}(\d+)$", timeout_s)
        output = self.machine.output[since:].split(PROMPT)[0]
        assert status[1] == "0", self.machine.describe(f"{command} ended with status {status[1]}")
        return output.strip()


@pytest.fixture
def debian(server, kernel, network, tmp_path):
    """Debian on one server with its disk and one network port, at a root shell; the test machine is its gateway."""
    (tmp_path / "yoke.conf").write_text(CONFIGURATION)
    disk = Disk(disks.make_qcow(tmp_path / "debian.qcow2", backing=debian_disk.debian_disk()), format="qcow2")
    tap = network.tap("tap0", address=f"{debian_disk.GATEWAY}/24")
    machine = server(kernel=kernel, append="debug_exit", memory="1G", disks=[disk], nics=[Nic(tap, "e1000", PORT_MAC)],
                     initrd=[(tmp_path / "yoke.conf", ""), (FIRMWARE, "")])
    return Shell(machine)


def test_debian(debian, network, tmp_path):
    assert debian.run("systemctl is-system-running --wait", 600) == "running"
    for step in (disk_verifies, processor_and_memory_verify, database_adds_up):
        step(debian)
    files_arrive(debian, network, tmp_path)
    assert debian.run("dmesg --level=emerg,alert,crit,err") == ""
    debian.machine.send("poweroff\r")
    debian.machine.expect("^guest: off at exit", 600)


def disk_verifies(debian):
    """Random writes at depth 8 past the cache, then all of it read and compared with its checksums."""
    debian.run("fio --name=disk --filename=/var/tmp/fio --size=16m --rw=randwrite --bs=4k-64k --direct=1 --ioengine=libaio "
               "--iodepth=8 --verify=crc32c --verify_fatal=1 --output=/tmp/fio", 900)
    assert "err= 0" in debian.run("grep err= /tmp/fio")


def processor_and_memory_verify(debian):
    debian.run("stress-ng --verify --cpu 1 --cpu-ops 100 --vm 1 --vm-bytes 16m --vm-ops 2000 --fork 1 --fork-ops 200 "
               "--switch 1 --switch-ops 2000 > /tmp/stress 2>&1", 1800)
    assert "successful run completed" in debian.run("cat /tmp/stress")


def database_adds_up(debian):
    """What the transactions say they moved is what the accounts hold."""
    debian.run("systemctl start postgresql@15-main", 600)
    debian.run("cd /tmp; su postgres -c 'createdb bench && pgbench -i -q bench' 2>&1", 900)
    report = debian.run("su postgres -c 'pgbench -c 4 -t 50 bench' 2>&1", 900)
    assert "actually processed: 200/200" in report
    assert "failed transactions: 0 " in report
    debian.run("Q='select (select sum(abalance) from pgbench_accounts) = (select sum(delta) from pgbench_history)'")
    assert debian.run("su postgres -c \"psql -Atc '$Q' bench\"") == "t"


def files_arrive(debian, network, tmp_path):
    """The guest fetches a file, and serves one, over virtio-net."""
    served = tmp_path / "served"
    served.mkdir()
    disks.make_raw(served / "file", 3 << 20, seed=1)
    host = network.popen(sys.executable, "-m", "http.server", "80", "--bind", debian_disk.GATEWAY, "--directory",
                         str(served))
    try:
        debian.run(f"wget -q --tries=10 --retry-connrefused http://{debian_disk.GATEWAY}/file -O /tmp/file", 600)
    finally:
        host.kill()
        host.wait()
    assert debian.run("sha256sum < /tmp/file").split()[0] == disks.sha256(served / "file")
    debian.run("systemctl start nginx; head -c 3000000 /dev/urandom > /var/www/html/file")
    expected = debian.run("sha256sum < /var/www/html/file").split()[0]
    network.run("busybox", "wget", "-q", f"http://{debian_disk.ADDRESS}/file", "-O", str(tmp_path / "fetched"))
    assert hashlib.sha256((tmp_path / "fetched").read_bytes()).hexdigest() == expected
