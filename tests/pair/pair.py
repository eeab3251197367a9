# SPDX-License-Identifier: Apache-2.0
"""Two servers in QEMU, the cables between them, and a network on which a real Linux client
reaches the guest.

    with Pair(tmp_path, kernel=..., guest=small_linux(tmp_path)) as pair:
        pair.wait_duplex()
        pair.kill(pair.leader())
        pair.client("ping", "-c", "3", GUEST_ADDRESS)
        pair.restart("a")

                        client 10.77.0.1, in the namespace
              +--------------- bridge "lan" ---------------+
              | management, public1    management, public1 |
            a +------------------ cs1 ---------------------+ b
              +------------------ cs2 ---------------------+

The servers differ in their boot disks (yoke.conf and the state partition) and in MAC addresses. Cables
and TAPs belong to this process, servers come and go. What a server says of itself is read from its
console's `status json`, so a server that cannot answer there is told as such.
"""

import dataclasses
import json
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.bench.linux_guest import COMMAND_LINE, build_initramfs, kernel_package
from tests.pair.cable import Cable, Rules
from tests.pair.network import Network
from tests.pair.qemu import ROOT, TIMEOUT_FACTOR, Disk, Nic, Server, ServerError

NAMES = ("a", "b")
CABLES = ("cs1", "cs2")
LAN_PORTS = ("management", "public1")
PORTS = CABLES + LAN_PORTS
CLIENT_ADDRESS = "10.77.0.1"
GUEST_ADDRESS = "10.77.0.2"
ECHO_PORT = 7
FIRMWARE = "/usr/share/seabios/bios-256k.bin"
CONSOLE_SWITCH = "\x1d"
GUEST_CONSOLE = r"^\[yoke\] the guest's console; "
# Of wall time: two servers on a slow and busy machine, one of them perhaps copying itself into the other.
START_S = 300
ANSWER_S = 120
POLL_S = 0.3
# Of yoke.conf, for servers that a busy machine lets stand still now and then.
PATIENCE = {"failure_timeout": "10s", "ask_time": "1s"}
# With a disk that takes its time to copy: their time passes more slowly than ours, and a limit counts in theirs.
DEBIAN_CONF = {"pair": PATIENCE, "disk": {"remirror_rate": "unlimited"}}
LEADING = ("simplex", "duplex-leader")
EVENT_COUNT = 128

# A guest that is reached: what a TCP client says to port 7 comes back, and its console is a shell.
SMALL_LINUX_SCRIPT = f"""
ip address add {GUEST_ADDRESS}/24 dev eth0
ip link set eth0 up
nc -ll -p {ECHO_PORT} -e cat &
until netstat -ltn | grep -q ":{ECHO_PORT} "; do sleep 0.1; done
echo "@@ serving"
while true; do sh; done
"""


@dataclasses.dataclass
class Guest:
    """What both servers run: a Linux kernel that is started directly, or without one what is on the disk."""

    kernel: Path | None = None
    initrd: Path | None = None
    command_line: str = COMMAND_LINE
    memory: str = "128M"
    disk: Path | int | None = None  # an image that each server gets a copy of, or a blank one's size

    def files(self) -> list[Path]:
        return [Path(self.kernel), Path(self.initrd)] if self.kernel else []

    def configuration(self) -> dict:
        if not self.kernel:
            return {"memory": self.memory}
        return {"memory": self.memory, "start": "direct", "kernel": Path(self.kernel).name,
                "initrd": Path(self.initrd).name, "command_line": f'"{self.command_line}"'}


def small_linux(directory, script: str = SMALL_LINUX_SCRIPT, modules=("virtio_pci", "virtio_net"), files=None,
                **more) -> Guest:
    """Debian's kernel with a root in memory that runs `script`; `files` as in tests.bench.linux_guest."""
    directory = Path(directory)
    image, folder = kernel_package("cloud")
    # Boot files go by their names alone.
    (directory / "vmlinuz").write_bytes(Path(image).read_bytes())
    build_initramfs(directory / "initrd", script, folder, modules, files=files)
    return Guest(directory / "vmlinuz", directory / "initrd", **more)


def configuration_text(sections: dict) -> str:
    lines = []
    for section, keys in sections.items():
        lines += [f"[{section}]"] + [f"{key} = {value}" for key, value in keys.items()]
    return "\n".join(lines) + "\n"


def other(name: str) -> str:
    return "b" if name == "a" else "a"


