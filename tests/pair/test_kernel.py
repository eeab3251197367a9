# SPDX-License-Identifier: Apache-2.0
"""The kernel core on machines that are right, odd and wrong: start-up, refusals by name, fault
dumps, hardware error reports, yoke.conf and what lies on disks."""

import os
import random
import re
import subprocess
import time

import pytest

from tests.pair import disks
from tests.pair.qemu import Disk

STATE_TYPE = "A38DDF3E-BF34-4317-87E7-3ACDA08F9FB5"
MIB = 1 << 20


def conf(tmp_path, text: str):
    path = tmp_path / "yoke.conf"
    path.write_text(text)
    return path


@pytest.mark.parametrize("record", ["off", "record"])
def test_start_up_is_quick_and_small(server, kernel, tmp_path, record):
    """Under 1 s of virtual time beyond the loader's start, under 64 MiB beside the guest's memory, also with the
    memory for a recording."""
    image = tmp_path / "a.img"
    image.write_bytes(bytes(16 * MIB))
    machine = server(kernel=kernel, append="debug_exit", icount="off", disks=[Disk(image, "nvme")],
                     extra=["-chardev", "null,id=recording", "-device", "isa-serial,chardev=recording,index=1"],
                     initrd=conf(tmp_path, "[guest]\nmemory = 64M\nautostart = no\n"
                                           f"[record]\nmode = {record}\n"))
    assert "icount" in machine.expect(r"^clock: TSC at 1000\.000000 MHz by (\w+)$")[1]
    used = machine.expect(r"^memory: \d+ MiB; the hypervisor uses (\d+) MiB")
    assert int(used[1]) < 64
    ready = machine.expect(r"^ready: \d+ us after power-on, (\d+) us after the loader began$")
    assert int(ready[1]) < 1_000_000
    machine.expect_prompt("yoke a> ")
    machine.never("the guest is not started")


def test_stripped_image_is_small(kernel, tmp_path):
    stripped = tmp_path / "yoke.stripped"
    subprocess.run(["strip", "-o", stripped, kernel.with_name("yoke.elf")], check=True)
    assert stripped.stat().st_size < 512 * 1024


@pytest.mark.parametrize("machine_type, access", [("pc", "mechanism 1"), ("q35", "memory-mapped")])
def test_both_ways_to_configuration_space(server, kernel, machine_type, access):
    machine = server(kernel=kernel, machine=machine_type)
    machine.expect(rf"^PCI: \d+ devices, configuration space by {access}$")
    machine.expect(r"^  00:00\.0 8086:")
    machine.expect("^ready: ")


@pytest.mark.parametrize("cpu, reason", [
    ("max,svm=off", r"this CPU has no SVM \(AMD virtualisation\)"),
    ("max,npt=off", "this CPU has no nested paging"),
])
def test_cpu_is_refused_by_name(server, kernel, tmp_path, cpu, reason):
    """The server stays at its console: start-up goes on, only the guest is not started."""
    machine = server(kernel=kernel, cpu=cpu, initrd=conf(tmp_path, "\n"))
    machine.expect(f"^CPU: refused: {reason}$")
    machine.expect("^ready: ")
    machine.expect("^the guest is not started$")


def test_no_long_mode_is_refused_by_name(server, kernel):
    machine = server(kernel=kernel, cpu="qemu32")
    machine.expect("^yoke: refused: this CPU has no long mode$")


def test_too_little_memory_is_refused_by_name(server, kernel):
    machine = server(kernel=kernel, append="debug_exit", memory="24M")
    machine.expect("^yoke: refused: no memory for ")
    assert machine.exit_code() == 3


def test_much_memory(self_test):
    """RAM above 4 GiB is in the direct map, and handed out to guests. (QEMU only touches what we do.)"""
    self_test("pages_are_above_4g", memory="6G", timeout_s=240)


def test_acpi_absent(self_test):
    self_test("acpi_is_absent", expect=["^ACPI: there is none$"], extra=["-no-acpi"], machine="pc")


def test_bars(self_test):
    self_test("pci_bars_are_sized", vga="std")


def test_devices_behind_bridges(self_test):
    """Three bridges deep, of three kinds; the firmware numbers the buses, the scan follows them."""
    bridges = ["-device", "pcie-root-port,id=p1,chassis=1", "-device", "pcie-pci-bridge,id=p2,bus=p1",
               "-device", "pci-bridge,id=p3,bus=p2,chassis_nr=3,addr=1", "-device", "e1000,bus=p3,addr=2"]
    self_test("pci_behind_bridges", "bus=03", extra=bridges)


