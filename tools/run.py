#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The pair on this terminal: two servers in QEMU, and a Debian guest with PostgreSQL that runs on both.

The terminal shows the console of the server that leads, which has the guest's (Ctrl-] switches to the server's command
line), and in its last line both servers. Ctrl-A X ends them. Faults come from another terminal: `tools/pair.py kill a`;
`tools/pair.py client` is a shell on the client's machine, from where `psql -h 10.77.0.10 -U postgres` is the service.
Everything stays in build/pair/ from one run to the next; --fresh begins with new disks.
"""
import argparse
import pathlib
import re
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.bench import debian_disk  # noqa: E402
from tests.pair.pair import LEADING, NAMES, other  # noqa: E402
from tools.pair import BUILD, SHOW_S, Holding, PairError  # noqa: E402
from tools.terminal import Terminal  # noqa: E402

POLL_S = 1
# What a server's console says of itself, as docs/CONSOLE.md has it.
STATE_WITHOUT_WORDS = {b"Yoke ": "starting", b"ready: ": "waiting"}
SERVER_STATE = re.compile(rb"server ([ab]): [a-z -]+ -> ([a-z -]+)")
DISK_STATE = re.compile(rb"disk mirror1 ([ab]): \S+ -> ([a-z-]+)")


class Console:
    """What one server has said since, and what follows from that."""

    def __init__(self, name: str, path: str):
        self.name = name
        self.stream = open(path, "rb")
        self.state = "starting"
        self.disks = {}
        self._rest = b""

    def read(self) -> bytes:
        data = self.stream.read()
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(line)
        return data

    def _take(self, line: bytes):
        for words, state in STATE_WITHOUT_WORDS.items():
            if line.startswith(words):
                self.state = state
        if found := SERVER_STATE.search(line):
            if found[1].decode() == self.name:
                self.state = found[2].decode()
        if found := DISK_STATE.search(line):
            self.disks[found[1].decode()] = found[2].decode()


class Servers:
    """Both, as their consoles and the process that holds them tell."""

    def __init__(self, holding: Holding):
        self.holding = holding
        where = holding.ask("where")
        self.power = where["power"]
        self.consoles = {name: Console(name, where["consoles"][name]) for name in NAMES}
        self.shown = "a"
        self.fault = ""

    def leads(self, name: str) -> bool:
        return self.power[name] == "on" and self.consoles[name].state in LEADING

    def read(self) -> bytes:
        """What the console that is shown said; the other's goes by."""
        said = {name: console.read() for name, console in self.consoles.items()}
        if not self.leads(self.shown) and self.leads(other(self.shown)):
            self.shown = other(self.shown)
            return f"\r\n[run] the console of server {self.shown}\r\n".encode()
        return said[self.shown]

    def status(self) -> str:
        states = {name: console.state if self.power[name] == "on" else self.power[name]
                  for name, console in self.consoles.items()}
        disks = self.consoles[self.shown].disks
        words = [f"{name} {state}" for name, state in states.items()]
        words.append("mirror1 " + ", ".join(f"{name} {disks.get(name, 'good')}" for name in NAMES))
        return self.fault or "  |  ".join([*words, f"console {self.shown}", "Ctrl-A X ends"])

    def watch(self):
        """For a thread of its own: a command may keep the holder busy for a while."""
        try:
            while True:
                self.power = self.holding.ask("where")["power"]
                time.sleep(POLL_S)
        except PairError as error:
            self.fault = str(error)

    def mirror(self):
        """Likewise, for new disks: once the guest runs on one server, the other's disk becomes a copy."""
        while not self.leads(self.shown):
            time.sleep(POLL_S)
        try:
            self.holding.ask("mirror", name=self.shown)
        except PairError as error:
            self.fault = str(error)


def pair_tool(folder: pathlib.Path, *words):
    command = [sys.executable, ROOT / "tools" / "pair.py", "--folder", folder, *words]
    if subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
        sys.exit(1)  # it has said why


def show(folder: pathlib.Path, is_new: bool):
    servers = Servers(Holding(folder))
    for task in (servers.watch, *([servers.mirror] if is_new else [])):
        threading.Thread(target=task, daemon=True).start()
    with Terminal(status_line=True) as terminal:
        while (typed := terminal.typed(SHOW_S)) is not None:
            terminal.show(servers.read())
            terminal.status(servers.status())
            if typed and servers.power[servers.shown] == "on":
                servers.holding.ask("type", name=servers.shown, text=typed.decode("latin-1"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--folder", type=pathlib.Path, default=BUILD / "pair", help="holds disks and consoles")
    parser.add_argument("--disk", type=pathlib.Path, help="what the guest starts from, instead of Debian")
    parser.add_argument("--fresh", action="store_true", help="forget the disks of the last time")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    try:
        disk = arguments.disk or debian_disk.debian_disk()
        is_new = arguments.fresh or not (folder / "a" / "mirror1.img").exists()
        pair_tool(folder, "up", "--disk", disk, "--memory", "256M", "--server-memory", "512M",
                  *(["--fresh"] if is_new else []))
        print("run: Ctrl-A X ends both servers, Ctrl-] switches between the guest and its server", flush=True)
        try:
            show(folder, is_new)
        finally:
            pair_tool(folder, "down")
    except (PairError, debian_disk.DiskError) as error:
        sys.exit(f"run: {error}")


if __name__ == "__main__":
    main()
