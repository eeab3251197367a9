# SPDX-License-Identifier: Apache-2.0
"""QEMU's machine protocol: JSON, one object a line, over a socket that is already connected."""

import json
import socket
import time


class QmpError(Exception):
    """QEMU refused a command, or went away before it answered."""


class Qmp:
    def __init__(self, connection: socket.socket, timeout_s: float):
        self.connection = connection
        self.timeout_s = timeout_s
        self.buffer = b""
        self._read_object(time.monotonic() + timeout_s)  # greeting
        self.command("qmp_capabilities")

    def _read_object(self, deadline: float) -> dict:
        while b"\n" not in self.buffer:
            self.connection.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                data = self.connection.recv(65536)
            except ConnectionError:
                data = b""
            if not data:
                raise QmpError("QEMU closed its QMP socket")
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def command(self, command: str, **arguments):
        """Runs one command and returns its answer; `_` in an argument's name stands for `-`, `__` for `_`."""
        arguments = {name.replace("_", "-").replace("--", "_"): value for name, value in arguments.items()}
        request = {"execute": command, "arguments": arguments}
        try:
            self.connection.sendall(json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise QmpError(f"{command}: {error}") from None
        deadline = time.monotonic() + self.timeout_s
        while True:
            try:
                answer = self._read_object(deadline)
            except TimeoutError:
                raise QmpError(f"{command}: no answer within {self.timeout_s} s") from None
            if "error" in answer:
                raise QmpError(f"{command}: {answer['error']['desc']}")
            if "return" in answer:  # and not an event
                return answer["return"]
