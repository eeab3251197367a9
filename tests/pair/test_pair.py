# SPDX-License-Identifier: Apache-2.0
"""Two servers and one guest that does not stop: a real TCP client talks to it all the time, and must not notice."""

import pytest

from tests.pair.pair import SMALL_LINUX_SCRIPT, Pair, other, wait_for_echo

pytestmark = pytest.mark.pair

# Writes to its console all the while, so that its serial port's bytes are held and released as well.
WORDY = SMALL_LINUX_SCRIPT.replace('echo "@@ serving"', """
(n=0; while true; do n=$((n+1)); echo "@@ $n"; sleep 0.2; done) &
echo "@@ serving"
""")
CONF = {"pair": {"mode": "duplex", "failure_timeout": "10s", "ask_time": "1s"}}


class Client:
    """One connection for the whole test: what is sent comes back, or the test fails."""

    def __init__(self, pair: Pair):
        self.connection = wait_for_echo(pair)
        self.reader = self.connection.makefile("rb")
        self.said = 0

    def talk(self, times: int = 5):
        for _ in range(times):
            self.said += 1
            line = f"line {self.said}\n".encode()
            self.connection.sendall(line)
            assert self.reader.readline() == line


def up(bring_up) -> tuple:
    pair = bring_up(script=WORDY, conf=CONF)
    pair.wait_duplex()
    return pair, Client(pair)


def test_each_server_dies_and_comes_back(pair):
    pair, client = up(pair)
    client.talk()
    for _ in range(2):
        dead = pair.leader()
        pair.kill(dead)
        client.talk()
        assert pair.state(other(dead)) == "simplex"
        pair.restart(dead)
        pair.wait_duplex()
        client.talk()
        assert pair.status(dead)["lockstep"]["divergences"] == 0


def test_the_follower_dies(pair):
    pair, client = up(pair)
    leader = pair.leader()
    pair.kill(other(leader))
    client.talk()
    pair.wait_role(leader, "simplex")
    pair.restart(other(leader))
    pair.wait_duplex()
    client.talk()


def test_links_that_lose_repeat_and_corrupt(pair):
    """On both links at once; then each in turn is cut: the client sees none of it."""
    pair, client = up(pair)
    pair.rules("all", loss=0.01, duplication=0.01, reordering=0.01, bit_error=1e-5)
    client.talk(20)
    pair.rules("all")
    for link in ("cs1", "cs2"):
        pair.cut(link)
        client.talk()
        pair.heal(link)
        client.talk()
    leader = pair.wait_duplex()
    status = pair.status(leader)["lockstep"]
    assert (status["failovers"], status["divergences"]) == (0, 0)


def test_a_server_with_another_guest_is_refused(pair):
    """Both say why, and the guest runs on in the server that has it."""
    pair, client = up(pair)
    leader = pair.leader()
    stranger = other(leader)
    pair.kill(stranger)
    client.talk()
    pair.reconfigure(stranger, {"guest": {"memory": "96M"}})
    pair.restart(stranger)
    pair.wait_role(stranger, "failed")
    assert "memory size" in pair.status(stranger)["servers"][stranger]["reason"]
    client.talk()
    pair.reconfigure(stranger, {})
    pair.kill(stranger)
    pair.restart(stranger)
    pair.wait_duplex()
    client.talk()


def test_a_server_of_a_pair_without_its_links_runs_no_guest(pair):
    """Its disk says that there is another server, which may have the guest."""
    pair, client = up(pair)
    alone = other(pair.leader())
    pair.kill(alone)
    pair.reconfigure(alone, {"network": {"cs1": "none", "cs2": "none"}})
    pair.restart(alone)
    pair.servers[alone].wait_for("^this server is one of a pair, and has no CS port; pair.mode = single", 300)
    assert pair.status(alone)["guest"]["state"] == "refused"
    client.talk()
