# SPDX-License-Identifier: Apache-2.0
"""A network of its own for each test: a namespace with TAP devices, each the far end of a
server's port, and a raw peer on them that speaks whole Ethernet frames.

    with Network() as network:
        tap = network.tap("tap0", mtu=9000)
        with Server(tmp_path, nics=[Nic(tap, "e1000")]) as server, Peer(tap) as peer:
            peer.send(frame(server_mac, peer.mac, 0x88B5, b"hello"))
            assert peer.receive(lambda f: f[12:14] == b"\\x88\\xb5")

The namespace is named after this process, so leftovers of a process that died are told from
those in use and removed. A TAP lives as long as this process holds it: a server may die and
come back on the same cable. Namespaces want root, as CI has: NetworkUnavailable without.
"""

import contextlib
import ctypes
import fcntl
import itertools
import os
import socket
import struct
import subprocess
import threading
import time

from tests.pair.qemu import TIMEOUT_FACTOR

PREFIX = "yoke"
CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TAP = 0x0002
IFF_NO_PI = 0x1000
IFF_VNET_HDR = 0x4000
ETH_P_ALL = 3
SOL_PACKET = 263
PACKET_IGNORE_OUTGOING = 23
SO_RCVBUFFORCE = 33
TEST_ETHERTYPE = 0x88B5  # IEEE 802: for experiments
BROADCAST = bytes([0xFF] * 6)

_numbers = itertools.count()


class NetworkUnavailable(Exception):
    """This machine, or this user, cannot have such a network; says why."""


def _require_root():
    if os.geteuid() != 0:
        raise NetworkUnavailable("needs root: makes a network namespace and a TAP device (CI runs as root)")
    if not os.path.exists("/dev/net/tun"):
        raise NetworkUnavailable("needs /dev/net/tun, which this machine does not have")


def _ip(*words):
    result = subprocess.run(["ip", *words], capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"ip {' '.join(words)}: {result.stderr.strip()}")
    return result.stdout


def remove_leftovers():
    """Removes namespaces of test processes that are gone.

    One that cannot be removed is left alone: it is not ours to use, and its name carries a
    process id, so a new one of the same name is refused by `ip netns add` and told there.
    """
    for line in _ip("netns", "list").splitlines():
        words = line.split()[0].split("-")
        ours = words[0] == PREFIX and len(words) == 3 and words[1].isdigit()
        if ours and not os.path.exists(f"/proc/{words[1]}"):
            subprocess.run(["ip", "netns", "del", "-".join(words)], capture_output=True)


class Network:
    def __init__(self):
        _require_root()
        self.name = f"{PREFIX}-{os.getpid()}-{next(_numbers)}"
        self.taps = []

    def __enter__(self):
        _ip("netns", "add", self.name)
        # No neighbour discovery or router solicitation of the host's own among the test's frames.
        for scope in ("all", "default"):
            self.run("sh", "-c", f"echo 1 > /proc/sys/net/ipv6/conf/{scope}/disable_ipv6")
        self.run("ip", "link", "set", "lo", "up")
        return self

    def __exit__(self, *_):
        for tap in self.taps:
            os.close(tap.fd)
        _ip("netns", "del", self.name)

    def run(self, *words, **options) -> str:
        """Runs a program inside; returns what it printed; fails with what it complained about."""
        command = ["ip", "netns", "exec", self.name, *words]
        result = subprocess.run(command, capture_output=True, text=True, **options)
        if result.returncode:
            raise RuntimeError(f"{' '.join(words)}: {result.stderr.strip() or result.stdout.strip()}")
        return result.stdout

    def popen(self, *words, **options) -> subprocess.Popen:
        """Starts a program inside; `ip netns exec` becomes it, so the process is the program's."""
        return subprocess.Popen(["ip", "netns", "exec", self.name, *words], **options)

    @contextlib.contextmanager
    def entered(self):
        """This thread is inside: what it opens meanwhile (sockets, /dev/net/tun) stays there."""
        libc = ctypes.CDLL(None, use_errno=True)
        outside = os.open(f"/proc/{os.getpid()}/task/{threading.get_native_id()}/ns/net", os.O_RDONLY)
        inside = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        try:
            if libc.setns(inside, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"setns {self.name}")
            yield
        finally:
            libc.setns(outside, CLONE_NEWNET)
            os.close(inside)
            os.close(outside)

    def tap(self, interface="tap0", mtu: int = 1500, offload: bool = False, address: str = "") -> "Tap":
        """Makes a TAP device, up, with `address` ("10.0.0.1/24") for Linux's own stack if given.
        `offload` lets virtio-net hand over unfinished checksums and large segments."""
        with self.entered():
            fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
            flags = IFF_TAP | IFF_NO_PI | (IFF_VNET_HDR if offload else 0)
            fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", interface.encode(), flags))
        self.run("ip", "link", "set", interface, "mtu", str(mtu), "up")
        if address:
            self.run("ip", "address", "add", address, "dev", interface)
        tap = Tap(self, interface, fd)
        self.taps.append(tap)
        return tap

    def bridge(self, name: str, *interfaces: str, address: str = ""):
        """A switch between TAPs of this network; with `address`, Linux's own stack is on it too."""
        self.run("ip", "link", "add", name, "type", "bridge", "forward_delay", "0")
        for interface in interfaces:
            self.run("ip", "link", "set", interface, "master", name)
        self.run("ip", "link", "set", name, "up")
        if address:
            self.run("ip", "address", "add", address, "dev", name)


class Tap:
    def __init__(self, network: Network, interface: str, fd: int):
        self.network = network
        self.interface = interface
        self.fd = fd

    @property
    def mac(self) -> bytes:
        path = f"/sys/class/net/{self.interface}/address"
        return bytes.fromhex(self.network.run("cat", path).strip().replace(":", ""))


def frame(destination: bytes, source: bytes, ethertype: int, payload: bytes) -> bytes:
    """An Ethernet frame without its check sequence, padded to the shortest that is allowed."""
    return (destination + source + struct.pack("!H", ethertype) + payload).ljust(60, b"\0")


class Peer:
    """The far end of a cable: sends and receives whole frames on a TAP, nobody in between."""

    def __init__(self, tap: Tap, receive_buffer_bytes: int = 32 << 20):
        self.tap = tap
        self.mac = tap.mac
        with tap.network.entered():
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, receive_buffer_bytes)
        self.socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        self.socket.bind((tap.interface, ETH_P_ALL))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data: bytes):
        """Sends one frame; waits where the server is slow to take frames."""
        while True:
            try:
                self.socket.send(data)
                return
            except BlockingIOError:
                time.sleep(0.001)
            except OSError as error:  # ENOBUFS: the TAP's queue is full
                if error.errno != 105:
                    raise
                time.sleep(0.001)

    def receive(self, wanted=lambda data: True, timeout_s: float = 120) -> bytes | None:
        """The next frame for which `wanted` is true, others dropped; None at the time-out."""
        deadline = time.monotonic() + timeout_s * TIMEOUT_FACTOR
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                return None
            if wanted(data):
                return data

    def exchange(self, data: bytes, wanted, tries: int = 24, timeout_s: float = 5) -> bytes | None:
        """Sends `data` until an answer comes for which `wanted` is true."""
        for _ in range(tries):
            self.send(data)
            answer = self.receive(wanted, timeout_s)
            if answer is not None:
                return answer
        return None

    def drain(self) -> int:
        """Drops what has arrived; returns how many frames that was."""
        count = 0
        while self.receive(timeout_s=0.001) is not None:
            count += 1
        return count
