# SPDX-License-Identifier: Apache-2.0
"""The cable with faults in it, with plain sockets in the servers' places."""

import os
import re
import socket
import time

import pytest

from tests.pair.cable import Cable, Rules
from tests.pair.network import TEST_ETHERTYPE, frame
from tests.pair.qemu import TIMEOUT_FACTOR, Nic

COUNT = 2000


class End:
    """What QEMU's dgram netdev does."""

    def __init__(self, netdev: str):
        self.local, self.remote = re.findall(r"path=([^,]+)", netdev)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.local)
        self.socket.settimeout(1)

    def send(self, number: int):
        self.socket.sendto(frame(b"b" * 6, b"a" * 6, TEST_ETHERTYPE, number.to_bytes(4, "big")), self.remote)

    def receive(self) -> list[int]:
        """Frame numbers until it is quiet; spoilt frames as -1."""
        numbers = []
        while True:
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                return numbers
            number = int.from_bytes(data[14:18], "big")
            sound = data == frame(b"b" * 6, b"a" * 6, TEST_ETHERTYPE, number.to_bytes(4, "big"))
            numbers.append(number if sound and number < COUNT else -1)


@pytest.fixture
def cable():
    with Cable(seed=3) as made:
        yield made


def run(cable, rules: Rules) -> list[int]:
    cable.rules = rules
    a, b = End(cable.a), End(cable.b)
    for number in range(COUNT):
        a.send(number)
    numbers = b.receive()
    a.socket.close()
    b.socket.close()
    return numbers


def test_sound_cable_carries_all_in_order(cable):
    assert run(cable, Rules()) == list(range(COUNT))
    assert cable.lost == 0


def test_loss(cable):
    numbers = run(cable, Rules(loss=0.1))
    assert COUNT * 0.85 < len(numbers) < COUNT * 0.95 and numbers == sorted(set(numbers))
    assert cable.lost == COUNT - len(numbers)


def test_duplication(cable):
    numbers = run(cable, Rules(duplication=0.1))
    assert COUNT * 1.05 < len(numbers) < COUNT * 1.15 and set(numbers) == set(range(COUNT))


def test_reordering(cable):
    numbers = run(cable, Rules(reordering=0.1))
    assert numbers != sorted(numbers) and len(set(numbers)) >= COUNT - 1


def test_bit_errors(cable):
    numbers = run(cable, Rules(bit_error=1e-4))
    assert COUNT * 0.02 < numbers.count(-1) < COUNT * 0.1 and len(numbers) == COUNT


def test_delay_keeps_order(cable):
    started = time.monotonic()
    assert run(cable, Rules(delay_s=0.3)) == list(range(COUNT))
    assert time.monotonic() - started > 0.3


def test_one_way_cut_and_heal(cable):
    a, b = End(cable.a), End(cable.b)
    cable.cut(to_a=True)
    a.send(1)
    b.send(2)
    assert a.receive() == [2] and b.receive() == []
    cable.heal()
    a.send(3)
    assert b.receive() == [3]


def test_server_dies_and_comes_back(cable):
    a, b = End(cable.a), End(cable.b)
    a.send(1)
    assert b.receive() == [1]
    b.socket.close()
    a.send(2)
    os.unlink(b.local)
    b = End(cable.b)
    a.send(3)
    assert b.receive()[-1:] == [3]
    b.send(4)
    assert a.receive() == [4]


def test_server_plugs_in(server, cable):
    """QEMU's side of it: a network boot ROM asks for an address through the cable."""
    b = End(cable.b)
    server(memory="64M", nics=[Nic(cable.a, "e1000", boot=True)], icount=None)
    b.socket.settimeout(120 * TIMEOUT_FACTOR)
    assert b.socket.recv(65536)[:6] == b"\xff" * 6
