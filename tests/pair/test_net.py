# SPDX-License-Identifier: Apache-2.0
"""Network drivers in QEMU, each against a raw peer on a TAP device: frames of all sizes both ways
and checked, what the receive filter lets through, link down and up, and a device that stops
answering. tests/guest/net.c is the other side and describes the frames."""

import re
import struct

import pytest

from tests.pair.network import BROADCAST, TEST_ETHERTYPE, Peer, frame
from tests.pair.qemu import Nic

MODELS = ["e1000", "e1000e", "virtio-net-pci"]
SERVE, BENCH = "net_peer", "net_bench"  # self-tests of tests/guest/
MAC = bytes.fromhex("525400000c01")
OTHER_MAC = bytes.fromhex("525400000c99")
MULTICAST_MAC = bytes.fromhex("01005e000001")
IPV6_ALL_NODES = bytes.fromhex("333300000001")
MAGIC = 0x454B4F59
PING, PONG, DATA, ACK, REQUEST, END = range(1, 7)
HEADER_SIZE = 34
STANDARD, JUMBO = 1514, 9014
ACK_EVERY = 32
WINDOW = 128


def _crc32c_table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


CRC_TABLE = _crc32c_table()


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


assert crc32c(b"123456789") == 0xE3069283


def pattern(sequence: int, size: int) -> bytes:
    return bytes((sequence * 11 + i * 3 + (i >> 8)) & 0xFF for i in range(size))


class TestPeer:
    """The peer in charge of tests/guest/net.c."""

    __test__ = False

    def __init__(self, peer: Peer):
        self.peer = peer

    def frame(self, operation: int, sequence=0, argument=0, data=b"", to=MAC) -> bytes:
        payload = struct.pack("<5I", MAGIC, operation, sequence, argument, crc32c(data)) + data
        return frame(to, self.peer.mac, TEST_ETHERTYPE, payload)

    def send(self, *words, **more):
        self.peer.send(self.frame(*words, **more))

    @staticmethod
    def fields(data: bytes) -> tuple:
        """Operation, sequence, argument, CRC; operation 0 for a frame that is not the test's."""
        if len(data) < HEADER_SIZE or struct.unpack("!H", data[12:14])[0] != TEST_ETHERTYPE:
            return 0, 0, 0, 0
        magic, *fields = struct.unpack("<5I", data[14:34])
        return tuple(fields) if magic == MAGIC else (0, 0, 0, 0)

    def receive(self, operation: int, **more) -> bytes | None:
        return self.peer.receive(lambda data: self.fields(data)[0] == operation, **more)

    def ping(self, sequence: int, size: int, to=MAC, tries: int = 1, timeout_s: float = 120) -> bool:
        """One PING of `size` bytes, frame header included, answered by exactly its own rest?"""
        request = self.frame(PING, sequence, 77, pattern(sequence, size - HEADER_SIZE), to)

        def is_answer(data):
            return self.fields(data)[:2] == (PONG, sequence)

        answer = self.peer.exchange(request, is_answer, tries, timeout_s)
        if answer is None:
            return False
        assert answer[:12] == self.peer.mac + MAC
        assert answer[HEADER_SIZE : len(request)] == request[HEADER_SIZE:]
        assert answer[22:34] == request[22:34]
        return True

    def wait_until_served(self):
        """The first answer may take a second of virtual time (QEMU's e1000 holds frames back)."""
        assert self.ping(0, 60, tries=24, timeout_s=5), "the port never answered"
        self.peer.drain()

    def bulk_to_server(self, count: int, size: int):
        """`count` DATA frames, in a window; every one must arrive whole and in order."""
        acknowledged = 0
        for sequence in range(count):
            while sequence - acknowledged >= WINDOW:
                acknowledged = self._acknowledged()
            self.send(DATA, sequence, 0, pattern(sequence, size - HEADER_SIZE))
        while acknowledged < count - count % ACK_EVERY:
            acknowledged = self._acknowledged()

    def _acknowledged(self) -> int:
        answer = self.receive(ACK)
        assert answer is not None, "no acknowledgement: a frame was lost"
        return self.fields(answer)[1]

    def bulk_from_server(self, count: int, size: int):
        self.send(REQUEST, count, size)
        for sequence in range(count):
            data = self.receive(DATA)
            assert data is not None, f"DATA frame {sequence} of {count} did not come"
            operation, number, _, crc = self.fields(data)
            assert (number, len(data)) == (sequence, size)
            assert crc == crc32c(data[HEADER_SIZE:])
            if (sequence + 1) % ACK_EVERY == 0:
                self.send(ACK, sequence + 1)