def test_fail_stop_dump_tells_all(self_test):
    machine = self_test("fault_assert", exit_code=2, expect=[
        r"^fail-stop: tests/guest/kernel_faults.c:\d+: ASSERT\(1 \+ 1 == 3\)$",
        "^registers:$", r"^  rax [0-9a-f]{16} rbx [0-9a-f]{16} rcx [0-9a-f]{16} rdx [0-9a-f]{16}$",
        r"^  rip [0-9a-f]{16} ", "^backtrace:$",
        r"^  ffffffff[0-9a-f]{8} assert_failed\+0x[0-9a-f]+$",
        r"^  ffffffff[0-9a-f]{8} self_test_fault_assert\+0x[0-9a-f]+$",
        r"^  ffffffff[0-9a-f]{8} start_up\+0x[0-9a-f]+$",
        "^last trace lines:$", r"^  0\d{6}\.\d{6} a I test     about to break an invariant$",
        "^fail-stop: Yoke .* stopped"])
    assert machine.output.count("about to break an invariant") == 2


def test_stack_overflow_is_named(self_test):
    self_test("fault_stack_overflow", exit_code=2, expect=[
        r"^fail-stop: page fault: write to 0xffffc0[0-9a-f]+: stack overflow \(guard page\)$",
        r"fault_recurse\+0x"])


def test_diagnostic_nmi_dumps_and_goes_on(server, kernel, tmp_path):
    """The button falls where it may, into an interrupt's handler too: the backtrace leads back to the start."""
    machine = server(kernel=kernel, initrd=conf(tmp_path, "\n"), icount="on")
    machine.expect("^ready: ")
    for _ in range(2):
        machine.qmp("inject-nmi")
        machine.expect("NMI without an error: diagnostic button")
        machine.expect("^registers:$")
        machine.expect(r"^backtrace:\n(  ffffffff[0-9a-f]{8} \w+\+0x[0-9a-f]+\n)+  ffffffff[0-9a-f]{8} trap_switch_stack\+0x")
        machine.expect("^last trace lines:$")
    machine.never("fail-stop")


def test_corrected_machine_check_is_told(server, kernel, tmp_path):
    machine = server(kernel=kernel, initrd=conf(tmp_path, "\n"), icount="on")
    machine.expect("^ready: ")
    machine.hmp("mce 0 2 0x9c00000000000151 0 0x12345000 0x8c")
    machine.expect("machine check now: bank 2 corrected, code 0x151, .* address 0x12345000, misc 0x8c$")
    machine.never("fail-stop")


def test_uncorrected_machine_check_stops_the_server(server, kernel, tmp_path):
    machine = server(kernel=kernel, append="debug_exit", initrd=conf(tmp_path, "\n"), icount="on")
    machine.expect("^ready: ")
    machine.hmp("mce 0 3 0xb600000000000135 4 0x6789000 0x8c")
    machine.expect("machine check now: bank 3 uncorrected, context corrupt, code 0x135", fatal=False)
    machine.expect("^fail-stop: machine check at 0xffffffff", fatal=False)
    assert machine.exit_code() == 2


def test_missing_conf_is_told(server, kernel):
    machine = server(kernel=kernel)
    machine.expect("^yoke.conf: not among the files that the loader brought; an empty one is enough$")
    machine.expect("^the guest is not started$")


def test_wrong_conf_is_told_by_line(server, kernel, tmp_path):
    machine = server(kernel=kernel, initrd=conf(tmp_path, "[server]\nname = c\n\n[guest]\nmemry = 1G\n"))
    machine.expect(r'^yoke\.conf:2: name: found "c"; allowed: ')
    machine.expect(r'^yoke\.conf:5: .*memry.*memory')
    machine.expect("^the guest is not started$")


def serial_ports_before(tmp_path, count: int):
    """Arguments that give a server `count` serial ports ahead of the harness's console, and the files they write to."""
    files = [tmp_path / f"com{index + 1}.out" for index in range(count)]
    arguments = []
    for index, file in enumerate(files):
        arguments += ["-chardev", f"file,id=com{index + 1},path={file}", "-serial", f"chardev:com{index + 1}"]
    return arguments, files


