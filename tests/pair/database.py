# SPDX-License-Identifier: Apache-2.0
"""The client of the PostgreSQL that runs in a Debian guest (tests/bench/debian_disk.py): PostgreSQL's own library on
the client's Linux, with the patience that failovers on a slow machine ask for."""

import threading
import time

import psycopg2

from tests.pair.pair import ANSWER_S, Pair
from tests.pair.qemu import TIMEOUT_FACTOR, ServerError

DatabaseError = psycopg2.Error


class Database:
    """One connection, which lasts as long as this object; each run() is a transaction of its own."""

    def __init__(self, pair: Pair, address: str, timeout_s: float = 600):
        """Waits until the guest has booted and the database serves."""
        found = []

        def serves() -> bool:
            try:
                with pair.network.entered():
                    found.append(psycopg2.connect(host=address, user="postgres", connect_timeout=60))
            except psycopg2.OperationalError:
                return False
            return True

        pair.wait_until(serves, "the database serves", timeout_s)
        self.connection = found[0]
        self.connection.autocommit = True

    def run(self, statement: str, *values) -> list[tuple]:
        """Returns the rows of the answer, if it has any. It is safe on disk then, as the database sees it."""
        with self.connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def program(self, command: str) -> list[str]:
        """Runs a shell command in the guest, as the database's user; returns what it said. A status other than 0
        fails as a statement does."""
        self.run("create temporary table if not exists said (line text)")
        self.run("truncate said")
        self.run("copy said from program %s (format csv, delimiter E'\\x01', quote E'\\x02')", command)
        return [line for line, in self.run("select line from said")]

    def identity(self) -> list[tuple]:
        """Changes when the guest boots again, or the database starts again."""
        return self.run("select pg_read_file('/proc/sys/kernel/random/boot_id'), pg_postmaster_start_time()")


class Inserter(threading.Thread):
    """A client: inserts a row, waits until that is acknowledged, inserts the next."""

    def __init__(self, database: Database):
        super().__init__(daemon=True)
        self.database = database
        self.started = database.identity()
        self.acknowledged = 0
        self.longest_gap_s = 0.0  # since take_gap()
        self.fault = ""
        self._last = time.monotonic()
        self._stopping = False
        database.run("create table inserted (id integer primary key)")

    def run(self):
        try:
            while not self._stopping:
                self.database.run("insert into inserted values (%s)", self.acknowledged + 1)
                self._count()
        except DatabaseError as error:
            self.fault = f"after {self.acknowledged} transactions: {error}"

    def _count(self):
        now = time.monotonic()
        self.longest_gap_s = max(self.longest_gap_s, now - self._last)
        self._last = now
        self.acknowledged += 1

    def take_gap(self) -> float:
        gap, self.longest_gap_s = self.longest_gap_s, 0.0
        return gap

    def go_on(self, count: int = 1):
        """Waits until so many more rows are acknowledged."""
        wanted = self.acknowledged + count
        deadline = time.monotonic() + ANSWER_S * TIMEOUT_FACTOR
        while self.acknowledged < wanted:
            if self.fault or time.monotonic() > deadline:
                raise ServerError(self.fault or f"the database does not answer any more, after {self.acknowledged} rows")
            time.sleep(0.05)

    def finish(self):
        """Stops. Every row that was acknowledged is there, once, and guest and database are those of the beginning."""
        self._stopping = True
        self.join(ANSWER_S * TIMEOUT_FACTOR)
        if self.fault:
            raise ServerError(self.fault)
        found = self.database.run("select count(*), min(id), max(id) from inserted")
        if found != [(self.acknowledged, 1, self.acknowledged)]:
            raise ServerError(f"{self.acknowledged} rows were acknowledged; number, first and last found: {found}")
        if self.database.identity() != self.started:
            raise ServerError(f"guest or database was restarted: {self.database.identity()}, was {self.started}")
