#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A pair of servers in QEMU, and the faults a person may give it from another terminal.

    tools/pair.py up                       starts both, with a small Linux guest, and returns
    tools/pair.py mirror a                 new disks (up --disk): the other's becomes a copy of a's
    tools/pair.py status [--json]          what each says of itself
    tools/pair.py console a                its console on this terminal; Ctrl-A X leaves it
    tools/pair.py kill|restart|pause|resume a
    tools/pair.py cut|heal [cs1|cs2|all]
    tools/pair.py rules all loss=0.01 bit_error=1e-5 delay_s=0.002
    tools/pair.py client [COMMAND ...]     a shell, or COMMAND, on the client's machine
    tools/pair.py record [FOLDER]          from now on, all frames of all ports into FOLDER
    tools/pair.py down

`up` leaves a process behind that holds cables, TAPs and servers (tests/pair/pair.py describes them
once); the other commands speak with it through a socket in the folder, a line of JSON each way.
Needs root, as network namespaces do. The disks stay in the folder from one `up` to the next.
"""
import argparse
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
sys.path.insert(0, str(ROOT))

from tests.pair.network import NetworkUnavailable, remove_leftovers  # noqa: E402
from tests.pair.pair import CABLES, DEBIAN_CONF, NAMES, PATIENCE, PORTS, Guest, Pair, small_linux  # noqa: E402
from tests.pair.qemu import ServerError  # noqa: E402
from tests.pair.qmp import QmpError  # noqa: E402
from tools.terminal import Terminal  # noqa: E402

UP_S = 300
SHOW_S = 0.05
CONSOLE_TAIL_BYTES = 2000
FAULTS = ("kill", "restart", "pause", "resume")
LOG, SOCKET, READY = "pair.log", "pair.socket", "ready"


class PairError(Exception):
    """Told to the user as it is."""


# ---- the process that holds the pair


class Holder:
    """Carries out one command after the other, all in the thread that started the servers: a server
    ends with the thread that is its parent."""

    def __init__(self, pair: Pair):
        self.pair = pair
        self.recording = None
        self.recordings = 0
        self.stopped = False

    def serve(self, listener: socket.socket):
        while not self.stopped:
            connection, _ = listener.accept()
            with connection, connection.makefile("rw") as stream:
                for line in stream:
                    stream.write(json.dumps(self.answer(json.loads(line))) + "\n")
                    stream.flush()

    def answer(self, request: dict) -> dict:
        try:
            return {"answer": getattr(self, f"do_{request.pop('command')}")(**request)}
        except (ServerError, QmpError, OSError, TypeError, ValueError) as error:
            return {"error": str(error)}

    def do_down(self):
        self.stopped = True

    def do_status(self):
        found = {}
        for name in NAMES:
            try:
                found[name] = self.pair.status(name)
            except ServerError as error:
                found[name] = {"power": "on", "error": str(error).split("\n", maxsplit=1)[0]}
        return found

    def do_where(self):
        """What a client needs to join in by itself."""
        return {"namespace": self.pair.network.name,
                "consoles": {name: str(server.console_path) for name, server in self.pair.servers.items()},
                "power": {name: self._power(name) for name in NAMES}}

    def _power(self, name: str) -> str:
        if self.pair.answers(name):
            return "on"
        return "paused" if self.pair.servers[name].running else "off"

    def do_mirror(self, name: str):
        self.pair.mirror_from(name)
        self.pair.guest_console(name)

    def do_type(self, name: str, text: str):
        if not self.pair.servers[name].running:
            raise ValueError(f"server {name} is off")
        self.pair.servers[name].send(text.encode("latin-1"))

    def do_fault(self, what: str, name: str):
        running = self.pair.servers[name].running
        if what in ("pause", "resume") and not running:
            raise ValueError(f"server {name} is off")
        getattr(self.pair, what)(name)
        if what == "restart" and self.recording:
            self._record(name)

    def do_cable(self, what: str, which: str):
        getattr(self.pair, what)(which)

    def do_rules(self, which: str, faults: dict):
        self.pair.rules(which, **faults)

    def do_record(self, folder: str):
        self.recording = pathlib.Path(folder)
        self.recording.mkdir(parents=True, exist_ok=True)
        for name in NAMES:
            if self.pair.servers[name].running:
                self._record(name)

    def _record(self, name: str):
        """QEMU's filter-dump, pcap, in the server's virtual time; a server that came back gets new files."""
        self.recordings += 1
        for port in PORTS:
            self.pair.servers[name].qmp("object-add", qom_type="filter-dump", id=f"dump{self.recordings}-{port}",
                                        netdev=port, file=str(self.recording / f"{name}-{port}-{self.recordings}.pcap"))


def make_guest(arguments) -> Guest:
    if arguments.disk:
        return Guest(memory=arguments.memory, disk=arguments.disk)
    return small_linux(arguments.folder, memory=arguments.memory)


def serve(arguments):
    remove_leftovers()
    path = arguments.folder / SOCKET
    path.unlink(missing_ok=True)
    conf = {**DEBIAN_CONF, "pair": {"mode": arguments.mode, **PATIENCE}}
    options = {"kernel": BUILD / "yoke.elf32", "guest": make_guest(arguments), "conf": conf,
               "memory": arguments.server_memory, "from_disk": arguments.from_disk, "seed": arguments.seed}
    with Pair(arguments.folder, **options) as pair, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        print(READY, flush=True)
        try:
            Holder(pair).serve(listener)
        finally:
            path.unlink(missing_ok=True)


# ---- the commands


def connect(folder: pathlib.Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(folder / SOCKET))
    except OSError:
        raise PairError("no pair is up (tools/pair.py up)") from None
    return connection


class Holding:
    """The other end of Holder. A connection for each command, so that nobody keeps others waiting."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder

    def ask(self, command: str, **words):
        with connect(self.folder) as connection, connection.makefile("rw") as stream:
            stream.write(json.dumps({"command": command, **words}) + "\n")
            stream.flush()
            line = stream.readline()
        if not line:
            raise PairError("the pair is going down")
        answer = json.loads(line)
        if "error" in answer:
            raise PairError(answer["error"])
        return answer["answer"]


