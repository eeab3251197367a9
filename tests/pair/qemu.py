# SPDX-License-Identifier: Apache-2.0
"""One server in QEMU: its command line, its serial console, its monitor and its end.

    with Server(tmp_path, kernel="build/yoke.elf32", append="test=pages") as server:
        server.expect(r"pages: (\\d+) free")
        assert server.exit_code() == 0

A server is described by plain data (Disk, Nic), started stopped, asked whether
its monitor answers, and then let go: so whatever QEMU dislikes about its command
line is told as such, and no byte of the console is lost. The monitor is a socket
pair: no path that is too long, no port that is taken, no start order. The console
is two FIFOs, for a socket is full with 278 single bytes that nobody has read yet,
and whoever writes to a serial port that is stuck gives up some time.

The clock is exact by default: `-icount shift=0`, one instruction a virtual
nanosecond. `sleep=on` as soon as there is a network port (with `sleep=off` an
idle CPU jumps to its next timer and time-outs against a peer expire at once).
Time-outs here are wall time, generous, and scaled by YOKE_TIMEOUT_FACTOR.
"""

import ctypes
import dataclasses
import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

from tests.pair.qmp import Qmp, QmpError

ROOT = Path(__file__).resolve().parents[2]
OVMF_CODE = "/usr/share/OVMF/OVMF_CODE_4M.fd"
OVMF_VARS = "/usr/share/OVMF/OVMF_VARS_4M.fd"
TIMEOUT_FACTOR = float(os.environ.get("YOKE_TIMEOUT_FACTOR", "1"))
CONSOLE_TAIL_LINES = 60
CONSOLE_PIPE_BYTES = 1 << 20
PR_SET_PDEATHSIG = 1

DEBUG_EXIT_PORT = 0xF4

# A fail-stop is told at once instead of by a time-out; its dump may take a moment.
FATAL = re.compile(r"fail-stop:")
FATAL_GRACE_S = 60
ERASED_LINE = re.compile(r"[^\n]*\r\x1b\[K")


class ServerError(AssertionError):
    """A server did not do what was expected; the text carries its console and command."""


@dataclasses.dataclass
class Disk:
    """A disk image and the device that shows it. Node names are `ID` (what the device
    uses), `ID-debug` (blkdebug, when `inject` or `breakable`) and `ID-file`."""

    path: str | os.PathLike
    kind: str = "virtio"  # virtio, nvme, ahci, ide
    id: str = ""  # default: disk0, disk1, ...
    format: str = "raw"
    serial: str = ""  # default: the id
    boot_index: int | None = None
    sector_size: int = 512
    read_only: bool = False
    cache: str = "writeback"  # writeback: a volatile cache to flush; writethrough: none
    inject: list = dataclasses.field(default_factory=list)  # see disks.inject_error
    breakable: bool = False  # insert blkdebug for HMP `qemu-io ID "break ..."`
    properties: str = ""  # more of the device, as on the command line

    def blockdev(self) -> dict:
        node = {"driver": "file", "node-name": f"{self.id}-file", "filename": str(self.path),
                "read-only": self.read_only, "discard": "unmap"}
        if self.inject or self.breakable:
            node = {"driver": "blkdebug", "node-name": f"{self.id}-debug", "image": node}
            node.update({"inject-error": self.inject} if self.inject else {})
        return {"driver": self.format, "node-name": self.id, "file": node,
                "read-only": self.read_only, "discard": "unmap"}

    def device(self, index: int, machine: str) -> list:
        """Arguments after -device, one list entry a device."""
        common = f"drive={self.id},id={self.id}-device,serial={self.serial or self.id}"
        common += f",write-cache={'on' if self.cache == 'writeback' else 'off'}"
        if self.boot_index is not None:
            common += f",bootindex={self.boot_index}"
        if self.sector_size != 512:
            common += f",logical_block_size={self.sector_size},physical_block_size={self.sector_size}"
        if self.properties:
            common += f",{self.properties}"
        if self.kind == "virtio":
            return [f"virtio-blk-pci,disable-legacy=on,{common}"]
        if self.kind == "nvme":
            return [f"nvme,{common}"]
        if self.kind == "ide" or machine.startswith("q35"):
            return [f"ide-hd,bus=ide.{index},{common}"]  # q35's own controller is AHCI
        return [f"ahci,id={self.id}-ahci", f"ide-hd,bus={self.id}-ahci.0,{common}"]


