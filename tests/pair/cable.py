# SPDX-License-Identifier: Apache-2.0
"""A cable between two servers that can be cut, slowed, and made to lose, double, swap and spoil frames.

    with Cable(seed=7) as cable:
        a = Server(tmp_path, name="a", nics=[Nic(cable.a, "e1000")])
        b = Server(tmp_path, name="b", nics=[Nic(cable.b, "e1000")])
        cable.rules = Rules(loss=0.01)
        cable.cut()

Each server's port speaks datagrams with a relay here, one frame each, so either end may die and come back
at any time. What happens to a frame is drawn from the seed; time is wall time. Both ends keep their carrier
when the cable is cut here; Server.set_link takes it away.
"""

import collections
import dataclasses
import os
import random
import select
import shutil
import socket
import tempfile
import threading
import time
from pathlib import Path

QUEUE_FRAMES = 4096


@dataclasses.dataclass
class Rules:
    """What a frame may meet with, as probabilities from 0 to 1."""

    loss: float = 0
    duplication: float = 0
    reordering: float = 0  # a frame is held until the next one has passed
    bit_error: float = 0  # for each bit of a frame
    delay_s: float = 0
    to_a: bool = True  # frames this way get through
    to_b: bool = True


class _End:
    """One server's side. Two sockets: one that the server sends to, and one to send to the server
    with, connected, because only then can be told when a server that is slow has room again."""

    def __init__(self, folder: Path, name: str):
        self.server_path = str(folder / f"{name}.server")
        self.relay_path = str(folder / f"{name}.relay")
        self.receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.receiver.bind(self.relay_path)
        self.sender = None
        self.queue = collections.deque()
        self.frames = 0  # received from this side
        self.bytes = 0
        self.dropped = 0  # for this side, which was away or too slow for QUEUE_FRAMES

    def netdev(self) -> str:
        return (f"dgram,local.type=unix,local.path={self.server_path},"
                f"remote.type=unix,remote.path={self.relay_path}")

    def close(self):
        self.receiver.close()
        self._disconnect()

    def _disconnect(self):
        if self.sender:
            self.sender.close()
        self.sender = None

    def deliver(self, frame: bytes):
        if len(self.queue) == QUEUE_FRAMES:
            self.dropped += 1
            return
        self.queue.append(frame)
        self.flush()

    def flush(self):
        """Sends until the server has no room; a server that is gone loses what was on the way."""
        while self.queue:
            try:
                sent = self._send(self.queue[0])
            except BlockingIOError:
                return
            self.dropped += not sent
            self.queue.popleft()

    def _send(self, frame: bytes) -> bool:
        """The path may have a new socket behind it, a server that came back: so two tries."""
        for _ in range(2):
            try:
                if not self.sender:
                    self.sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
                    self.sender.connect(self.server_path)
                self.sender.send(frame)
                return True
            except BlockingIOError:
                raise
            except OSError:
                self._disconnect()
        return False


class Cable:
    def __init__(self, seed: int = 1):
        self.rules = Rules()
        self.random = random.Random(seed)
        self.lost = 0
        self._folder = Path(tempfile.mkdtemp(prefix="yoke-cable-"))
        self._ends = [_End(self._folder, "a"), _End(self._folder, "b")]
        self._late = []  # (due, order, end, frame), by due time
        self._held = [None, None]
        self._order = 0
        self._wake, self._waker = os.pipe()
        self._relay = threading.Thread(target=self._run, daemon=True)

    @property
    def a(self) -> str:
        """The text for Nic(cable=...) of one server, and `b` of the other."""
        return self._ends[0].netdev()

    @property
    def b(self) -> str:
        return self._ends[1].netdev()

    def frames_carried(self) -> int:
        return sum(end.frames for end in self._ends)

    def bytes_carried(self) -> int:
        return sum(end.bytes for end in self._ends)

    def __enter__(self):
        self._relay.start()
        return self

    def __exit__(self, *_):
        os.close(self._waker)
        self._relay.join()
        os.close(self._wake)
        for end in self._ends:
            end.close()
        shutil.rmtree(self._folder)

    def cut(self, to_a: bool = False, to_b: bool = False):
        """Nothing gets through any more, or one way only."""
        self.rules = dataclasses.replace(self.rules, to_a=to_a, to_b=to_b)

    def heal(self):
        """A new cable: every frame gets through at once."""
        self.rules = Rules()

    def _run(self):
        while True:
            wait_ms = max(0, self._late[0][0] - time.monotonic()) * 1000 if self._late else None
            if self._wait(wait_ms):
                return
            while self._late and self._late[0][0] <= time.monotonic():
                _, _, index, frame = self._late.pop(0)
                self._ends[index].deliver(frame)

    def _wait(self, wait_ms: float | None) -> bool:
        """Moves what can be moved; returns whether the cable is taken away."""
        poll = select.poll()
        poll.register(self._wake, select.POLLHUP)
        for end in self._ends:
            poll.register(end.receiver, select.POLLIN)
            if end.queue:
                poll.register(end.sender, select.POLLOUT)
        ready = dict(poll.poll(wait_ms))
        for index, end in enumerate(self._ends):
            if end.queue and end.sender.fileno() in ready:
                end.flush()
            if end.receiver.fileno() in ready:
                self._receive(index)
        return self._wake in ready

    def _receive(self, index: int):
        for _ in range(256):  # then the other side has its turn
            try:
                frame = self._ends[index].receiver.recv(65536)
            except BlockingIOError:
                return
            self._ends[index].frames += 1
            self._ends[index].bytes += len(frame)
            self._forward(1 - index, frame)

    def _forward(self, index: int, frame: bytes):
        rules, chance = self.rules, self.random.random
        if not (rules.to_b if index else rules.to_a) or (rules.loss and chance() < rules.loss):
            self.lost += 1
            return
        if rules.bit_error:
            frame = self._spoil(frame, rules.bit_error)
        held, self._held[index] = self._held[index], None
        if held is None and rules.reordering and chance() < rules.reordering:
            self._held[index] = frame
            return
        self._pass(index, frame, rules.delay_s)
        if rules.duplication and chance() < rules.duplication:
            self._pass(index, frame, rules.delay_s)
        if held is not None:
            self._pass(index, held, rules.delay_s)

    def _pass(self, index: int, frame: bytes, delay_s: float):
        if not delay_s and not self._late:
            self._ends[index].deliver(frame)
            return
        self._order += 1
        self._late.append((time.monotonic() + delay_s, self._order, index, frame))
        self._late.sort()

    def _spoil(self, frame: bytes, bit_error: float) -> bytes:
        bits = len(frame) * 8
        if self.random.random() >= 1 - (1 - bit_error) ** bits:
            return frame
        spoilt, bit = bytearray(frame), self.random.randrange(bits)
        spoilt[bit // 8] ^= 1 << bit % 8
        return bytes(spoilt)