def is_up(folder: pathlib.Path) -> bool:
    try:
        connect(folder).close()
        return True
    except PairError:
        return False


def up(arguments):
    if arguments.disk and not arguments.disk.is_file():
        raise PairError(f"--disk: there is no file {arguments.disk}")
    if is_up(arguments.folder):
        raise PairError("a pair is up already (tools/pair.py down)")
    if arguments.fresh:
        for name in NAMES:
            shutil.rmtree(arguments.folder / name, ignore_errors=True)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, __file__, *sys.argv[1:]]
    words[words.index("up")] = "serve"
    with open(arguments.folder / LOG, "wb") as log:
        holder = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    deadline = time.monotonic() + UP_S
    while not is_up(arguments.folder):
        if holder.poll() is not None or time.monotonic() > deadline:
            holder.kill()
            text = (arguments.folder / LOG).read_text(errors="replace").strip()
            raise PairError(f"the pair does not come up:\n{text}")
        time.sleep(0.1)
    status(arguments)


def down(arguments):
    Holding(arguments.folder).ask("down")
    while (arguments.folder / SOCKET).exists():
        time.sleep(0.1)


def status_lines(found: dict) -> list[str]:
    lines = []
    for name, one in found.items():
        if "servers" not in one:
            lines.append(f"{name}  {one.get('error') or one['power']}")
            continue
        server, guest = one["servers"][name], one["guest"]
        lines.append(f"{name}  {server['state']:16} guest {guest['state']:8} up {guest['uptime_ns'] / 1e9:8.1f} s  "
                     + "  ".join(f"{link} {what['state']}" for link, what in one["links"].items())
                     + f"  {len(one['faults'])} faults")
        lines += [f"   {fault['object']}: {fault['new_state']}: {fault['reason']}" for fault in one["faults"]]
    return lines


def status(arguments):
    found = Holding(arguments.folder).ask("status")
    print(json.dumps(found) if arguments.json else "\n".join(status_lines(found)))


