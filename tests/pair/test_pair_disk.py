# SPDX-License-Identifier: Apache-2.0
"""Two servers and one guest with a disk: each writes its own, and in the end both hold the same."""

import filecmp
import socket

import pytest

from tests.pair.pair import GUEST_ADDRESS, NAMES, SMALL_LINUX_SCRIPT, Pair, other
from tests.pair.qemu import TIMEOUT_FACTOR
from tests.pair.test_pair import CONF, Client

pytestmark = pytest.mark.pair

MIB = 1024 * 1024
SIZE = 32 * MIB
STOP_PORT = 9
# Writes, flushes, reads back past its cache and compares, over and over, all over the disk, until port 9 is asked
# to stop: that answers how often it saw something wrong.
WRITER = SMALL_LINUX_SCRIPT.replace('echo "@@ serving"', f"""
cat > /tmp/stopper << 'END'
#!/bin/sh
touch /tmp/stop
until [ -e /tmp/stopped ]; do sleep 0.1; done
echo "wrong: $(cat /tmp/wrong 2>/dev/null | wc -l)"
END
chmod +x /tmp/stopper
nc -ll -p {STOP_PORT} -e /tmp/stopper &
(n=0; while [ ! -e /tmp/stop ]; do
    n=$((n + 1)); at=$((n * 37 % {SIZE // MIB * 4}))
    yes "round $n" | head -c 262144 > /tmp/data
    dd if=/tmp/data of=/dev/vda bs=64k seek=$((at * 4)) conv=fsync,notrunc 2>/dev/null || echo write >> /tmp/wrong
    echo 3 > /proc/sys/vm/drop_caches
    dd if=/dev/vda bs=64k skip=$((at * 4)) count=4 2>/dev/null | cmp - /tmp/data || echo read >> /tmp/wrong
done; sync; touch /tmp/stopped) &
echo "@@ serving"
""")


def mirror(pair: Pair, name: str) -> dict:
    return pair.status(name)["disks"]["mirror1"]


def go_on_writing(pair: Pair, name: str, count: int = 20):
    """The guest writes so often more, as the server `name` sees."""
    written = mirror(pair, name)["writes"]
    pair.wait_until(lambda: mirror(pair, name)["writes"] >= written + count, "the guest writes", 300)


def stop_writing(pair: Pair):
    """Nothing that it wrote or read was wrong, and both servers' disks have all of it."""
    leader = pair.leader()
    with pair.network.entered():
        with socket.create_connection((GUEST_ADDRESS, STOP_PORT), 300 * TIMEOUT_FACTOR) as connection:
            assert connection.makefile().readline() == "wrong: 0\n"
    then = pair.status(leader)["guest"]["uptime_ns"]
    follower = other(leader)
    pair.wait_until(lambda: pair.status(follower)["guest"]["uptime_ns"] >= then, "the follower is there too", 300)


def bring_up(pair, size: int, script: str = WRITER, conf=CONF) -> tuple:
    pair = pair(script=script, disk=size, conf=conf)
    first = pair.mirror_new_disks()
    pair.wait_duplex()
    assert mirror(pair, first)["peer_copied"] == size
    return pair, first


def image(pair: Pair, name: str):
    return pair.directory / name / "mirror1.img"


def end(pair: Pair):
    """Without power, both disks hold the same."""
    for name in NAMES:
        pair.kill(name)
    assert filecmp.cmp(*(image(pair, name) for name in NAMES), shallow=False)


def test_a_long_copy_is_no_reason_to_stay_apart(pair):
    """The guest runs on both servers while the disk of one is still being remirrored, and so it does again when that one
    was away in the middle of it."""
    pair = pair(script=WRITER, disk=4 * SIZE, conf={**CONF, "disk": {"remirror_rate": "1M"}})
    pair.wait_until(lambda: pair.leader(), "the guest runs on one")
    leader = pair.leader()
    follower = other(leader)
    go_on_writing(pair, leader)  # the limit is for guests that use their disk
    pair.mirror_from(leader)
    assert pair.wait_duplex(copied=False) == leader
    pair.wait_until(lambda: mirror(pair, leader)["peer"].startswith("remirroring"), "the copy goes on")
    go_on_writing(pair, leader)
    pair.kill(follower)
    go_on_writing(pair, leader)
    pair.restart(follower)
    assert pair.wait_duplex(copied=False) == leader
    stop_writing(pair)  # nor has the copy a limit any more
    pair.wait_until(lambda: mirror(pair, leader)["peer"] == "good", "all is copied")
    assert pair.state(leader) == "duplex-leader"
    assert pair.status(leader)["lockstep"]["divergences"] == 0
    end(pair)


