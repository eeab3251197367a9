# SPDX-License-Identifier: Apache-2.0
"""The bench for two servers: what every test of the pair believes in without looking. Here both servers are
`single`, so that what fails is the bench's fault; the guest is started on one at a time, for both would have
the same address."""

import pytest

from tests.pair.cable import Rules
from tests.pair.pair import ANSWER_S, CLIENT_ADDRESS, PORTS, echo_connection
from tests.pair.qemu import TIMEOUT_FACTOR, ServerError

pytestmark = pytest.mark.pair

SINGLE = {"pair": {"mode": "single"}, "guest": {"autostart": "no"}}


def start_guest(pair, name: str):
    """The guest's own console shows that it serves; the server's command line starts it."""
    pair.ask(name, "start", r"guest: off -> running")
    pair.servers[name].expect("^@@ serving", 300)


def echoes(connection, text: bytes) -> bool:
    connection.sendall(text)
    return connection.makefile("rb").read(len(text)) == text


def test_servers_die_hang_and_come_back(pair):
    pair = pair(conf=SINGLE)
    assert [pair.status(name)["self"] for name in "ab"] == ["a", "b"]
    start_guest(pair, "a")
    with echo_connection(pair) as connection:
        assert echoes(connection, b"to a")
        pair.pause("a")
        assert pair.state("a") == "paused"
        connection.sendall(b"later")
        connection.settimeout(1)
        with pytest.raises(TimeoutError):
            connection.recv(5)
        pair.resume("a")
        connection.settimeout(ANSWER_S * TIMEOUT_FACTOR)
        assert connection.makefile("rb").read(5) == b"later"
    pair.kill("a")
    assert pair.status("a") == {"power": "off"}
    start_guest(pair, "b")
    with echo_connection(pair) as connection:
        assert echoes(connection, b"to b")
    pair.restart("a")
    assert pair.status("a")["guest"]["state"] == "off"
    assert pair.status("b")["guest"]["state"] == "running"
    assert [event["new_state"] for event in pair.events("b") if event["object"] == "guest"][-1] == "running"


def test_cables_are_cut_and_pulled(pair):
    pair = pair(conf=SINGLE)
    pair.rules("cs2", loss=0.01, delay_s=0.1)
    pair.cut("cs1")
    assert not pair.cables["cs1"].rules.to_a and pair.cables["cs2"].rules == Rules(loss=0.01, delay_s=0.1)
    assert {link["state"] for link in pair.status("a")["links"].values()} == {"good"}, "a cut cable keeps its carrier"
    pair.heal()
    assert all(cable.rules == Rules() for cable in pair.cables.values())
    pair.set_link("b", "cs1", False)
    assert pair.status("b")["links"]["cs1"]["state"] == "failed"
    assert pair.status("b")["links"]["cs2"]["state"] == "good"
    with pytest.raises(ValueError, match="allowed: cs1, cs2 or all"):
        pair.cut("cs3")


def test_servers_start_from_their_own_disks(pair):
    """As on a real server: firmware, GRUB, the image's yoke.conf."""
    pair = pair(conf=SINGLE, from_disk=True)
    for name in "ab":
        status = pair.status(name)
        assert status["self"] == name and status["disks"]["boot"]["state"] == "good"
        assert set(status["ports"]) == set(PORTS)
    assert f"inet {CLIENT_ADDRESS}/24" in pair.client("ip", "address", "show", "lan")


def test_silence_is_told_with_both_consoles(pair):
    pair = pair(conf=SINGLE)
    with pytest.raises(ServerError, match=r"(?s)a: duplex: not within 0 s.*b: duplex: not within"):
        pair.wait_duplex(timeout_s=0)
