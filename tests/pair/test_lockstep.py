# SPDX-License-Identifier: Apache-2.0
"""A busy guest in lockstep: processes, timers, memory and TCP in both directions, all at once, for a minute
of the guest's own busy time. Nothing may differ between the replicas, at any of the digests that they compare."""

import socket
import threading

import pytest

from tests.pair.pair import CLIENT_ADDRESS, GUEST_ADDRESS, SMALL_LINUX_SCRIPT, wait_for_echo

pytestmark = pytest.mark.pair

SOURCE_PORT = 19
CALL_PORT = 2000
LINE = b"what the guest says, again and again\n"
BLOCK = bytes(range(256)) * 32
DIGEST_S = 0.02  # twice what is due: while the leader stands still for a slow follower there is none
CONF = {"pair": {"mode": "duplex", "failure_timeout": "30s", "ask_time": "1s"}, "console": {"attach": "server"}}

# The loads, then how long the guest's processor has been busy since its start: uptime less idle time.
LOAD = SMALL_LINUX_SCRIPT.replace('echo "@@ serving"', f"""
nc -ll -p {SOURCE_PORT} -e yes "{LINE.decode().strip()}" &
until netstat -ltn | grep -q ":{SOURCE_PORT} "; do sleep 0.1; done
(while true; do sh -c 'for i in 1 2 3; do true | cat; done'; done) &
(while true; do sleep 0.01; done) &
(while true; do head -c 3m /dev/urandom > /tmp/random; sha256sum /tmp/random; done > /dev/null) &
(while true; do dd if=/dev/zero bs=64k count=32 | gzip | gunzip | md5sum; done > /dev/null 2>&1) &
(while true; do echo "a call" | nc {CLIENT_ADDRESS} {CALL_PORT}; sleep 0.2; done > /dev/null 2>&1) &
(while true; do awk '{{ printf "@@ busy %.2f\\n", $1 - $2 }}' /proc/uptime; sleep 1; done) &
echo "@@ serving"
""")


class Talker(threading.Thread):
    """Does `talk` again and again until stop(), which fails as `talk` did, and tells how often it was done."""

    def __init__(self, talk):
        super().__init__(daemon=True)
        self.talk = talk
        self.times = 0
        self.over = threading.Event()
        self.error = None
        self.start()

    def run(self):
        try:
            while not self.over.is_set():
                self.talk()
                self.times += 1
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def stop(self) -> int:
        self.over.set()
        self.join(60)
        assert self.error is None, self.error
        return self.times


def echo(connection, reader):
    """Both directions at once, as many bytes each way."""
    connection.sendall(BLOCK)
    assert reader.read(len(BLOCK)) == BLOCK


def drain(reader):
    assert reader.read(256 * len(LINE)) == 256 * LINE


def answer(listener):
    """The guest calls: its line goes back to it."""
    connection, _ = listener.accept()
    with connection, connection.makefile("rb") as reader:
        connection.sendall(reader.readline())


def start_talkers(pair) -> list[Talker]:
    both_ways = wait_for_echo(pair)
    with pair.network.entered():
        source = socket.create_connection((GUEST_ADDRESS, SOURCE_PORT))
        listener = socket.create_server((CLIENT_ADDRESS, CALL_PORT))
    reader = both_ways.makefile("rb")
    lines = source.makefile("rb")
    return [Talker(lambda: echo(both_ways, reader)), Talker(lambda: drain(lines)), Talker(lambda: answer(listener))]


def wait_busy(server, seconds: float, mark: int) -> float:
    """Until the guest has been busy for so long; returns how long it has been."""
    pattern = r"^@@ busy (\d+\.\d\d)$"
    while True:
        busy = float(server.wait_for(pattern, 300, mark)[1])
        if busy >= seconds:
            return busy
        mark = server.mark()


def test_a_busy_guest_stays_the_same_on_both_servers(pair, rounds):
    pair = pair(script=LOAD, conf=CONF)
    leader = pair.wait_duplex()
    server = pair.servers[leader]
    pair.guest_console(leader)
    server.wait_for("^@@ serving$", 300)
    talkers = start_talkers(pair)
    first_checks = pair.status(leader)["lockstep"]["digest_checks"]
    pair.guest_console(leader)
    first_busy = wait_busy(server, 0, server.mark())
    last_busy = wait_busy(server, first_busy + rounds(60, 1200), server.mark())
    assert all([talker.stop() > 10 for talker in talkers])
    status = {name: pair.status(name)["lockstep"] for name in "ab"}
    assert [(each["divergences"], each["failovers"], each["joins"]) for each in status.values()] == [(0, 0, 1)] * 2
    assert status[leader]["digest_checks"] - first_checks >= (last_busy - first_busy) / DIGEST_S