def _which(wanted: str) -> tuple:
    if wanted not in CABLES + ("all",):
        raise ValueError(f"found {wanted!r}; allowed: {', '.join(CABLES)} or all")
    return CABLES if wanted == "all" else (wanted,)


def single_server(directory, guest: Guest, conf: dict, **server) -> Server:
    """One server by itself, of the built kernel, that runs `guest`; `conf` as for Pair."""
    directory = Path(directory)
    sections = {"pair": {"mode": "single"}, **conf, "guest": {**guest.configuration(), **conf.get("guest", {})}}
    (directory / "yoke.conf").write_text(configuration_text(sections))
    files = [directory / "yoke.conf", *guest.files()]
    return Server(directory, kernel=ROOT / "build" / "yoke.elf32", append="debug_exit",
                  initrd=[(path, "") for path in files], **server)


class Pair:
    """See the top of the file.

    kernel     build/yoke.elf32, for QEMU's -kernel
    guest      a Guest
    conf       {section: {key: value}} for yoke.conf, over what is said here
    options    more of the kernel's command line
    from_disk  the servers boot from their images instead of by -kernel: slower, and all there is on a real one
    seed       decides what the cables do to frames
    mirror     {name: {"kind": ..., "sector_size": ...}}: what the disk is that a server has for the guest's, as in Disk
    server     more for Server: memory, icount, rtc ...
    """

    def __init__(self, directory, *, kernel, guest: Guest, conf: dict | None = None, options: str = "",
                 from_disk: bool = False, seed: int = 1, model: str = "e1000e", mirror: dict | None = None, **server):
        self.directory = Path(directory)
        self.kernel = kernel
        self.guest = guest
        self.conf = conf or {}
        self.options = f"debug_exit {options}".strip()
        self.from_disk = from_disk
        self.model = model
        self.mirror = mirror or {}
        self.network = Network()
        self.cables = {name: Cable(seed + index) for index, name in enumerate(CABLES)}
        self.paused = set()
        self.servers = {}
        self._started_at = {}  # marks in the consoles
        self._server_options = server

    def __enter__(self):
        self.network.__enter__()
        for cable in self.cables.values():
            cable.__enter__()
        try:
            taps = {(name, port): self.network.tap(f"{name}-{port}") for name in NAMES for port in LAN_PORTS}
            self.network.bridge("lan", *(tap.interface for tap in taps.values()), address=f"{CLIENT_ADDRESS}/24")
            self.servers = {name: self._make_server(name, taps) for name in NAMES}
            for name in NAMES:
                self._start(name)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for server in self.servers.values():
            server.kill()
        for cable in self.cables.values():
            cable.__exit__()
        self.network.__exit__()

    def _start(self, name: str):
        self._started_at[name] = self.servers[name].mark()
        self.servers[name].start()

    # ---- what they are made of

    def _configuration(self, name: str) -> dict:
        sections = {
            "server": {"name": name},
            "guest": self.guest.configuration(),
            "pair": {"mode": "duplex", "ask_time": "200ms", "management_station": CLIENT_ADDRESS,
                     "public_station": CLIENT_ADDRESS},
        }
        for section, keys in self.conf.items():
            sections.setdefault(section, {}).update(keys)
        return sections

    def _boot_files(self, folder: Path, name: str) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "yoke.conf").write_text(configuration_text(self._configuration(name)))
        return [folder / "yoke.conf", Path(FIRMWARE), *self.guest.files()]

    def reconfigure(self, name: str, conf: dict):
        """Another yoke.conf from the next start on: {section: {key: value}} over what it had at first."""
        sections = self._configuration(name)
        for section, keys in conf.items():
            sections.setdefault(section, {}).update(keys)
        (self.directory / name / "yoke.conf").write_text(configuration_text(sections))

    def _make_image(self, folder: Path, files: list[Path]) -> Path:
        """The server's own boot disk. One that is there stays: its state partition remembers."""
        image = folder / "boot.img"
        if not image.exists():
            words = [sys.executable, ROOT / "tools" / "image.py", "--output", image, "--config", files[0],
                     "--options", self.options]
            for path in self.guest.files():
                words += ["--file", path]
            subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        return image

    def _make_disks(self, folder: Path, files: list[Path]) -> list[Disk]:
        boot = Disk(self._make_image(folder, files), "ahci", serial="boot", boot_index=0 if self.from_disk else None)
        if self.guest.disk is None:
            return [boot]
        mirror = folder / "mirror1.img"
        if not mirror.exists() and isinstance(self.guest.disk, int):
            with open(mirror, "wb") as file:
                file.truncate(self.guest.disk)
        elif not mirror.exists():
            subprocess.run(["cp", "--sparse=always", self.guest.disk, mirror], check=True)
        return [boot, Disk(mirror, **{"kind": "ahci", "serial": "mirror1", **self.mirror.get(folder.name, {})})]

    def _nics(self, name: str, taps: dict) -> list[Nic]:
        ends = {port: getattr(cable, name) for port, cable in self.cables.items()}
        ends.update({port: taps[name, port] for port in LAN_PORTS})
        return [Nic(ends[port], self.model, mac=f"52:54:00:59:0{name}:{index:02x}", id=port)
                for index, port in enumerate(PORTS, 1)]

    def _make_server(self, name: str, taps: dict) -> Server:
        folder = self.directory / name
        files = self._boot_files(folder, name)
        options = {"memory": "384M", "icount": "on", "name": name, "disks": self._make_disks(folder, files),
                   "nics": self._nics(name, taps)}
        if not self.from_disk:
            options.update(kernel=self.kernel, append=self.options, initrd=[(path, "") for path in files])
        return Server(folder, **{**options, **self._server_options})

    # ---- faults

    def kill(self, name: str):
        """The server loses power: SIGKILL."""
        self.servers[name].kill()
        self.paused.discard(name)

    def restart(self, name: str):
        """The power comes back, after it was lost if need be."""
        self.kill(name)
        self._start(name)

    def change_disk(self, name: str, disk: Disk | None):
        """The server loses power, and `disk`, or none, is in the place of the guest's when it comes back."""
        self.kill(name)
        server = self.servers[name]
        server.change_disks([server.disks[0]] + ([disk] if disk else []))
        self._start(name)

    def pause(self, name: str):
        """The server hangs: it does nothing, and its cables keep their carrier."""
        self.servers[name].qmp("stop")
        self.paused.add(name)

    def resume(self, name: str):
        self.servers[name].qmp("cont")
        self.paused.discard(name)

    def cut(self, which: str = "all"):
        """cs1, cs2 or all: no frame gets through any more, and both ends keep their carrier."""
        for name in _which(which):
            self.cables[name].cut()

    def heal(self, which: str = "all"):
        """New cables, which carry all."""
        for name in _which(which):
            self.cables[name].heal()

    def rules(self, which: str = "all", **faults):
        """What frames meet with from now on: loss, duplication, reordering, bit_error, delay_s ... of Rules."""
        for name in _which(which):
            self.cables[name].rules = Rules(**faults)

    def set_link(self, name: str, port: str, up: bool):
        """Pulls or plugs one end of a cable of `port`: the carrier goes, and comes."""
        self.servers[name].set_link(port, up)

    def flip(self, name: str, what: str, bit: int) -> int:
        """A bit of this server's guest only is not what it was: of a register, a field of the machine, or memory
        at an address such as 64M. Needs the option debug_faults. Returns the number of the next digest."""
        return int(self.ask(name, f"flip {what} {bit}", rf"bit {bit} of {what} flipped .* before digest (\d+)$")[1])

    # ---- what the servers say

    def _at_the_command_line(self, name: str) -> int:
        """Brings the console to the server's side, whichever it is on; returns the mark behind that."""
        server = self.servers[name]
        server.wait_for("^ready: ", START_S, self._started_at[name])
        while True:
            mark = server.mark()
            server.send(CONSOLE_SWITCH)
            if server.wait_for(r"^\[yoke\] the (server's command line|guest's console); ", ANSWER_S, mark)[1][0] == "s":
                return mark

    def ask(self, name: str, command: str, answer: str):
        """Types `command` at the server's command line and waits for a line that matches `answer`."""
        return self._ask(name, f"{command}\r", answer)[1]

    def type(self, name: str, command: str):
        """Types a command that has no answer of its own at the server's command line."""
        self._at_the_command_line(name)
        self.servers[name].send(f"{command}\r")

    def _ask(self, name: str, typed: str, answer: str):
        """The mark behind which the answer is, and the line. The guest takes the console when it starts, and may take
        what is typed at that moment: then it is typed again."""
        server = self.servers[name]
        while True:
            mark = self._at_the_command_line(name)
            server.send(typed)
            found = server.wait_for(rf"(?:{answer})|{GUEST_CONSOLE}", ANSWER_S, mark)
            if answer == GUEST_CONSOLE or not found[0].startswith("[yoke]"):
                return mark, found

    def answers(self, name: str) -> bool:
        """Whether it makes sense to ask this server anything."""
        return self.servers[name].running and name not in self.paused

    def status(self, name: str) -> dict:
        """What `status json` says on this server; for one without power or paused, only that."""
        if not self.answers(name):
            return {"power": "paused" if name in self.paused else "off"}
        return {"power": "on", **json.loads(self.ask(name, "status json", r'^\{"version".*\}$')[0])}

    def state(self, name: str) -> str:
        """`duplex-leader`, `simplex` ... of this server as it sees itself; or `off`, `paused`."""
        status = self.status(name)
        return status["servers"][name]["state"] if "servers" in status else status["power"]

    def events(self, name: str, count: int = EVENT_COUNT) -> list[dict]:
        """The server's last events, the oldest first."""
        mark, end = self._ask(name, f"log {count} json\r" "status json\r", r'^\{"version".*\}$')
        lines = self.servers[name].output[mark:end.start()].splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def guest_console(self, name: str):
        """Gives this server's console to the guest again."""
        self.ask(name, "console", GUEST_CONSOLE)

    def leader(self) -> str | None:
        """The server that runs the guest and decides: the leader in duplex, or the one in simplex."""
        for name in NAMES:
            if self.state(name) in LEADING:
                return name
        return None

    # ---- waiting

    def wait_until(self, condition, what: str, timeout_s: float = 300):
        """Asks again and again; fails with both consoles' ends."""
        deadline = time.monotonic() + timeout_s * TIMEOUT_FACTOR
        while not condition():
            if time.monotonic() > deadline:
                words = "\n".join(server.describe(f"{what}: not within {timeout_s} s")
                                  for server in self.servers.values())
                raise ServerError(words)
            time.sleep(POLL_S)

    def wait_role(self, name: str, *roles: str, timeout_s: float = 300):
        """Waits until the server `name` is in one of these states, as it sees itself."""
        self.wait_until(lambda: self.state(name) in roles, f"{name} is {' or '.join(roles)}", timeout_s)

    def wait_duplex(self, timeout_s: float = 300, copied: bool = True) -> str:
        """Waits until one server leads and the other follows, by what each says of itself, and, `copied`, until no
        disk is being brought up to date any more, without which its server does not go on alone; returns the leader."""
        found = {}

        def duplex():
            found.clear()
            found.update({self.state(name): name for name in NAMES})
            return (found.keys() == {"duplex-leader", "duplex-follower"}
                    and not (copied and self._is_copying(found["duplex-leader"])))

        self.wait_until(duplex, "duplex", timeout_s)
        return found["duplex-leader"]

    def _is_copying(self, leader: str) -> bool:
        disks = self.status(leader).get("disks", {})
        states = [disk[side] for role, disk in disks.items() if role.startswith("mirror") for side in ("state", "peer")]
        return any(state.startswith(("outdated", "remirroring")) for state in states)

    def mirror_new_disks(self) -> str:
        """Two new disks: nobody knows that they are alike until an administrator says which may be written over.
        Waits until the guest runs from the disk of one server, lets the other's become a copy, and returns the first."""
        self.wait_until(self.leader, "the guest runs")
        first = self.leader()
        self.mirror_from(first)
        return first

    def mirror_from(self, first: str):
        """The other server's disk becomes a copy of the one of `first`, which runs the guest."""

        def is_done() -> bool:
            answer = self.ask(first, f"disk remirror mirror1 {other(first)}", r"^not done: .*$|: outdated -> remirroring$")
            return not answer[0].startswith("not done: this disk is not there")  # the servers have not met yet

        self.wait_until(is_done, "the other server's disk becomes a copy")

    # ---- the client

    def client(self, *words, **options) -> str:
        """Runs a program on the client's machine; returns what it printed, fails if it fails."""
        return self.network.run(*words, **options)

    def start_client(self, *words, **options) -> subprocess.Popen:
        return self.network.popen(*words, **options)


def echo_connection(pair: Pair, timeout_s: float = ANSWER_S) -> socket.socket:
    """A connection from the client to the small guest: what is sent comes back."""
    with pair.network.entered():
        return socket.create_connection((GUEST_ADDRESS, ECHO_PORT), timeout_s * TIMEOUT_FACTOR)


def wait_for_echo(pair: Pair, timeout_s: float = 300) -> socket.socket:
    """The same, once the guest serves. Patient afterwards too: an answer may wait for a failover."""
    found = []

    def serves() -> bool:
        try:
            found.append(echo_connection(pair))
        except OSError:
            return False
        return True

    pair.wait_until(serves, "the guest serves", timeout_s)
    found[0].settimeout(timeout_s * TIMEOUT_FACTOR)
    return found[0]
