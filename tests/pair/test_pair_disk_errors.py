# SPDX-License-Identifier: Apache-2.0
"""Two servers and one guest with a disk that cannot be read, written or flushed: the guest sees none of it while one
good copy is there, gets an I/O error when none is, and each fault is told once."""

import contextlib
import filecmp
import itertools
import socket

import pytest

from tests.pair import disks
from tests.pair.pair import GUEST_ADDRESS, NAMES, SMALL_LINUX_SCRIPT, Pair, other
from tests.pair.qemu import TIMEOUT_FACTOR, Disk
from tests.pair.test_pair_disk import bring_up, end, image, mirror

pytestmark = pytest.mark.pair

MIB = 1024 * 1024
SIZE = 8 * MIB
DISK = "disk1"  # mirror1, as QEMU calls it
IO_PORT = 9
ANSWER_S = 120
# Does what a client asks for in a line, past the cache: "read 800", "write 800", "flush 800"; says good or error.
SCRIPT = SMALL_LINUX_SCRIPT.replace('echo "@@ serving"', f"""
cat > /tmp/io << 'END'
#!/bin/sh
read what sector
case $what in
read) dd if=/dev/vda of=/dev/null bs=4096 skip=$((sector / 8)) count=1 iflag=direct 2>/dev/null;;
write) dd if=/tmp/data of=/dev/vda bs=4096 seek=$((sector / 8)) count=1 oflag=direct conv=notrunc 2>/dev/null;;
flush) dd if=/tmp/data of=/dev/vda bs=4096 seek=$((sector / 8)) count=1 conv=notrunc,fsync 2>/dev/null;;
esac && echo good || echo error
END
chmod +x /tmp/io
head -c 4096 /dev/urandom > /tmp/data
nc -ll -p {IO_PORT} -e /tmp/io &
echo "@@ serving"
""")


def ask_guest(pair: Pair, request: str) -> str:
    """What became of a request; one that hangs is a failed test."""
    with pair.network.entered():
        with socket.create_connection((GUEST_ADDRESS, IO_PORT), ANSWER_S * TIMEOUT_FACTOR) as connection:
            connection.sendall(f"{request}\n".encode())
            return connection.makefile().readline().strip()


def ready(pair: Pair):
    def answers() -> bool:
        try:
            return ask_guest(pair, "read 0") == "good"
        except OSError:
            return False

    pair.wait_until(answers, "the guest does as it is asked", 300)


class Told:
    """The faults that either server tells from now on."""

    def __init__(self, pair: Pair):
        self.pair = pair
        self.since = {name: self._last(name) for name in NAMES if pair.answers(name)}

    def _last(self, name: str) -> int:
        return max((event["sequence"] for event in self.pair.events(name)), default=0)

    def on(self, name: str, victim: str) -> list[str]:
        return [event["reason"] for event in self.pair.events(name)
                if event["sequence"] > self.since.get(name, 0) and event["object"] == f"disk mirror1 {victim}"
                and event["new_state"] == "error"]

    def once(self, victim: str, kind: str):
        """Told by who saw it, once each, and by nobody in other words."""
        names = [name for name in NAMES if self.pair.answers(name)]
        self.pair.wait_until(lambda: any(self.on(name, victim) for name in names), f"a {kind} of {victim} is told")
        told = {name: self.on(name, victim) for name in names}
        for name, reasons in told.items():
            assert len(reasons) <= 1 and all(kind in reason for reason in reasons), (name, told)


@contextlib.contextmanager
def fault(pair: Pair, victim: str, kind: str, sector: int):
    server = pair.servers[victim]
    operation = kind.split()[0]
    # QEMU flushes the disk itself when the fault is taken away: that must not fail.
    rule = disks.inject_error(operation, once=True) if operation == "flush" else disks.inject_error(operation, sector)
    with disks.failing(server, DISK, rule):
        yield


def states(pair: Pair, name: str) -> tuple:
    disk = mirror(pair, name)
    return disk["state"], disk["peer"]


def whole_again(pair: Pair, leader: str, victim: str):
    """A disk that was dropped is used again, and copied to."""
    pair.ask(leader, f"disk enable mirror1 {victim}", f"disk mirror1 {victim}: failed -> outdated")
    pair.wait_until(lambda: states(pair, leader) == ("good", "good"), "both disks are good", 300)


# What a client asks for, where the fault lies, whether it costs the disk its place.
FAULTS = (("read error", "read 800", False), ("write error", "write 1600", True), ("flush error", "flush 2400", True))


def test_the_guest_sees_no_fault_of_one_disk(pair):
    """Be it the leader's or the follower's."""
    pair, _ = bring_up(pair, SIZE, SCRIPT)
    ready(pair)
    leader = pair.leader()
    for victim, (kind, request, drops) in itertools.product((leader, other(leader)), FAULTS):
        told = Told(pair)
        with fault(pair, victim, kind, int(request.split()[1])):
            assert ask_guest(pair, request) == "good", kind
            if drops:
                pair.wait_until(lambda: mirror(pair, victim)["state"] == "failed", kind, 120)
            assert ask_guest(pair, "read 4000") == "good"
        told.once(victim, kind)
        if drops:
            whole_again(pair, leader, victim)
        assert ask_guest(pair, request) == "good"
    assert (pair.leader(), pair.status(leader)["lockstep"]["divergences"]) == (leader, 0)


