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


def test_both_disks_hold_the_same_after_each_server_died(pair):
    """A rapid remirror copies what was written meanwhile and no more; the client notices nothing."""
    pair = pair(script=WRITER, disk=SIZE, conf=CONF)
    pair.wait_until(lambda: any(pair.state(name) == "simplex" for name in NAMES), "the guest runs on one", 300)
    first = next(name for name in NAMES if pair.state(name) == "simplex")
    assert mirror(pair, first)["peer"] == "missing"  # two new disks: nobody knows that they are alike
    pair.ask(first, f"disk remirror mirror1 {other(first)}", "disk mirror1 .: outdated -> remirroring$")
    pair.wait_duplex()
    assert mirror(pair, first)["peer_copied"] == SIZE
    client = Client(pair)
    go_on_writing(pair, first)
    for _ in range(2):
        dead = pair.leader()
        survivor = other(dead)
        pair.kill(dead)
        client.talk()
        go_on_writing(pair, survivor)
        lacks = mirror(pair, survivor)["peer_lacks"]
        assert 0 < lacks < SIZE
        pair.restart(dead)
        pair.wait_duplex()
        client.talk()
        state = mirror(pair, survivor)
        assert (state["state"], state["peer"], state["peer_lacks"]) == ("good", "good", 0)
        assert 0 < state["peer_copied"] < SIZE
        assert pair.status(survivor)["lockstep"]["divergences"] == 0
        go_on_writing(pair, survivor)
    stop_writing(pair)
    for name in NAMES:
        pair.kill(name)
    assert filecmp.cmp(*(pair.directory / name / "mirror1.img" for name in NAMES), shallow=False)