SECTORS_PORT = 10
SECTORS = WRITER.replace('echo "@@ serving"', f"""
printf '#!/bin/sh\\ncat /sys/block/vda/queue/logical_block_size\\n' > /tmp/sectors
chmod +x /tmp/sectors
nc -ll -p {SECTORS_PORT} -e /tmp/sectors &
echo "@@ serving"
""")


def sectors_seen(pair: Pair) -> str:
    with pair.network.entered():
        with socket.create_connection((GUEST_ADDRESS, SECTORS_PORT), 300 * TIMEOUT_FACTOR) as connection:
            return connection.makefile().readline().strip()


def test_disks_of_512_and_of_4096_bytes_a_sector(pair):
    """The two refuse each other until both are told to show the guest the larger ones; then it sees those on either
    server, and its disks are the same in the end."""
    pair = pair(script=SECTORS, disk=SIZE, conf=CONF, mirror={"b": {"kind": "nvme", "sector_size": 4096}})
    pair.wait_until(lambda: any("configured differently" in pair.status(name)["servers"][name]["reason"]
                                for name in NAMES), "one says what differs")
    for name in NAMES:
        pair.kill(name)
        pair.reconfigure(name, {"disk": {"mirror1_sector_size": "4096"}})
    for name in NAMES:
        pair.restart(name)
    pair.mirror_new_disks()
    leader = pair.wait_duplex()
    follower = other(leader)
    go_on_writing(pair, leader)
    assert sectors_seen(pair) == "4096"
    pair.kill(leader)
    go_on_writing(pair, follower)
    assert sectors_seen(pair) == "4096"
    pair.restart(leader)
    assert pair.wait_duplex() == follower
    go_on_writing(pair, follower)
    stop_writing(pair)
    assert pair.status(follower)["lockstep"]["divergences"] == 0
    end(pair)


def test_verify_mends_what_a_disk_lies_about(pair):
    """Sectors of the follower's disk change that nobody wrote: a comparison finds them while the guest writes elsewhere,
    tells it once on each server, and the next one finds nothing."""
    pair, leader = bring_up(pair, SIZE + 4 * MIB)  # behind SIZE the guest does not write; just behind it, it reads ahead
    follower = other(leader)
    client = Client(pair)
    go_on_writing(pair, leader)
    with open(image(pair, follower), "r+b") as disk:
        for at in (SIZE + MIB, SIZE + 2 * MIB + 5 * 512, SIZE + 2 * MIB + 90 * 512, SIZE + 4 * MIB - 512):
            disk.seek(at)
            disk.write(b"a lie at %8d" % at)
    verified = "mirror mirror1: verifying -> verified: "
    pair.ask(follower, "disk verify mirror1", verified + "regions of 64 KiB: 3 differed, .*; 0 could not be read")
    for name in NAMES:
        pair.wait_until(lambda: mirror(pair, name)["verify_mismatches"] == 3, f"{name} knows what was found")
        told = [event for event in pair.events(name) if event["object"] == "mirror mirror1"]
        assert [event["new_state"] for event in told].count("verified") == 1
        assert mirror(pair, name)["faults"] == mirror(pair, name)["peer_faults"] == 0
    go_on_writing(pair, leader)
    pair.ask(leader, "disk verify mirror1", verified + "both disks are the same")
    pair.wait_until(lambda: mirror(pair, follower)["verify_mismatches"] == 0, "the follower knows that too")
    client.talk()
    assert pair.status(leader)["lockstep"]["divergences"] == 0
    stop_writing(pair)
    end(pair)
