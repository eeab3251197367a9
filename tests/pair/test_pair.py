# SPDX-License-Identifier: Apache-2.0
"""Two servers and one guest that does not stop: a real TCP client talks to it all the time, and must not notice."""

import pytest

from tests.pair.network import NetworkUnavailable
from tests.pair.pair import SMALL_LINUX_SCRIPT, Pair, echo_connection, small_linux

pytestmark = pytest.mark.pair

# Counts aloud: a number that is missing or said twice is a guest that was not one guest.
COUNTING = SMALL_LINUX_SCRIPT.replace('echo "@@ serving"', """
(n=0; while true; do n=$((n+1)); echo "@@ $n"; sleep 0.2; done) &
echo "@@ serving"
""")
CONF = {"pair": {"mode": "duplex", "failure_timeout": "10s", "ask_time": "1s"}}


@pytest.fixture
def pair(kernel, tmp_path):
    made = []

    def make(script=COUNTING, **options) -> Pair:
        options.setdefault("conf", CONF)
        try:
            made.append(Pair(tmp_path, kernel=kernel, guest=small_linux(tmp_path, script), **options))
        except NetworkUnavailable as reason:
            pytest.skip(str(reason))
        made[0].__enter__()
        return made[0]

    yield make
    for one in made:
        one.__exit__()


class Client:
    """One connection for the whole test: what is sent comes back, or the test fails."""

    def __init__(self, pair: Pair):
        self.connection = echo_connection(pair)
        self.connection.settimeout(300)
        self.reader = self.connection.makefile("rb")
        self.said = 0

    def talk(self, times: int = 5):
        for _ in range(times):
            self.said += 1
            line = f"line {self.said}\n".encode()
            self.connection.sendall(line)
            assert self.reader.readline() == line


def serves(pair: Pair) -> bool:
    try:
        echo_connection(pair, 5).close()
    except OSError:
        return False
    return True


def up(pair: Pair) -> Client:
    pair.wait_duplex()
    pair.wait_until(lambda: serves(pair), "the guest serves")
    return Client(pair)


def other(name: str) -> str:
    return "b" if name == "a" else "a"


def test_each_server_dies_and_comes_back(pair):
    pair = pair()
    client = up(pair)
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
    pair = pair()
    client = up(pair)
    leader = pair.leader()
    pair.kill(other(leader))
    client.talk()
    pair.wait_role(leader, "simplex")
    pair.restart(other(leader))
    pair.wait_duplex()
    client.talk()


def test_links_that_lose_repeat_and_corrupt(pair):
    """On both links at once; then each in turn is cut: the client sees none of it."""
    pair = pair()
    client = up(pair)
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
    pair = pair()
    client = up(pair)
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