@pytest.fixture
def serve(server, network, test_kernel):
    """serve(model, options) starts the guest side with one port; returns it and its peer."""
    peers = []

    def start(model: str, options: str = "", mtu: int = 1500, properties: str = ""):
        tap = network.tap("tap0", mtu=mtu)
        peers.append(Peer(tap))
        nic = Nic(tap, model, mac=MAC.hex(":"), properties=properties)
        machine = server(kernel=test_kernel, append=f"debug_exit test={SERVE} {options}", memory="256M", nics=[nic])
        machine.expect(rf"^net: \S+ {MAC.hex(':')} serves$")
        peer = TestPeer(peers[-1])
        peer.wait_until_served()
        return machine, peer

    yield start
    for peer in peers:
        peer.socket.close()


def end(machine, peer) -> dict:
    """Ends the guest side, which must be content; returns its counters."""
    peer.send(END)
    assert machine.exit_code() == 0, machine.describe("the guest side failed")
    lines = re.findall(r"^net: ((?:\w+ \d+ ?)+)$", machine.output, re.M)
    words = " ".join(lines).split()
    return dict(zip(words[::2], map(int, words[1::2])))


@pytest.mark.parametrize("model", MODELS)
def test_ping_and_bulk_both_ways(serve, model):
    machine, peer = serve(model)
    for number, size in enumerate([60, 61, 63, 64, 65, 100, 511, 512, 1000, 1513, STANDARD]):
        assert peer.ping(number, size), f"no answer to {size} bytes"
    for size in (60, STANDARD):
        peer.bulk_to_server(1000, size)
        peer.bulk_from_server(1000, size)
    counters = end(machine, peer)
    assert counters["rx_frames"] >= 2011 and counters["tx_frames"] >= 2011
    assert [counters[name] for name in ("rx_errors", "tx_errors", "rx_missed", "device_faults")] == [0] * 4


@pytest.mark.parametrize("model", MODELS)
def test_jumbo_both_ways(serve, model):
    machine, peer = serve(model, f"frame_size={JUMBO}", mtu=9000)
    for number, size in enumerate([60, 2047, 2048, 2049, 4095, 4096, 4097, 8192, 8193, 9013, JUMBO]):
        assert peer.ping(number, size), f"no answer to {size} bytes"
    peer.bulk_to_server(400, JUMBO)
    peer.bulk_from_server(400, JUMBO)
    counters = end(machine, peer)
    assert [counters[name] for name in ("rx_errors", "tx_errors", "rx_missed", "device_faults")] == [0] * 4


def test_virtio_mtu_is_the_limit(serve):
    """The device's MTU bounds the port, and a frame size within it works."""
    machine, peer = serve("virtio-net-pci", "frame_size=4014", mtu=4000, properties="host_mtu=4000")
    assert "frames up to 4014 bytes" in machine.output
    assert peer.ping(1, 4014)
    end(machine, peer)


@pytest.mark.parametrize("model", MODELS)
def test_filter_lets_in_own_and_broadcast_only(serve, model):
    machine, peer = serve(model)
    assert peer.ping(1, 100, to=BROADCAST)
    for number, address in ((2, OTHER_MAC), (3, MULTICAST_MAC)):
        peer.send(PING, number, to=address)
    # Frames keep their order: had those been let in, their answers would be here before this one.
    assert peer.ping(4, 100)
    assert peer.receive(PONG, timeout_s=0.5) is None
    end(machine, peer)


@pytest.mark.parametrize("model", MODELS)
def test_promiscuous_lets_in_all_unicast(serve, model):
    machine, peer = serve(model, "promiscuous")
    assert peer.ping(1, 100, to=OTHER_MAC)
    peer.send(PING, 2, to=MULTICAST_MAC)
    assert peer.ping(3, 100)
    assert peer.receive(PONG, timeout_s=0.5) is None
    end(machine, peer)


@pytest.mark.parametrize("model", MODELS)
def test_multicast_lets_in_all_multicast(serve, model):
    machine, peer = serve(model, "multicast")
    for number, address in ((1, MULTICAST_MAC), (2, IPV6_ALL_NODES), (3, BROADCAST)):
        assert peer.ping(number, 100, to=address)
    peer.send(PING, 4, to=OTHER_MAC)
    assert peer.ping(5, 100)
    assert peer.receive(PONG, timeout_s=0.5) is None
    end(machine, peer)