def serial_line(machine, port: int):
    """(divisor, line control) of the 16550 at `port`, read by QEMU's monitor while the server stands still."""

    def read(offset):
        return int(re.search(r"= (0x[0-9a-f]+)", machine.hmp(f"i /b {port + offset:#x}"))[1], 16)

    machine.qmp("stop")
    line_control = read(3)
    machine.hmp(f"o /b {port + 3:#x} {line_control | 0x80:#x}")  # the divisor instead of the data
    divisor = read(0) | read(1) << 8
    machine.hmp(f"o /b {port + 3:#x} {line_control:#x}")
    machine.qmp("cont")
    return divisor, line_control


@pytest.mark.parametrize("count_before, name, port, rate", [
    (0, "com1", 0x3F8, 38400), (1, "com2", 0x2F8, 57600), (2, "0x3e8", 0x3E8, 300)])
def test_console_is_at_the_port_and_rate_of_the_configuration(server, kernel, tmp_path, count_before, name, port, rate):
    """The ports before it stay silent, and what is typed arrives; the divisor is that of a clock of 115200 baud."""
    arguments, others = serial_ports_before(tmp_path, count_before)
    machine = server(kernel=kernel, initrd=conf(tmp_path, f"[console]\nport = {name}\nrate = {rate}\n"),
                     icount="on", extra=arguments)
    machine.expect("^Yoke .*, server a, loaded by ")
    machine.expect("^ready: ")
    machine.expect_prompt("yoke a> ")
    assert serial_line(machine, port) == (115200 // rate, 3)  # 8 data bits, no parity, 1 stop bit
    machine.send("status\r")
    machine.expect(r"^server a +waiting")
    assert [file.read_bytes() for file in others] == [b""] * count_before


def test_wrong_console_is_refused_by_line(server, kernel, tmp_path):
    """The console is at its default port and rate then, and tells what is wrong."""
    text = "[console]\nport = com5\nrate = 56000\n"
    machine = server(kernel=kernel, initrd=conf(tmp_path, text), icount="on")
    machine.expect('^yoke\\.conf:2: port: found "com5"; allowed: com1 | com2 | com3 | com4 or an I/O port ')
    machine.expect('^yoke\\.conf:3: rate: found "56000"; allowed: 115200 or a whole fraction of it, ')
    machine.expect("^the guest is not started$")
    machine.expect_prompt("yoke a> ")
    assert serial_line(machine, 0x3F8) == (1, 3)


def test_console_port_without_a_chip(server, kernel, tmp_path):
    """COM1 is the console then, at the rate that was asked for, and the guest waits until that is mended."""
    text = "[console]\nport = com3\nrate = 19200\n[guest]\nmemory = 64M\nautostart = no\n[pair]\nmode = single\n"
    machine = server(kernel=kernel, initrd=conf(tmp_path, text), icount="on")
    machine.expect(r"^yoke\.conf:2: port: no serial port is at 0x3e8; the console is com1 meanwhile$")
    machine.expect("^the guest is not started$")
    machine.expect_prompt("yoke a> ")
    assert serial_line(machine, 0x3F8) == (6, 3)
    machine.send("set console.port=com1\rstatus\r")
    machine.expect(r"^guest +off ")


def test_conf_names_server_levels_and_roles(server, kernel, tmp_path):
    text = "[server]\nname = b\n[network]\ncs1 = 52:54:00:00:00:02\ncs2 = none\n[trace]\nlevel = error\n"
    text += "[guest]\nmemory = 64M\nautostart = no\n[pair]\nmode = single\n"
    devices = ["-device", "e1000,mac=52:54:00:00:00:01", "-device", "e1000,mac=52:54:00:00:00:02"]
    machine = server(kernel=kernel, initrd=conf(tmp_path, text), extra=devices)
    machine.expect("^Yoke .*, server b, loaded by ")
    machine.expect("^network ports: 2$")
    assert machine.expect(r"^  cs1: (\S+) e1000$")[1] == "00:02.0"
    machine.expect("^ready: ")
    machine.expect_prompt("yoke b> ")
    machine.never(r" I net ")
    machine.never(r"^  cs2:")
    machine.never("the guest is not started")


def test_a_pair_needs_a_state_partition(server, kernel, tmp_path):
    """Without, this server could not know what the other one has done meanwhile."""
    text = "[guest]\nmemory = 64M\n"
    machine = server(kernel=kernel, initrd=conf(tmp_path, text), extra=["-device", "e1000"])
    machine.expect("^pair.mode = duplex needs a state partition on the boot disk; pair.mode = single ")
    machine.expect("^the guest is not started$")
    machine.expect_prompt("yoke a> ")


@pytest.mark.parametrize("pair_mode, held", [("duplex", True), ("single", False)])
def test_noise_in_the_state_partition_holds_the_guest_of_a_pair(server, kernel, tmp_path, pair_mode, held):
    """It may have been this server's memory of the other one; a server without another one does not need it."""
    boot = state_noise(tmp_path / "boot.img")
    first = disks.make_raw(tmp_path / "mirror1.img", 8 * MIB)
    before = boot.read_bytes()
    text = f"[guest]\nmemory = 64M\nautostart = no\n[pair]\nmode = {pair_mode}\n"
    machine = server(kernel=kernel, initrd=conf(tmp_path, text), extra=["-device", "e1000"], icount="on",
                     disks=[Disk(boot, "virtio"), Disk(first, "virtio")])
    machine.expect("^ready: ")
    machine.expect_prompt("yoke a> ")
    for words in ("the state partition is not Yoke's (copy 1: not Yoke's; copy 2: not Yoke's)", "the guest is not started"):
        assert (f"\n{words}\n" in machine.output) == held
    machine.kill()
    assert boot.read_bytes() == before


def partitioned(path, type_code: str):
    path.write_bytes(bytes(32 * MIB))
    subprocess.run(["sgdisk", "--clear", "--new=1:2048:+8M", f"--typecode=1:{type_code}", path], check=True,
                   capture_output=True)
    return path


def mbr(path):
    data = bytearray(8 * MIB)
    data[446:462] = bytes([0x80, 1, 1, 0, 0x83, 1, 1, 1, 0, 8, 0, 0, 0, 8, 0, 0])
    data[510:512] = b"\x55\xaa"
    path.write_bytes(data)
    return path


def noise(path):
    path.write_bytes(random.Random(7).randbytes(MIB))
    return path


def state_noise(path):
    partitioned(path, STATE_TYPE)
    with path.open("r+b") as image:
        image.seek(2048 * 512)
        image.write(random.Random(8).randbytes(MIB))
    return path


def damaged(path, *sectors):
    """A disk with a state partition, and a byte changed in each of `sectors` (from the end if below 0)."""
    partitioned(path, STATE_TYPE)
    with path.open("r+b") as image:
        for sector in sectors:
            image.seek(sector * 512 + 56, 0 if sector >= 0 else 2)
            image.write(b"X")
    return path


BACKUP_USED = "its backup at the end of the disk is used"


@pytest.mark.parametrize("make, told", [
    (lambda path: partitioned(path, STATE_TYPE), "Yoke state partition, empty"),
    (state_noise, "Yoke state partition, of unknown contents: left as it is"),
    (lambda path: partitioned(path, "8300"), "GPT with 1 partitions, none of Yoke's"),
    (mbr, r"a foreign partition table \(MBR\), no GPT"),
    (noise, "data without a partition table"),
    (lambda path: damaged(path, 1, -33),
     "GPT: wrong header checksum; its backup: GPT: wrong checksum of the entries"),
    (lambda path: damaged(path, 2), f"GPT: wrong checksum of the entries; {BACKUP_USED}"),
    (lambda path: damaged(path, -1), "Yoke state partition, empty"),
], ids=["state", "state-noise", "other-gpt", "mbr", "noise", "damaged-gpts", "damaged-gpt", "damaged-backup"])
def test_disks_are_told_and_left_alone(server, kernel, tmp_path, make, told):
    image = make(tmp_path / "disk.img")
    before = image.read_bytes()
    machine = server(kernel=kernel, append="debug_exit", initrd=conf(tmp_path, "\n"), disks=[Disk(image, "virtio")])
    machine.expect(rf"^  \S+ virtio-blk: {told}$")
    machine.expect("^ready: ")
    role = "boot" if told.startswith("Yoke") or told.endswith(BACKUP_USED) else "mirror1"
    assert re.search(rf"^  {role}: \S+ virtio-blk$", machine.output, re.M)
    machine.kill()
    assert image.read_bytes() == before


def test_first_table_in_a_bad_sector(server, kernel, tmp_path):
    """Sector 0 can be read, and promises a GPT."""
    image = partitioned(tmp_path / "disk.img", STATE_TYPE)
    machine = server(kernel=kernel, initrd=conf(tmp_path, "\n"),
                     disks=[Disk(image, "virtio", inject=[disks.inject_error("read", sector=1)])])
    machine.expect(rf"^  \S+ virtio-blk: not readable \(error -5\); {BACKUP_USED}$")
    machine.expect(r"^  \S+ virtio-blk: Yoke state partition, empty$")


def test_unreadable_disk_is_told(server, kernel, tmp_path):
    image = noise(tmp_path / "disk.img")
    machine = server(kernel=kernel, initrd=conf(tmp_path, "\n"),
                     disks=[Disk(image, "virtio", inject=[disks.inject_error("read", sector=0)])])
    machine.expect(r"^  \S+ virtio-blk: not readable \(error -5\)$")
    machine.expect("^ready: ")


def test_idle_server_sleeps_and_still_answers(server, kernel, tmp_path):
    """It keeps no core busy, and typing wakes it however long it slept and however the keys come."""
    machine = server(kernel=kernel, initrd=conf(tmp_path, "\n"), icount="on")
    machine.expect("^ready: ")
    ticks = os.sysconf("SC_CLK_TCK")

    def cpu_seconds():
        fields = open(f"/proc/{machine.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / ticks

    for keys in (["status\r"], list("status\r"), ["sta", "tus\r"]):
        start, started = cpu_seconds(), time.monotonic()
        time.sleep(2)
        share = (cpu_seconds() - start) / (time.monotonic() - started)
        assert share < 0.8, f"an idle server keeps {share:.0%} of a core busy"
        for key in keys:
            machine.send(key)
            time.sleep(0.05)
        machine.expect(r"^server a +waiting")


def test_command_line(server, kernel, tmp_path):
    machine = server(kernel=kernel, append="debug_exit", initrd=conf(tmp_path, "[guest]\nmemory = 3M\nmemry = 1G\n"),
                     icount="on", extra=["-device", "e1000"])
    machine.expect_prompt("yoke a> ")
    machine.send("frobnicate\r")
    machine.expect("frobnicate")
    machine.send("status\r")
    machine.expect(r"^guest +refused ")
    machine.send("trace pci debug\rtrace\r")
    machine.expect(r"^pci\.c +pci +debug$")
    machine.send("trace nonsense debug\r")
    machine.expect('no category or file is called "nonsense"')
    machine.send("set guest.memory=64M\r")
    machine.expect(r"^yoke\.conf:3: ")  # what still stands
    machine.send("config accept\rstatus\r")
    machine.expect(r"^guest +off ")
    machine.send("set network.cs1=00:1e.7\r")
    machine.expect(r"^command line: network\.cs1: .*00:1e\.7")
    machine.send("set network.cs1=00:01.0\r")
    machine.send("status\r")
    machine.expect(r"^guest +off ")
    machine.send("poweroff\r")
    assert machine.exit_code() == 0


def test_guest_too_large_is_mended_at_the_console(server, kernel, tmp_path):
    text = "[guest]\nmemory = 4G\nstart = direct\nkernel = vmlinuz\n"
    machine = server(kernel=kernel, initrd=conf(tmp_path, text), icount="on")
    machine.expect("^guest.memory is 4096 MiB, and this server has [0-9]+ MiB free$")
    machine.expect_prompt("yoke a> ")
    machine.send("set guest.memory=64M\rstart\r")
    machine.expect("^the guest is not started: guest.kernel: vmlinuz is not among the boot files$")  # prepared, that is


def test_power_off_by_acpi(server, kernel, tmp_path):
    machine = server(kernel=kernel, initrd=conf(tmp_path, "\n"), icount="on")
    machine.expect_prompt("yoke a> ")
    machine.send("poweroff\r")
    assert machine.wait() == 0


@pytest.mark.parametrize("machine_type", ["q35", "pc"])
def test_reboot(server, kernel, tmp_path, machine_type):
    machine = server(kernel=kernel, initrd=conf(tmp_path, "\n"), icount="on", reboot=True, machine=machine_type)
    machine.expect_prompt("yoke a> ")
    machine.send("reboot\r")
    machine.expect("^ready: ")
    machine.expect_prompt("yoke a> ")
