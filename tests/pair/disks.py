# SPDX-License-Identifier: Apache-2.0
"""Disk images for servers, the faults in them, and looking at them from outside with tools
that are not ours (qemu-img, sha256sum)."""

import contextlib
import random
import subprocess
from pathlib import Path

ERRNO = {"EIO": 5, "ENOSPC": 28, "ENOMEM": 12, "EPERM": 1}


def pattern(seed: int, size: int) -> bytes:
    """`size` reproducible bytes without structure."""
    return random.Random(seed).randbytes(size)


def make_raw(path, size: int, contents: bytes = b"", seed: int | None = None) -> Path:
    """A sparse raw image of `size` bytes that begins with `contents`, or with `seed` is full
    of pattern(seed, size)."""
    path = Path(path)
    if seed is not None:
        contents = pattern(seed, size)
    with open(path, "wb") as image:
        image.write(contents)
        image.truncate(size)
    return path


def make_qcow(path, size: int | None = None, backing=None) -> Path:
    """An empty qcow2 image, or an overlay that leaves `backing` (raw; its size is the default) as it is."""
    command = ["qemu-img", "create", "-q", "-f", "qcow2"]
    command += ["-b", str(Path(backing).resolve()), "-F", "raw"] if backing else []
    subprocess.run(command + [str(path)] + ([str(size)] if size else []), check=True)
    return Path(path)


def check_qcow(path):
    """Fails unless qemu-img finds the image consistent."""
    result = subprocess.run(["qemu-img", "check", "-f", "qcow2", str(path)], capture_output=True, text=True)
    assert result.returncode == 0, f"{path}: {result.stdout}{result.stderr}"


def to_raw(path, raw_path) -> Path:
    """The contents of any image as a raw file."""
    subprocess.run(["qemu-img", "convert", "-O", "raw", str(path), str(raw_path)], check=True)
    return Path(raw_path)


def sha256(path, offset: int = 0, size: int | None = None) -> str:
    """SHA-256 of a stretch of a raw image by coreutils: an independent reader."""
    stretch = f"dd if='{path}' bs=64K iflag=skip_bytes,count_bytes skip={offset} status=none"
    stretch += f" count={size}" if size is not None else ""
    result = subprocess.run(["bash", "-o", "pipefail", "-c", f"{stretch} | sha256sum"], check=True,
                            capture_output=True, text=True)
    return result.stdout.split()[0]


def read(path, offset: int, size: int) -> bytes:
    with open(path, "rb") as image:
        image.seek(offset)
        return image.read(size)


def inject_error(operation: str, sector: int | None = None, errno: str = "EIO", once: bool = False) -> dict:
    """One entry for Disk.inject: `operation` (read, write, flush, discard, write-zeroes) fails
    when it touches 512-byte `sector` (any if None), `once` or always."""
    rule = {"event": "none", "iotype": operation, "errno": ERRNO[errno], "once": once}
    if sector is not None:
        rule["sector"] = sector
    return rule


@contextlib.contextmanager
def failing(server, disk_id: str, *rules: dict):
    """For as long as it lasts, the disk of a running server fails by these rules of inject_error()."""
    node = f"{disk_id}-fault"
    server.qmp("blockdev-add", driver="blkdebug", node_name=node, image=f"{disk_id}-file", inject_error=list(rules))
    disk = {"driver": "raw", "node-name": disk_id, "read-only": False, "discard": "unmap"}
    server.qmp("blockdev-reopen", options=[{**disk, "file": node}])
    yield
    server.qmp("blockdev-reopen", options=[{**disk, "file": f"{disk_id}-file"}])
    server.qmp("blockdev-del", node_name=node)


class HungRequests:
    """Makes requests of a kind hang in the device until released: blkdebug breakpoints.
    `event` is blkdebug's: `pwritev`, `preadv`, `flush_to_disk`, `write_aio`, `read_aio` ...;
    each break holds the next request that meets it. The disk must be `breakable`."""

    def __init__(self, server, disk_id: str, event: str, tag: str = "hung"):
        self.server = server
        self.disk_id = disk_id
        self.tag = tag
        self._io(f"break {event} {tag}")

    def _io(self, command: str):
        self.server.hmp(f'qemu-io {self.disk_id} "{command}"')

    def release(self):
        self._io(f"resume {self.tag}")

    def cancel(self):
        """No further request is caught."""
        self._io(f"remove_break {self.tag}")


def set_throttle(server, disk_id: str, iops: int = 0, bytes_per_s: int = 0):
    """A slow disk; 0 lifts the limit."""
    kind = next(disk.kind for disk in server.disks if disk.id == disk_id)
    device = f"/machine/peripheral/{disk_id}-device" + ("/virtio-backend" if kind == "virtio" else "")
    server.qmp("block_set_io_throttle", id=device, bps=bytes_per_s, bps__rd=0, bps__wr=0,
               iops=iops, iops__rd=0, iops__wr=0)