@pytest.mark.parametrize("model", MODELS)
def test_promiscuous_and_multicast_let_in_everything(serve, model):
    machine, peer = serve(model, "promiscuous multicast")
    for number, address in ((1, MULTICAST_MAC), (2, OTHER_MAC), (3, BROADCAST), (4, MAC)):
        assert peer.ping(number, 100, to=address)
    end(machine, peer)


@pytest.mark.parametrize("model", MODELS)
def test_link_down_and_up(serve, model):
    machine, peer = serve(model)
    machine.expect("^net: link up")
    for number in (10, 20):
        machine.qmp("set_link", name="net0-device", up=False)
        machine.expect("^net: link down")
        assert not peer.ping(number, 60, timeout_s=1)
        machine.qmp("set_link", name="net0-device", up=True)
        machine.expect("^net: link up")
        assert peer.ping(number + 1, 60, tries=24, timeout_s=5)
    counters = end(machine, peer)
    assert counters["device_faults"] == 0 and counters["resets"] == 1


def test_ports_are_found_in_bus_order(server, network, test_kernel):
    """Three of them, all different, and each is the one at its number."""
    taps = [network.tap(f"tap{i}") for i in range(3)]
    macs = [MAC[:5] + bytes([i]) for i in range(3)]
    nics = [Nic(tap, model, mac=mac.hex(":")) for tap, model, mac in zip(taps, MODELS, macs)]
    machine = server(kernel=test_kernel, append=f"debug_exit test={SERVE} port=1", memory="256M", nics=nics)
    for name, mac in zip(("e1000", "e1000", "virtio-net"), macs):
        machine.expect(f"{name} port {mac.hex(':')}")
    machine.expect(f"^net: e1000 {macs[1].hex(':')} serves$")
    with Peer(taps[1]) as peer:
        other = TestPeer(peer)
        request = other.frame(PING, 5, to=macs[1])
        assert peer.exchange(request, lambda data: other.fields(data)[:2] == (PONG, 5))
        other.send(END, to=macs[1])
        assert machine.exit_code() == 0


@pytest.mark.parametrize("model", MODELS)
def test_bench_side_works(server, network, test_kernel, model):
    """What `make bench` runs, in short: it must come to its end."""
    tap = network.tap("tap0", mtu=9000)
    nic = Nic(tap, model, mac=MAC.hex(":"))
    with Peer(tap) as peer:
        machine = server(kernel=test_kernel, append=f"debug_exit test={BENCH} frames=320", memory="256M", nics=[nic])
        for size, count in ((60, 320), (STANDARD, 320), (JUMBO, 64)):
            machine.expect(rf"^net_bench: transmit {size} bytes: {count} frames")
            machine.expect(rf"^net_bench: transmit copied {size} bytes: {count} frames")
            for number in range(2 * count):
                data = peer.receive(lambda data: data[12:14] == b"\x88\xb5")
                assert data is not None and len(data) == size, f"frame {number} of {size} bytes"
            machine.expect(f"^net_bench: ready to receive {size} bytes$")
            while f"receive {size} bytes: {count} frames" not in machine.output:
                for _ in range(32):
                    peer.send(frame(MAC, peer.mac, TEST_ETHERTYPE, bytes(size - 14)))
        assert machine.exit_code() == 0


def stop_bus_mastering(machine):
    """Takes the only network port's way to memory away behind its driver's back: the device
    accepts doorbells, but nothing finishes any more."""
    for device in range(32):
        machine.hmp(f"o /w 0xcf8 {0x80000000 | device << 11 | 8:#x}")
        class_code = int(machine.hmp("i /w 0xcfc").split("=")[1], 0) >> 24
        if class_code == 2:
            machine.hmp(f"o /w 0xcf8 {0x80000000 | device << 11 | 4:#x}")
            command = int(machine.hmp("i /w 0xcfc").split("=")[1], 0) & 0xFFFF
            assert command & 4, "bus mastering was not even on"
            machine.hmp(f"o /w 0xcfc {command & ~4:#x}")
            return
    raise AssertionError("no network port on the bus")


@pytest.mark.parametrize("model", MODELS)
def test_device_that_stops_answering_is_reset(serve, model):
    machine, peer = serve(model, "beacon")
    assert peer.receive(PING) is not None
    stop_bus_mastering(machine)
    machine.expect("failed: no frame sent any more$", 200)
    machine.expect("^net: port failed$")
    machine.expect("^net: port opened$")
    peer.wait_until_served()
    peer.bulk_to_server(64, STANDARD)
    counters = end(machine, peer)
    assert counters["device_faults"] == 1 and counters["resets"] == 2
