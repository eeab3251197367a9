# SPDX-License-Identifier: Apache-2.0
"""Two servers and one guest that does not stop: a real TCP client talks to it all the time, and must not notice."""

import pytest

from tests.bench.linux_guest import COMMAND_LINE
from tests.pair.pair import NAMES, PATIENCE, SMALL_LINUX_SCRIPT, Pair, other, wait_for_echo

pytestmark = pytest.mark.pair

# Writes to its console all the while, so that its serial port's bytes are held and released as well.
WORDY = SMALL_LINUX_SCRIPT.replace('echo "@@ serving"', """
(n=0; while true; do n=$((n+1)); echo "@@ $n"; sleep 0.2; done) &
echo "@@ serving"
""")
CONF = {"pair": PATIENCE}


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


def up(bring_up, conf=CONF, **options) -> tuple:
    pair = bring_up(script=WORDY, conf=conf, **options)
    pair.wait_duplex()
    return pair, Client(pair)


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


def with_another_guest(pair: Pair, stranger: str):
    pair.wait_role(stranger, "failed")
    assert "memory size" in pair.status(stranger)["servers"][stranger]["reason"]


def without_links(pair: Pair, stranger: str):
    """Its disk says that there is another server, which may have the guest."""
    pair.servers[stranger].wait_for("^this server is one of a pair, and has no CS port; pair.mode = single", 300)
    assert pair.status(stranger)["guest"]["state"] == "refused"


STRANGERS = ((with_another_guest, {"guest": {"memory": "96M"}}),
             (without_links, {"network": {"cs1": "none", "cs2": "none"}}))


def test_a_server_that_does_not_fit_is_refused(pair):
    """It says why, the guest runs on in the server that has it, and what fits again joins again. Nor may anybody
    spoil a guest unless the server was started for it."""
    pair, client = up(pair)
    leader = pair.leader()
    stranger = other(leader)
    for is_refused, conf in STRANGERS:
        pair.kill(stranger)
        client.talk()
        pair.reconfigure(stranger, conf)
        pair.restart(stranger)
        is_refused(pair, stranger)
        client.talk()
    pair.reconfigure(stranger, {})
    pair.restart(stranger)
    pair.wait_duplex()
    client.talk()
    pair.ask(leader, "flip tsc_aux 31", "^not done: this server was started without the option debug_faults$")
    assert pair.status(leader)["lockstep"]["divergences"] == 0


def test_step_counters_that_are_not_exact(pair):
    """Plain TCG's time does not count instructions: no duplex, for a reason that both tell, but simplex as ever."""
    pair = pair(conf=CONF, icount=None)
    reason = "no duplex: this server's step counter is not exact"
    pair.wait_role("b", "failed")
    assert pair.status("b")["servers"]["b"]["reason"] == reason
    pair.wait_role("a", "simplex")
    pair.servers["a"].wait_for(f"{reason}$")
    Client(pair).talk()


def guest_events(pair: Pair, name: str) -> list[tuple]:
    return [(event["old_state"], event["new_state"], event["reason"]) for event in pair.events(name)
            if event["object"] == "guest"]


def test_a_server_that_is_told_to_continue_when_unsure(pair):
    """No station answers, and the other server dies: the guest runs on, and why stays on show until they have joined."""
    conf = {"pair": {**PATIENCE, "management_station": "none", "public_station": "none", "when_unsure": "continue"}}
    pair, client = up(pair, conf=conf)
    dead = pair.leader()
    pair.kill(dead)
    client.talk()
    survivor = other(dead)
    reason = "no path works from here: told to continue, though the peer may, too"
    assert pair.status(survivor)["servers"][survivor]["reason"] == reason
    assert [event["severity"] for event in pair.events(survivor) if event["reason"] == reason] == ["warning", "info"]
    pair.restart(dead)
    assert pair.wait_duplex() == survivor
    client.talk()
    assert pair.status(survivor)["servers"][survivor]["reason"] != reason
    for name in NAMES:  # each has joined once, and nothing became of the guest since
        assert guest_events(pair, name) == [("off", "running", "joined")]


# It tells the date, and then sets its battery-backed clock wrong.
DATED = SMALL_LINUX_SCRIPT.replace('echo "@@ serving"', """
date -u "+@@ date %F"
date -s 2031-01-01 && hwclock -w -u
echo "@@ serving"
""")


