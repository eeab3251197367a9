#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Both servers die in turn, ROUNDS times, under a client that must not notice.

The client is a TCP connection from this machine's own Linux to a service in the guest, which answers each
numbered line by that line: a line that came back is acknowledged. One connection serves for all. Ends with a
table of what happened, and with 0 only if no line was lost, said twice or changed, the connection held, and
the guest's uptime never went back.
"""
import argparse
import pathlib
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.pair.network import NetworkUnavailable  # noqa: E402
from tests.pair.pair import Pair, other, small_linux, wait_for_echo  # noqa: E402
from tests.pair.qemu import ServerError  # noqa: E402

CONF = {"pair": {"failure_timeout": "10s", "ask_time": "1s"}}
QUIET_S = 3  # of undisturbed work before each fault, and after each join
ANSWER_S = 300


class Client(threading.Thread):
    """Says a line, waits until it has come back, says the next."""

    def __init__(self, pair: Pair):
        super().__init__(daemon=True)
        self.connection = wait_for_echo(pair, ANSWER_S)
        self.acknowledged = 0
        self.longest_gap_s = 0.0  # since take_gap()
        self.fault = ""
        self._last = time.monotonic()
        self._stopping = False

    def run(self):
        reader = self.connection.makefile("rb")
        try:
            while not self._stopping:
                line = f"transaction {self.acknowledged + 1}\n".encode()
                self.connection.sendall(line)
                answer = reader.readline()
                if answer != line:
                    self.fault = f"said {line!r}, heard {answer!r}"
                    return
                self._count()
        except OSError as error:
            self.fault = f"after {self.acknowledged} transactions: {error}"

    def _count(self):
        now = time.monotonic()
        self.longest_gap_s = max(self.longest_gap_s, now - self._last)
        self._last = now
        self.acknowledged += 1

    def take_gap(self) -> float:
        gap, self.longest_gap_s = self.longest_gap_s, 0.0
        return gap

    def finish(self):
        self._stopping = True
        self.join(ANSWER_S)
        self.connection.close()

    def goes_on(self) -> bool:
        """One more line was acknowledged, or something is wrong."""
        before = self.acknowledged
        deadline = time.monotonic() + ANSWER_S
        while self.acknowledged == before and not self.fault and time.monotonic() < deadline:
            time.sleep(0.05)
        return self.acknowledged > before


def tell(text: str):
    print(f"demo: {text}", flush=True)


def one_round(pair: Pair, client: Client, number: int) -> dict:
    """The leader dies, the other goes on, the dead one comes back and joins."""
    dead = pair.leader()
    time.sleep(QUIET_S)
    before = client.acknowledged
    client.take_gap()
    uptime_ns = pair.status(other(dead))["guest"]["uptime_ns"]
    tell(f"fault {number}: {dead} leads, and loses its power after transaction {before}")
    pair.kill(dead)
    if not client.goes_on() or client.fault:
        raise ServerError(client.fault or "the guest does not answer any more")
    gap_s = client.take_gap()
    tell(f"fault {number}: {other(dead)} goes on; the client waited {gap_s:.2f} s for one answer")
    started = time.monotonic()
    pair.restart(dead)
    pair.wait_duplex()
    status = pair.status(pair.leader())
    if status["guest"]["uptime_ns"] <= uptime_ns:
        raise ServerError("the guest's uptime went back: it was restarted")
    tell(f"fault {number}: {dead} has joined again")
    return {"fault": number, "dead": dead, "went on": other(dead), "before": before,
            "gap_s": gap_s, "join_s": time.monotonic() - started,
            "stop_ms": status["lockstep"]["join_stop_ns"] / 1e6}


def print_table(rows: list, client: Client):
    print("\nfault  died  went on  transactions before  client waited  joined after  guest stood (virtual)")
    for row in rows:
        print(f"{row['fault']:5}  {row['dead']:4}  {row['went on']:7}  {row['before']:19}  {row['gap_s']:11.2f} s"
              f"  {row['join_s']:10.1f} s  {row['stop_ms']:18.1f} ms")
    print(f"\n{client.acknowledged} transactions acknowledged in order on one connection, each once\n")


def run(directory: pathlib.Path, rounds: int):
    rows = []
    with Pair(directory, kernel=ROOT / "build/yoke.elf32", guest=small_linux(directory), conf=CONF) as pair:
        tell("two servers start; the first that runs the guest copies it to the other")
        pair.wait_duplex()
        tell("duplex")
        client = Client(pair)
        client.start()
        for number in range(1, 2 * rounds + 1):
            rows.append(one_round(pair, client, number))
        time.sleep(QUIET_S)
        client.finish()
    if client.fault:
        raise ServerError(client.fault)
    print_table(rows, client)


def count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"found {text}; allowed: 1 and more")
    return number


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=count, default=3, help="each kills both servers once")
    arguments = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as directory:
            run(pathlib.Path(directory), arguments.rounds)
    except (NetworkUnavailable, ServerError, OSError) as error:
        sys.exit(f"demo: failed: {error}")
    tell("nothing was lost")


if __name__ == "__main__":
    main()