@dataclasses.dataclass
class Nic:
    """A network port and what its cable is plugged into: a Tap of tests.pair.network, an
    argument list for -netdev as text (`dgram,...`, `user,...`), or None for no cable."""

    cable: object = None
    model: str = "e1000"  # e1000, e1000e, virtio-net-pci
    mac: str = ""
    id: str = ""  # default: net0, net1, ...
    boot: bool = False  # keep the boot ROM (network boot)
    properties: str = ""

    def netdev(self) -> str:
        if isinstance(self.cable, str):
            return f"{self.cable},id={self.id}"
        return f"tap,fd={self.cable.fd},id={self.id}"

    def device(self) -> str:
        text = f"{self.model},id={self.id}-device"
        if self.cable is not None:
            text += f",netdev={self.id}"
        if self.mac:
            text += f",mac={self.mac}"
        if not self.boot:
            text += ",romfile="
        if self.model.startswith("virtio"):
            text += ",disable-legacy=on"
        return f"{text},{self.properties}" if self.properties else text


def _die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Server:
    """See the top of the file. Everything given by keyword:

    kernel       Multiboot 1 ELF32 (or a Linux bzImage) for -kernel; None boots from disk or network
    append       kernel command line
    initrd       path or, for Multiboot, list of (path, text): the modules
    memory       as QEMU writes it: "512M"
    machine      "q35" (AHCI and MCFG built in) or "pc"
    cpu          "max", "qemu64", "max,-svm" ...
    icount       "auto", "on" (sleep=on), "off" (sleep=off), or None for plain TCG
    uefi         OVMF instead of SeaBIOS; True, or the path of a variable store to go on with
    disks, nics  lists of Disk, Nic
    vga          "none" or "std"
    rtc          argument of -rtc
    extra        more arguments; ahead of disks and ports, so they may bring buses for these
    name         word in file names and messages
    reboot       let a reset restart the machine instead of ending QEMU
    paused       stay stopped after start (QMP `cont` lets it go)
    """

    def __init__(self, directory, *, kernel=None, append="", initrd=None, memory="512M", machine="q35",
                 cpu="max", icount="auto", uefi=False, disks=(), nics=(), vga="none", rtc="", extra=(),
                 name="server", reboot=False, paused=False):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.disks = list(disks)
        self.nics = list(nics)
        self.paused = paused
        self.process = None
        self.monitor = None
        self._keys = None
        self.console_path = self.directory / f"{name}.console"
        self.stderr_path = self.directory / f"{name}.stderr"
        self._name_devices()
        if icount == "auto":
            icount = "on" if self.nics else "off"
        self.arguments = ["qemu-system-x86_64", "-name", name, "-nodefaults", "-no-user-config"]
        self.arguments += ["-machine", machine, "-accel", "tcg", "-cpu", cpu, "-m", memory]
        # QEMU 7.2 drops a guest's memory barriers where there can be but one processor, and its devices
        # work in other threads: a doorbell in memory (NVMe, virtio) may then go unseen. With icount it does
        # so in any case.
        self.arguments += ["-smp", "1" if icount else "1,maxcpus=2"]
        if icount:
            self.arguments += ["-icount", f"shift=0,sleep={icount}"]
        self.arguments += ["-rtc", rtc or ("base=2026-01-01,clock=vm" if icount else "base=utc")]
        self.arguments += ["-display", "none", "-vga", vga]
        self.arguments += [] if reboot else ["-no-reboot"]
        self.arguments += ["-device", f"isa-debug-exit,iobase={DEBUG_EXIT_PORT:#x},iosize=4"]
        self.arguments += self._firmware_arguments(uefi)
        self.arguments += self._kernel_arguments(kernel, append, initrd)
        self.arguments += [str(word) for word in extra]
        self._machine = machine
        self._arguments_but_devices = self.arguments
        self.change_disks(self.disks)
        self._output = ""
        self._pending = ""
        self._position = 0
        self._changed = threading.Condition()

    # ---- the command line

    def _name_devices(self):
        for index, disk in enumerate(self.disks):
            disk.id = disk.id or f"disk{index}"
        for index, nic in enumerate(self.nics):
            nic.id = nic.id or f"net{index}"

    def change_disks(self, disks):
        """From the next start on."""
        self.disks = list(disks)
        self._name_devices()
        self.arguments = self._arguments_but_devices + self._disk_arguments(self._machine) + self._nic_arguments()

    def _firmware_arguments(self, uefi) -> list:
        if not uefi:
            return []
        variables = self.directory / f"{self.name}.vars.fd"
        shutil.copyfile(OVMF_VARS if uefi is True else uefi, variables)
        return ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={OVMF_CODE}",
                "-drive", f"if=pflash,format=raw,unit=1,file={variables}"]

    @staticmethod
    def _kernel_arguments(kernel, append, initrd) -> list:
        if kernel is None:
            return []
        arguments = ["-kernel", str(kernel)]
        if append:
            arguments += ["-append", append]
        if initrd and not isinstance(initrd, (str, os.PathLike)):
            initrd = ",".join(f"{path} {text}".strip().replace(",", ",,") for path, text in initrd)
        return arguments + (["-initrd", str(initrd)] if initrd else [])

    def _disk_arguments(self, machine) -> list:
        arguments = []
        for index, disk in enumerate(self.disks):
            arguments += ["-blockdev", json.dumps(disk.blockdev())]
            for device in disk.device(index, machine):
                arguments += ["-device", device]
        return arguments

    def _nic_arguments(self) -> list:
        arguments = []
        for nic in self.nics:
            if nic.cable is not None:
                arguments += ["-netdev", nic.netdev()]
            arguments += ["-device", nic.device()]
        return arguments

    def command_by_hand(self) -> str:
        """The command that starts the same machine with its console on the terminal."""
        words = [re.sub(r"^tap,fd=\d+", "user", word) for word in self.arguments]
        return shlex.join(words + ["-serial", "mon:stdio"])

    # ---- start and end

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()

    def start(self):
        """Starts QEMU; again after its end, for a server that comes back."""
        assert self.process is None or self.process.poll() is not None, f"{self.name} runs already"
        self._close_connections()
        self._pending = ""
        if self._output and not self._output.endswith("\n"):  # a line that its end cut short, such as a prompt
            self._output += "\n"
        serial = f"{self.directory / self.name}.serial"
        console = self._make_console(serial)
        monitor, monitor_far = socket.socketpair()
        arguments = self.arguments + ["-S",
            "-chardev", f"pipe,id=console,path={serial.replace(',', ',,')}", "-serial", "chardev:console",
            "-chardev", f"socket,id=monitor,fd={monitor_far.fileno()}", "-mon", "chardev=monitor,mode=control"]
        descriptors = [monitor_far.fileno()]
        descriptors += [nic.cable.fd for nic in self.nics if hasattr(nic.cable, "fd")]
        self.started = time.monotonic()
        with open(self.stderr_path, "wb") as stderr:
            self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr,
                                            pass_fds=descriptors, preexec_fn=_die_with_parent, cwd=ROOT)
        monitor_far.close()
        try:
            self._connect(monitor, console)
            if not self.paused:
                self.monitor.command("cont")
        except (QmpError, TimeoutError) as error:
            self.kill()
            raise ServerError(self.describe(f"QEMU did not start: {error}")) from None

    def _make_console(self, path: str) -> int:
        """`path`.out is what the server says, whose end to read is returned, `path`.in what is typed."""
        for way in (".in", ".out"):
            Path(path + way).unlink(missing_ok=True)
            os.mkfifo(path + way)
        self._keys = os.open(path + ".in", os.O_RDWR)
        console = os.open(path + ".out", os.O_RDONLY | os.O_NONBLOCK)  # does not wait for QEMU
        fcntl.fcntl(console, fcntl.F_SETPIPE_SZ, CONSOLE_PIPE_BYTES)
        os.set_blocking(console, True)
        return console

    def _connect(self, monitor: socket.socket, console: int):
        try:
            self.monitor = Qmp(monitor, 120 * TIMEOUT_FACTOR)
        finally:  # QEMU has opened the console now, or never will
            self._reader = threading.Thread(target=self._read_console, args=(console,), daemon=True)
            self._reader.start()

    def kill(self):
        """Ends this server at once, as a power cut does. Only ever our own process."""
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()
        self._close_connections()

    def _close_connections(self):
        if self.monitor:
            self.monitor.connection.close()
            self.monitor = None
        if self._keys is not None:
            self._reader.join()
            os.close(self._keys)
            self._keys = None

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def wait(self, timeout_s: float = 300) -> int:
        """Waits for QEMU to end by itself and returns its status."""
        try:
            status = self.process.wait(timeout_s * TIMEOUT_FACTOR)
        except subprocess.TimeoutExpired:
            raise ServerError(self.describe(f"did not end within {timeout_s} s")) from None
        self._reader.join()
        return status

    def exit_code(self, timeout_s: float = 300) -> int:
        """Waits for the end by debug-exit and returns the value written there."""
        status = self.wait(timeout_s)
        if status < 0 or status % 2 == 0:
            what = f"signal {-status}" if status < 0 else f"status {status}"
            raise ServerError(self.describe(f"QEMU ended by {what}, not by debug-exit"))
        return status // 2

    # ---- the console

    def _read_console(self, console: int):
        with open(self.console_path, "ab") as log, open(console, "rb", buffering=0) as stream:
            while True:
                data = stream.read(65536)
                with self._changed:
                    self._show(data.decode("latin-1"))
                    self._changed.notify_all()
                if not data:
                    return
                log.write(data)
                log.flush()

    def _show(self, text: str):
        """Does what a terminal does with a line that is erased: a prompt that gave way to a trace
        line is not there any more. Other carriage returns are left out."""
        line_start = self._output.rfind("\n") + 1
        text = self._output[line_start:] + self._pending + text
        self._pending = re.search(r"(\r(\x1b\[?)?)?\Z", text)[0]  # may be the first half of an erasure
        text = text[: len(text) - len(self._pending)]
        if ERASED_LINE.match(text):  # what stands there now has not been looked at
            self._position = min(self._position, line_start)
        text = ERASED_LINE.sub("", text).replace("\r", "").replace("\x1b[K", "")
        self._output = self._output[:line_start] + text

    @property
    def output(self) -> str:
        """All that came from the console since the first start, carriage returns left out."""
        with self._changed:
            return self._output

    def send(self, text: str | bytes):
        """Types `text` at the console; a line ends with `\\r`."""
        os.write(self._keys, text.encode() if isinstance(text, str) else text)

    def expect(self, pattern: str, timeout_s: float = 120, fatal: bool = True) -> re.Match:
        """Waits until `pattern` (a regular expression, `^` and `$` match at lines) has come from
        the console behind what the last expect() took, and returns the match. Looks at whole
        lines only, so half a number never matches; a prompt is for expect_prompt(). Fails at the
        time-out, at QEMU's end and, unless `fatal` is off, soon after a fail-stop."""
        __tracebackhide__ = True
        compiled = re.compile(pattern, re.MULTILINE)

        def search():
            return compiled.search(self._output, self._position, self._output.rfind("\n") + 1)

        return self._expect(search, f"/{pattern}/", timeout_s, fatal)

    def expect_prompt(self, text: str, timeout_s: float = 120):
        """Waits for the very characters `text`, whether or not their line is complete."""
        __tracebackhide__ = True
        compiled = re.compile(re.escape(text))
        self._expect(lambda: compiled.search(self._output, self._position), repr(text), timeout_s, True)

    def _expect(self, search, what: str, timeout_s: float, fatal: bool) -> re.Match:
        __tracebackhide__ = True
        deadline = time.monotonic() + timeout_s * TIMEOUT_FACTOR
        reason = f"no {what} within {timeout_s} s"
        with self._changed:
            while True:
                ended = not self._reader.is_alive()
                match = search()
                if match:
                    self._position = match.end()
                    return match
                if fatal and FATAL.search(self._output, self._position):
                    deadline = min(deadline, time.monotonic() + FATAL_GRACE_S)
                    reason, fatal = f"fail-stop while waiting for {what}", False
                if ended:
                    reason = f"QEMU ended while waiting for {what}"
                    break
                if time.monotonic() >= deadline:
                    break
                self._changed.wait(min(1, max(0.01, deadline - time.monotonic())))
        raise ServerError(self.describe(reason))

    def mark(self) -> int:
        """Where the console's next line begins, for wait_for()."""
        with self._changed:
            return self._output.rfind("\n") + 1

    def wait_for(self, pattern: str, timeout_s: float = 120, since: int = 0) -> re.Match:
        """Waits until `pattern` is anywhere in the console's whole lines from the mark `since` on.
        Takes nothing away from expect(): for answers that come in any order."""
        __tracebackhide__ = True
        compiled = re.compile(pattern, re.MULTILINE)
        position = self._position

        def search():
            return compiled.search(self._output, since, self._output.rfind("\n") + 1)

        match = self._expect(search, f"/{pattern}/", timeout_s, True)
        self._position = position
        return match

    def never(self, pattern: str):
        """Fails if `pattern` has come from the console at any time until now."""
        match = re.search(pattern, self.output, re.MULTILINE)
        if match:
            raise ServerError(self.describe(f"/{pattern}/ must not appear, but {match.group()!r} did"))

    def words(self) -> str:
        """What QEMU itself said: complaints, and what `qemu-io` prints."""
        return self.stderr_path.read_text(errors="replace").strip() if self.stderr_path.exists() else ""

    def describe(self, reason: str) -> str:
        """`reason` with what a person needs next: the console's end, QEMU's words, the command."""
        lines = self.output.splitlines()[-CONSOLE_TAIL_LINES:]
        words = self.words()
        text = f"{self.name}: {reason}\n--- console, last lines (all: {self.console_path})\n"
        text += "\n".join(lines)
        if words:
            text += f"\n--- QEMU said\n{words}"
        return f"{text}\n--- by hand\n{self.command_by_hand()}"

    # ---- the monitor

    def qmp(self, command: str, **arguments):
        return self.monitor.command(command, **arguments)

    def hmp(self, line: str) -> str:
        """One command of the human monitor: `qemu-io`, `mce`, `info registers`, `xp` ..."""
        return self.monitor.command("human-monitor-command", command_line=line)

    def set_link(self, nic_id: str, up: bool):
        """Pulls or plugs the cable: both ends see the carrier."""
        self.qmp("set_link", name=f"{nic_id}-device", up=up)

    def unplug(self, device_id: str):
        """Pulls a PCI device out of a `pc` machine with nobody asked: QEMU's eject register, which
        the firmware's ACPI methods would write after the operating system agreed."""
        for bus in self.qmp("query-pci"):
            for device in bus["devices"]:
                if device["qdev_id"] == device_id:
                    self.hmp("o /w 0xae10 0")
                    self.hmp(f"o /w 0xae08 {1 << device['slot']:#x}")
                    return
        raise ServerError(self.describe(f"no PCI device {device_id} to unplug"))