def console(arguments):
    """The console's file is what it said; what is typed goes to the holder."""
    holding = Holding(arguments.folder)
    path = holding.ask("where")["consoles"][arguments.name]
    print(f"console of server {arguments.name}: Ctrl-A X leaves it, Ctrl-] switches between guest and server",
          flush=True)
    with Terminal() as terminal, open(path, "rb") as said:
        said.seek(max(0, os.path.getsize(path) - CONSOLE_TAIL_BYTES))
        while (typed := terminal.typed(SHOW_S)) is not None:
            terminal.show(said.read())
            if typed:
                holding.ask("type", name=arguments.name, text=typed.decode("latin-1"))


def mirror(arguments):
    Holding(arguments.folder).ask("mirror", name=arguments.name)


def client(arguments):
    namespace = Holding(arguments.folder).ask("where")["namespace"]
    command = arguments.words or [os.environ.get("SHELL", "/bin/sh")]
    os.execvp("ip", ["ip", "netns", "exec", namespace, *command])


def fault(arguments):
    Holding(arguments.folder).ask("fault", what=arguments.command, name=arguments.name)


def cable(arguments):
    Holding(arguments.folder).ask("cable", what=arguments.command, which=arguments.which)


def rules(arguments):
    faults = {}
    for word in arguments.faults:
        key, _, value = word.partition("=")
        try:
            faults[key] = float(value)
        except ValueError:
            raise PairError(f"found {word!r}; allowed: NAME=NUMBER, such as loss=0.01") from None
    Holding(arguments.folder).ask("rules", which=arguments.which, faults=faults)


def record(arguments):
    folder = (arguments.to or arguments.folder / "record").resolve()
    Holding(arguments.folder).ask("record", folder=str(folder))
    print(f"pair: frames go to {folder}")


def parse(words):
    parser = argparse.ArgumentParser(description="two servers in QEMU", epilog=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=pathlib.Path, default=BUILD / "pair", help="holds disks and consoles")
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name, function, text, *options):
        made = commands.add_parser(name, help=text)
        made.set_defaults(function=function)
        for option, more in options:
            made.add_argument(option, **more)

    start = [("--mode", {"choices": ["duplex", "single"], "default": "duplex", "help": "pair.mode of both"}),
             ("--disk", {"type": pathlib.Path, "help": "the guest starts from copies of this image"}),
             ("--memory", {"default": "128M", "help": "of the guest"}),
             ("--server-memory", {"default": "384M", "help": "of each server"}),
             ("--from-disk", {"action": "store_true", "help": "boot by firmware and GRUB, what the images hold since --fresh"}),
             ("--seed", {"type": int, "default": 1, "help": "decides what the cables' rules do"}),
             ("--fresh", {"action": "store_true", "help": "forget the disks of the last time"})]
    as_json = ("--json", {"action": "store_true"})
    command("up", up, "start both", *start, as_json)
    command("serve", serve, "the process that `up` leaves behind, in the foreground", *start, as_json)
    command("down", down, "end both")
    command("mirror", mirror, "new disks: the other server's becomes a copy", ("name", {"choices": NAMES}))
    command("status", status, "what each says of itself", as_json)
    command("console", console, "a server's console on this terminal", ("name", {"choices": NAMES}))
    for name, text in zip(FAULTS, ("take its power", "take it and give it again", "let it hang", "let it go on")):
        command(name, fault, text, ("name", {"choices": NAMES}))
    which = {"nargs": "?", "choices": [*CABLES, "all"], "default": "all"}
    command("cut", cable, "no frame passes", ("which", which))
    command("heal", cable, "a sound cable again", ("which", which))
    command("rules", rules, "what frames meet with", ("which", {"choices": [*CABLES, "all"]}),
            ("faults", {"nargs": "*", "metavar": "NAME=NUMBER"}))
    command("client", client, "a command on the client's machine", ("words", {"nargs": argparse.REMAINDER}))
    command("record", record, "all frames into pcap files", ("to", {"nargs": "?", "type": pathlib.Path}))
    return parser.parse_args(words)


def main():
    arguments = parse(sys.argv[1:])
    arguments.folder = arguments.folder.resolve()
    # `serve` ends by the way that takes servers and namespace with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        arguments.function(arguments)
    except (PairError, NetworkUnavailable) as error:
        sys.exit(f"pair: {error}")


if __name__ == "__main__":
    main()
