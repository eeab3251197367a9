# SPDX-License-Identifier: Apache-2.0
"""One pair lives through a fault in each phase of boot, join, duplex and failover, with a TCP client and a disk writer
at work all the while. After each fault it is a pair again by itself; in the end the client's connection is the one of
the beginning, nothing that the guest read back was wrong, and both disks hold the same."""

import pytest

from tests.pair.pair import LEADING, NAMES, PATIENCE, PORTS, START_S, Pair, other
from tests.pair.test_pair import Client
from tests.pair.test_pair_disk import SIZE, bring_up, end, stop_writing

pytestmark = pytest.mark.pair

CONF = {"pair": {**PATIENCE, "failure_timeout": "4s"}}
NOISE = {"loss": 0.01, "duplication": 0.01, "reordering": 0.01, "bit_error": 1e-5}


class Story:
    """The pair, its client, and who leads when a fault begins."""

    def __init__(self, pair: Pair):
        self.pair = pair
        self.client = Client(pair)
        self.leader = pair.wait_duplex()

    @property
    def follower(self) -> str:
        return other(self.leader)

    def begin_join(self):
        """The follower comes back, and is becoming one."""
        server = self.pair.servers[self.follower]
        since = server.mark()
        self.pair.restart(self.follower)
        server.wait_for(f"server {self.follower}: waiting -> joining", START_S, since)

    def heal(self):
        """All is whole again, and the pair finds together without anybody's help."""
        for name in NAMES:
            if not self.pair.servers[name].running:
                self.pair.restart(name)
            elif name in self.pair.paused:
                self.pair.resume(name)
            for port in PORTS:
                self.pair.set_link(name, port, True)
        self.pair.heal()
        self.leader = self.pair.wait_duplex(600)
        self.client.talk()
        assert all(self.pair.status(name)["lockstep"]["divergences"] == 0 for name in NAMES)


def boot_dies(story: Story):
    story.pair.restart(story.follower)
    story.client.talk()
    story.pair.kill(story.follower)


def boot_with_one_cable(story: Story):
    story.pair.kill(story.follower)
    story.pair.cut("cs1")
    story.pair.restart(story.follower)
    story.pair.wait_duplex()


def boot_with_noise(story: Story):
    story.pair.kill(story.follower)
    story.pair.rules("all", **NOISE)
    story.pair.restart(story.follower)
    story.pair.wait_duplex()


def join_dies(story: Story):
    story.begin_join()
    story.pair.kill(story.follower)
    story.client.talk()


def join_hangs(story: Story):
    story.begin_join()
    story.pair.pause(story.follower)
    story.client.talk()


def join_is_cut(story: Story):
    story.begin_join()
    story.pair.cut("all")
    story.client.talk()


def join_with_noise(story: Story):
    story.begin_join()
    story.pair.rules("all", **NOISE)
    story.pair.wait_duplex()


def leader_dies(story: Story):
    story.pair.kill(story.leader)
    story.client.talk()


def follower_dies(story: Story):
    story.pair.kill(story.follower)
    story.client.talk()


def leader_hangs(story: Story):
    """The other goes on; the one that hung wakes up and finds that it is not the one any more."""
    story.pair.pause(story.leader)
    story.client.talk()
    story.pair.resume(story.leader)
    story.client.talk()


def follower_hangs(story: Story):
    story.pair.pause(story.follower)
    story.client.talk()


def one_cable_is_pulled(story: Story):
    story.pair.set_link(story.leader, "cs2", False)
    story.client.talk()
    assert story.pair.state(story.leader) == "duplex-leader"


def all_cables_are_cut(story: Story):
    """Both live, and only one goes on."""
    story.pair.cut("all")
    story.pair.wait_until(lambda: "simplex" in map(story.pair.state, NAMES), "one goes on", 300)
    story.client.talk()
    assert [story.pair.state(name) in LEADING for name in NAMES].count(True) == 1


def failover_over_one_cable(story: Story):
    story.pair.cut("cs1")
    story.pair.kill(story.leader)
    story.client.talk()


def failover_meets_the_dead(story: Story):
    """It is back before the other has noticed that it was away."""
    story.pair.restart(story.leader)
    story.client.talk()


FAULTS = (boot_dies, boot_with_one_cable, boot_with_noise, join_dies, join_hangs, join_is_cut, join_with_noise,
          leader_dies, follower_dies, leader_hangs, follower_hangs, one_cable_is_pulled, all_cables_are_cut,
          failover_over_one_cable, failover_meets_the_dead)


def test_a_fault_in_each_phase(pair, rounds):
    pair, _ = bring_up(pair, SIZE, conf=CONF)
    story = Story(pair)
    for _ in range(rounds(1, 7)):
        for fault in FAULTS:
            print(f"{fault.__name__}: {story.leader} leads", flush=True)  # shown when it fails
            fault(story)
            story.heal()
    stop_writing(pair)
    end(pair)
