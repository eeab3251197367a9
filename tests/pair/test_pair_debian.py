# SPDX-License-Identifier: Apache-2.0
"""Debian 12 with PostgreSQL on two servers that die in turn while the database and fio write to their mirrored disk."""

import filecmp
import subprocess
import threading

import pytest

from tests.bench import debian_disk
from tests.pair.database import Database, DatabaseError, Inserter
from tests.pair.pair import DEBIAN_CONF, NAMES, Guest, other
from tests.pair.qemu import TIMEOUT_FACTOR

pytestmark = pytest.mark.pair

FIO = ("fio --name=disk --filename=/var/tmp/fio --size=4m --rw=randwrite --bs=4k-64k --direct=1 --ioengine=libaio "
       "--iodepth=8 --verify=crc32c --verify_fatal=1 --verify_state_save=0")
AMCHECK = "/usr/lib/postgresql/*/bin/pg_amcheck --all --install-missing --heapallindexed --parent-check 2>&1"


class Fio(threading.Thread):
    """Writes at random past the cache, then reads all of it and compares checksums; over and over."""

    def __init__(self, database: Database):
        super().__init__(daemon=True)
        self.database = database
        self.times = 0
        self.fault = None
        self._stopping = False

    def run(self):
        try:
            while not self._stopping:
                self.database.program(FIO)
                self.times += 1
        except DatabaseError as error:
            self.fault = error

    def finish(self):
        self._stopping = True
        self.join(900 * TIMEOUT_FACTOR)
        assert not self.is_alive() and self.fault is None
        assert self.times > 0


def power_off(pair):
    """Debian shuts down, and both servers' disks are as it left them."""
    pair.type(pair.leader(), "guest power")
    for name in NAMES:
        pair.servers[name].wait_for("guest: off at exit", 600)
        pair.kill(name)


def test_nothing_is_lost_when_servers_die(pair, rounds):
    guest = Guest(memory="256M", disk=debian_disk.debian_disk())
    pair = pair(guest=guest, memory="512M", conf=DEBIAN_CONF)
    pair.mirror_new_disks()
    client = Inserter(Database(pair, debian_disk.ADDRESS))
    fio = Fio(Database(pair, debian_disk.ADDRESS))
    pair.wait_duplex(900)
    for thread in (client, fio):
        thread.start()
    for _ in range(rounds(3, 20)):
        client.go_on(5)
        dead = pair.leader()
        pair.kill(dead)
        client.go_on(20)
        pair.restart(dead)
        pair.wait_duplex(600)
        mirror = pair.status(other(dead))["disks"]["mirror1"]
        assert (mirror["state"], mirror["peer"], mirror["peer_lacks"]) == ("good", "good", 0)
        assert mirror["peer_copied"] < mirror["size"] // 4
    fio.finish()
    client.finish()
    client.database.program(AMCHECK)
    assert all(pair.status(name)["lockstep"]["divergences"] == 0 for name in NAMES)
    power_off(pair)
    images = [pair.directory / name / "mirror1.img" for name in NAMES]
    assert filecmp.cmp(*images, shallow=False)
    subprocess.run(["/sbin/e2fsck", "-fn", f"{images[0]}?offset={debian_disk.ROOT_OFFSET}"], check=True)