def switch_on(pair: Pair, leader: str):
    """Both servers' guests start, and are told the same date."""
    marks = {name: pair.servers[name].mark() for name in NAMES}
    pair.ask(leader, "start", "guest: off -> running: reset")
    for name in NAMES:
        pair.servers[name].wait_for("^@@ date 2027-03-04$", 300, marks[name])
        pair.servers[name].wait_for("^@@ serving$", 300, marks[name])


def switch_off(pair: Pair, leader: str, told: dict):
    """That is all that either server tells of the guest, since its own power-on."""
    pair.type(leader, "guest poweroff")
    pair.wait_until(lambda: {name: guest_events(pair, name) for name in NAMES} == told, "it is off, and that was told")


def test_a_guest_that_is_switched_on_off_and_on_again(pair):
    """Each time it is told the date, the same on both servers; and each server tells what became of the guest."""
    pair = pair(script=DATED, conf={**CONF, "guest": {"autostart": "no"}}, rtc="base=2027-03-04T05:06:07,clock=vm")
    leader = pair.wait_duplex()
    off = ("running", "off", "")
    on_off = [("off", "running", "reset"), off]
    for times in (1, 2):
        switch_on(pair, leader)
        switch_off(pair, leader, {name: times * on_off for name in NAMES})
    switch_on(pair, leader)
    pair.kill(other(leader))
    pair.restart(other(leader))
    assert pair.wait_duplex() == leader
    switch_off(pair, leader, {leader: 3 * on_off, other(leader): [("off", "running", "joined"), off]})
    assert pair.status(leader)["lockstep"]["divergences"] == 0


# Memory that this guest leaves alone, so that what is flipped there stays so and harms nobody.
UNUSED = ("48M", "96M")
UNUSED_CONF = {**CONF, "guest": {"command_line": f'"{COMMAND_LINE} memmap=8M${UNUSED[0]} memmap=8M${UNUSED[1]}"'}}
SWEEP = (128 * 1024 + 256) // 16  # digests until each piece of memory and firmware has been looked at
FOUND = r"digest (\d+): here [0-9a-f]{16}, in the log [0-9a-f]{16}$"


def lockstep_events(pair: Pair, name: str, since: int) -> list[dict]:
    return [event for event in pair.events(name)[since:] if event["object"] == "lockstep"]


def flip_and_heal(pair: Pair, client: Client, name: str, what: str, bit: int, field: str, digests: int):
    """A bit of the guest in the server `name` flips; within so many digests both tell `field`, and join again."""
    follower = other(pair.leader())
    seen = {each: len(pair.events(each)) for each in NAMES}
    mark = pair.servers[follower].mark()
    first = pair.flip(name, what, bit)
    found = int(pair.servers[follower].wait_for(FOUND, 120, mark)[1])
    assert 0 <= found - first <= digests
    for each in NAMES:
        pair.wait_until(lambda: len(lockstep_events(pair, each, seen[each])) == 2, f"{each} diverged and healed")
        diverged, healed = lockstep_events(pair, each, seen[each])
        assert (diverged["new_state"], healed["new_state"]) == ("diverged", "equal")
        assert diverged["reason"].startswith(f"{field}, at exit ")
    assert pair.wait_duplex() == other(follower)
    client.talk()


def test_a_flipped_bit_is_found_told_and_healed(pair, rounds):
    """Of a register and of memory; ten digests are 100 ms of the guest's time at most. Memory is looked at piece by
    piece, and a server waits longer each time before it joins again: `make soak` has both of either server."""
    pair, client = up(pair, conf=UNUSED_CONF, options="debug_faults")
    leader = pair.leader()
    flips = [(other(leader), "tsc_aux", 31, "tsc_aux", 10),
             (leader, UNUSED[0], 63, "memory page 0x3000000", SWEEP),
             (leader, "sysenter_esp", 3, "sysenter_esp", 10),
             (other(leader), UNUSED[1], 5, "memory page 0x6000000", SWEEP)][:rounds(2, 4)]
    for flip in flips:
        flip_and_heal(pair, client, *flip)
    status = pair.status(leader)["lockstep"]
    assert (status["divergences"], status["failovers"]) == (len(flips), 0)
