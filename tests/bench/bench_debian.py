# SPDX-License-Identifier: Apache-2.0
"""What lockstep costs a whole Debian with a service in it: PostgreSQL under pgbench, and TCP both ways under iperf3,
the same work in duplex and in simplex on the same server.

pgbench runs in the guest, iperf3's other end on the client's Linux. All times are of the guest's clock, which is
virtual: under icount a server's instructions, and while it has nothing to do the time that passes outside. So disks,
which are real here, and the client put noise into these figures; what the leader stood still because the follower
lagged is taken off, for both servers share one machine here. Bytes a second of TCP are what the guest's end counted.
pgbench waits for the disk at each commit: what lockstep costs it is counted in the leader's instructions in rounds that had
work (`busy_ns`), and its transactions by the guest's clock stand beside.

Published figures that the targets come from: 0.94 for a database, 604 of 940 Mbit/s received and 855 sent; logs of 12 to
18 Mbit/s for databases, 730 while receiving and 42 while sending (VMware FT, 2010)."""

import dataclasses
import json

from tests.bench import debian_disk
from tests.bench.bench_pair import EXIT_COST, busy_ns
from tests.bench.report import Result
from tests.pair.database import Database
from tests.pair.pair import DEBIAN_CONF, Guest, Pair, other
from tests.pair.qemu import ROOT

GUEST_MEMORY, SERVER_MEMORY = "256M", "512M"
CLIENTS, TRANSACTIONS = 4, 100  # so many for each client
PGBENCH = "/usr/lib/postgresql/*/bin/pgbench"
IPERF_SIZE = 32 << 20
# What: the least of duplex / simplex, and the published log in Mbit/s.
TARGETS = {"PostgreSQL, pgbench": (0.94, 18), "iperf3, the guest receives": (0.9, 730),
           "iperf3, the guest sends": (0.95, 42)}
WAITING = ("PostgreSQL, pgbench",)  # its time is the disks', not the processor's


@dataclasses.dataclass
class Run:
    amount: float
    unit: str
    ns: int  # of the guest's clock, without the leader's waits for the follower
    waited_ns: int
    busy_ns: int  # the leader's own time: instructions
    exits: int
    log_bits: int

    def rate(self) -> float:
        return self.amount * 1e9 / self.ns

    def log_mbit(self) -> float:
        return self.log_bits * 1e3 / self.ns


def prepare(database: Database):
    database.program(f"createdb bench && {PGBENCH} --initialize --quiet bench 2>&1")
    database.program("iperf3 --server --json --daemon")


def transactions(pair: Pair, database: Database) -> tuple[float, str, int]:
    """Returns how much was done, of what, and in how many nanoseconds of the guest's clock."""
    database.run("checkpoint")
    lines = database.program(f"date +%s%N; {PGBENCH} --client={CLIENTS} --transactions={TRANSACTIONS} bench 2>&1; date +%s%N")
    assert f"actually processed: {CLIENTS * TRANSACTIONS}/{CLIENTS * TRANSACTIONS}" in "\n".join(lines), lines
    return CLIENTS * TRANSACTIONS, "transactions", int(lines[-1]) - int(lines[0])


def iperf(pair: Pair, direction: str, *options) -> tuple[float, str, int]:
    output = pair.client("iperf3", "--client", debian_disk.ADDRESS, "--bytes", str(IPERF_SIZE), "--json",
                         "--get-server-output", *options)
    end = json.loads(output)["server_output_json"]["end"][direction]
    return end["bytes"] * 8 / 1e6, "Mbit", int(end["seconds"] * 1e9)


def receive(pair: Pair, database: Database) -> tuple[float, str, int]:
    return iperf(pair, "sum_received")


def send(pair: Pair, database: Database) -> tuple[float, str, int]:
    return iperf(pair, "sum_sent", "--reverse")


def measure_work(pair: Pair, server: str, database: Database, work) -> Run:
    before = pair.status(server)
    amount, unit, elapsed_ns = work(pair, database)
    after = pair.status(server)

    def more(part: str, field: str) -> int:
        return after[part][field] - before[part][field]

    waited_ns = min(more("lockstep", "wait_ns"), elapsed_ns)
    busy = busy_ns(after, server) - busy_ns(before, server)
    return Run(amount, unit, elapsed_ns - waited_ns, waited_ns, busy, more("guest", "exits"), 8 * more("lockstep", "log_bytes"))


def measure_works(pair: Pair, server: str, database: Database) -> dict:
    works = zip(TARGETS, (transactions, receive, send))
    return {what: measure_work(pair, server, database, work) for what, work in works}


def compare(duplex: dict, simplex: dict):
    for what, (target, published) in TARGETS.items():
        two, one = duplex[what], simplex[what]
        if what in WAITING:
            estimate = (one.busy_ns + EXIT_COST * one.exits) / (two.busy_ns + EXIT_COST * two.exits)
            yield Result(f"debian, {what}: simplex / duplex, instructions", one.busy_ns / two.busy_ns, "", least=target,
                         note=f"{one.busy_ns:,} and {two.busy_ns:,}; with {EXIT_COST:,} for each exit {estimate:.3f}")
        yield Result(f"debian, {what}: duplex / simplex", two.rate() / one.rate(), "", least=None if what in WAITING else target,
                     note=f"{two.rate():.4g} and {one.rate():.4g} {two.unit}/s virtual, after "
                          f"{two.waited_ns / 1e6:.0f} ms of waits; exits {two.exits:,} and {one.exits:,}")
        yield Result(f"debian, {what}: log", two.log_mbit(), "Mbit/s", note=f"published {published}")


def measure(directory):
    guest = Guest(memory=GUEST_MEMORY, disk=debian_disk.debian_disk())
    with Pair(directory, kernel=ROOT / "build" / "yoke.elf32", guest=guest, conf=DEBIAN_CONF,
              memory=SERVER_MEMORY) as pair:
        pair.mirror_new_disks()
        leader = pair.wait_duplex(900)
        database = Database(pair, debian_disk.ADDRESS)
        prepare(database)
        duplex = measure_works(pair, leader, database)
        pair.kill(other(leader))
        pair.wait_role(leader, "simplex")
        yield from compare(duplex, measure_works(pair, leader, database))