def lose_the_only_disk(pair: Pair, leader: str):
    """The leader dies, and the other server, which has no current disk, stops; then both run the guest from the leader's."""
    victim = other(leader)
    pair.kill(leader)
    pair.wait_until(lambda: pair.state(victim) == "waiting", "the server without a disk stops")
    assert "disks are not current" in pair.status(victim)["servers"][victim]["reason"]
    pair.restart(leader)
    assert pair.wait_duplex() == leader
    ready(pair)


def test_a_server_without_its_disk_joins_and_never_goes_on_alone(pair):
    """The guest runs on both, from one disk. When the server that has it dies the other stops, though it could go on but
    for that; the guest starts again from that disk, and the failed one, enabled, is brought up to date in duplex."""
    pair, _ = bring_up(pair, SIZE, SCRIPT)
    ready(pair)
    leader = pair.leader()
    victim = other(leader)
    pair.ask(leader, f"disk fail mirror1 {victim}", f"disk mirror1 {victim}: good -> failed")
    pair.restart(victim)
    assert pair.wait_duplex() == leader
    assert states(pair, victim) == ("failed", "good")
    assert ask_guest(pair, "write 800") == ask_guest(pair, "flush 2400") == "good"
    lose_the_only_disk(pair, leader)
    whole_again(pair, leader, victim)
    assert ask_guest(pair, "read 800") == "good"
    assert pair.leader() == leader
    end(pair)


def told_missing(pair: Pair, name: str) -> list[str]:
    """What the server has said since its start of a disk of its own that is not there."""
    return [event["reason"] for event in pair.events(name)
            if event["object"] == f"disk mirror1 {name}" and event["new_state"] == "missing"]


def test_a_disk_that_is_not_there_at_the_start(pair):
    """The server joins without it, says so once, and never goes on alone; when it is back it is brought up to date."""
    pair, _ = bring_up(pair, SIZE, SCRIPT)
    ready(pair)
    leader = pair.leader()
    victim = other(leader)
    disk = pair.servers[victim].disks[1]
    pair.change_disk(victim, None)
    assert pair.wait_duplex() == leader
    assert (states(pair, leader), states(pair, victim)) == (("good", "missing"), ("missing", "good"))
    assert told_missing(pair, victim) == ["there is no disk"]
    assert [ask_guest(pair, request) for request in ("write 800", "flush 2400", "read 800")] == ["good"] * 3
    lose_the_only_disk(pair, leader)
    assert ask_guest(pair, "write 4000") == "good"
    pair.change_disk(victim, disk)
    assert pair.wait_duplex() == leader
    assert states(pair, leader) == ("good", "good")
    assert ask_guest(pair, "read 800") == "good"
    assert pair.status(leader)["lockstep"]["divergences"] == 0
    end(pair)


def test_another_disk_waits_in_duplex_for_a_word(pair):
    """The guest is protected against the death of a server that has no part in its disk; nothing is written on what is
    in the bay until an administrator says so, and then all of it, while the guest runs on both."""
    pair, _ = bring_up(pair, SIZE, SCRIPT)
    ready(pair)
    leader = pair.leader()
    victim = other(leader)
    new = disks.make_raw(pair.directory / "new.img", SIZE, seed=3)
    before = disks.sha256(new)
    pair.change_disk(victim, Disk(new, "ahci", serial="new"))
    assert pair.wait_duplex() == leader
    assert states(pair, leader) == ("good", "missing")
    assert ["not the disk that was here" in reason for reason in told_missing(pair, victim)] == [True]
    assert [ask_guest(pair, request) for request in ("write 800", "flush 2400", "read 800")] == ["good"] * 3
    assert disks.sha256(new) == before
    pair.ask(leader, f"disk remirror mirror1 {victim}", f"disk mirror1 {victim}: outdated -> remirroring")
    pair.wait_until(lambda: states(pair, leader) == ("good", "good"), "both disks are good", 300)
    assert (pair.state(leader), ask_guest(pair, "write 1600")) == ("duplex-leader", "good")
    assert mirror(pair, leader)["peer_copied"] == SIZE
    pair.kill(leader)
    pair.wait_role(victim, "simplex")
    assert [ask_guest(pair, f"read {sector}") for sector in (800, 1600, 2400)] == ["good"] * 3
    pair.restart(leader)
    assert pair.wait_duplex() == victim
    for name in NAMES:
        pair.kill(name)
    assert filecmp.cmp(image(pair, leader), new, shallow=False)


def test_alone_the_guest_gets_an_error(pair):
    """And the last good copy stays what it is."""
    pair, _ = bring_up(pair, SIZE, SCRIPT)
    ready(pair)
    leader = pair.leader()
    pair.kill(other(leader))
    pair.wait_role(leader, "simplex")
    for kind, request, _ in FAULTS:
        told = Told(pair)
        with fault(pair, leader, kind, int(request.split()[1])):
            assert ask_guest(pair, request) == "error", kind
            told.once(leader, kind)
        assert ask_guest(pair, request) == "good", kind
        assert mirror(pair, leader)["state"] == "good"
