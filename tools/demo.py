#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Both servers die in turn, ROUNDS times, under a database and its client, which must not notice.

The guest is an unmodified Debian 12 with PostgreSQL on a mirrored disk. The client is PostgreSQL's own library on this
machine's Linux: one connection, over which it inserts numbered rows, each a transaction that the database says is
safe. Ends with a table of what happened, and with 0 only if the client saw no error, every row that was
acknowledged is there once, and guest and database are the ones that were started at first.
"""
import argparse
import pathlib
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.bench import debian_disk  # noqa: E402
from tests.pair.database import Database, DatabaseError, Inserter  # noqa: E402
from tests.pair.network import NetworkUnavailable  # noqa: E402
from tests.pair.pair import DEBIAN_CONF, Guest, Pair, other  # noqa: E402
from tests.pair.qemu import ServerError  # noqa: E402

QUIET_S = 3  # of undisturbed work before each fault, and after each join
TELL_S = 10
COPY_S = 3600


def tell(text: str):
    print(f"demo: {text}", flush=True)


def bring_up(pair: Pair) -> Database:
    """Returns the database, which both servers run."""
    first = pair.mirror_new_disks()
    tell(f"{first} runs the guest; {other(first)}'s new disk becomes a copy of {first}'s")
    told = time.monotonic()

    def is_copied() -> bool:
        nonlocal told
        state = pair.status(first)["disks"]["mirror1"]["peer"]
        if time.monotonic() >= told + TELL_S:
            told = time.monotonic()
            tell(f"{other(first)}'s disk is {state}")
        return state == "good"

    pair.wait_until(is_copied, "the new disk is a copy", COPY_S)
    database = Database(pair, debian_disk.ADDRESS)
    tell("the database answers")
    pair.wait_duplex()
    tell("duplex: both servers run the guest")
    return database


def one_fault(pair: Pair, client: Inserter, number: int) -> dict:
    """The leader dies, the other goes on, the dead one comes back and joins."""
    dead = pair.leader()
    time.sleep(QUIET_S)
    before = client.acknowledged
    client.take_gap()
    tell(f"fault {number}: {dead} leads, and loses its power after transaction {before}")
    pair.kill(dead)
    client.go_on()
    gap_s = client.take_gap()
    tell(f"fault {number}: {other(dead)} goes on; the client waited {gap_s:.2f} s for one answer")
    started = time.monotonic()
    pair.restart(dead)
    pair.wait_duplex()
    status = pair.status(pair.leader())
    tell(f"fault {number}: {dead} has joined again")
    return {"fault": number, "dead": dead, "went on": other(dead), "before": before,
            "gap_s": gap_s, "join_s": time.monotonic() - started,
            "copied": status["disks"]["mirror1"]["peer_copied"],
            "stop_ms": status["lockstep"]["join_stop_ns"] / 1e6}


def print_table(rows: list, client: Inserter):
    print("\nfault  died  went on  transactions before  client waited  joined after  disk copied  "
          "guest stood (virtual)")
    for row in rows:
        print(f"{row['fault']:5}  {row['dead']:4}  {row['went on']:7}  {row['before']:19}  {row['gap_s']:11.2f} s"
              f"  {row['join_s']:10.1f} s  {row['copied'] / 2**20:7.1f} MiB  {row['stop_ms']:18.1f} ms")
    print(f"\n{client.acknowledged} transactions acknowledged on one connection, each of them in the database once\n")


def run(directory: pathlib.Path, rounds: int):
    guest = Guest(memory="256M", disk=debian_disk.debian_disk())
    rows = []
    with Pair(directory, kernel=ROOT / "build/yoke.elf32", guest=guest, conf=DEBIAN_CONF, memory="512M") as pair:
        tell("two servers start")
        client = Inserter(bring_up(pair))
        client.start()
        for number in range(1, 2 * rounds + 1):
            rows.append(one_fault(pair, client, number))
        time.sleep(QUIET_S)
        client.finish()
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
    except (NetworkUnavailable, ServerError, DatabaseError, debian_disk.DiskError, OSError) as error:
        sys.exit(f"demo: failed: {error}")
    tell("nothing was lost")


if __name__ == "__main__":
    main()
