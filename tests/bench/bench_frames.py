# SPDX-License-Identifier: Apache-2.0
"""Frames: our network drivers beside Linux's own, on the same virtual device in the same run.

Each driver sends 60, 1514 and 9014 bytes (64, 1500 and 9000 on the wire or as MTU) as fast as it can
into a TAP device, and receives what a sender on the host pushes through it. Linux sends with pktgen,
the fastest it has, in its two ways: one buffer sent again and again, 32 frames a doorbell like ours, where the
driver lets it (beside our frames built in place), and a fresh buffer filled for each frame (beside our frames
copied in). Its receiver hands frames to a stack that wants none of them. Debian's clearing of fresh memory is off.

Twice: under icount, where the time that the processor is busy is the count of its instructions, and
plain, where it is time by the wall clock and the rate is what the emulated device lets through.
The first is exact. The second depends on who else is on the machine: each figure is the best of
several rounds, both sides in turn at a high priority, and still a quiet machine tells more."""

from tests.bench.linux_guest import compile_static, linux_server, script_output
from tests.bench.priority import priority
from tests.bench.report import Result
from tests.pair.network import Network
from tests.pair.qemu import ROOT, Nic, Server

MODELS = {"e1000": "e1000", "e1000e": "e1000e", "virtio-net-pci": "virtio_net"}  # model: Linux module
SIZES = [60, 1514, 9014]
FRAMES = 100000
ROUNDS = 3  # without icount; the best counts
ATTEMPTS = 2  # without icount: ours and Linux in turn, the best of each counts
MAC = "52:54:00:00:0b:01"
TARGET = 0.9  # of Linux's rate
LINE = r"(\d+) frames in (\d+) ns, busy (\d+) ns"
PKTGEN_LINE = r"(\d+)\(c(\d+)\+d\d+\) usec, (\d+) "
WAYS = {"transmit": "1000 32", "transmit copied": "0 1"}  # pktgen's clone_skb and burst for the like

SCRIPT = """
ip link set eth0 mtu 9000 up
while [ "$(cat /sys/class/net/eth0/carrier)" != 1 ]; do sleep 0.1; done
sleep 1
control=/proc/net/pktgen
echo "add_device eth0" > $control/kpktgend_0
transmit() { # size, frames, rounds, frames that share a buffer, burst, name
    # Shared buffers and bursts are refused by drivers that cannot have them: then without.
    for setting in "burst 1" "clone_skb 0" "clone_skb $4" "burst $5" "count $2" "pkt_size $1" "delay 0" \\
                   "dst_mac 02:00:00:00:00:01" "dst 10.0.0.1"; do
        echo "$setting" > $control/eth0 2> /dev/null || echo "pktgen refuses $setting"
    done
    for round in $(seq $3); do
        echo start > $control/pgctrl
        echo "$6 $1 bytes $(grep -A1 Result: $control/eth0 | tr '\\n' ' ')"
    done
}
receive() {
    echo "ready to receive $1"
    for round in $(seq $3); do
        echo "receive $1 bytes: $(frame_meter eth0 $2)"
    done
}
"""


def frames_of(size: int) -> int:
    return FRAMES // 5 if size > 1514 else FRAMES


def rounds_of(icount) -> int:
    return 1 if icount else ROUNDS


def best(figures: list) -> tuple:
    """The round with the highest rate, of (frames, elapsed ns, busy ns)."""
    return max(figures, key=lambda figure: figure[0] / figure[1])


def expect_rounds(server, pattern: str, rounds: int) -> list:
    """`rounds` console lines, each with three numbers."""
    return [tuple(map(int, server.expect(pattern, 300).groups())) for _ in range(rounds)]


def rate(frames: int, elapsed_ns: int) -> float:
    return frames * 1e9 / elapsed_ns


class Sender:
    """The host's sender, running while the guest receives."""

    def __init__(self, network, program, size: int, mac: str = MAC):
        self.process = network.popen(str(program), "tap0", mac, str(size))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def measure_ours(directory, network, tap, sender, model: str, icount) -> dict:
    figures = {}
    nic = Nic(tap, model, mac=MAC)
    with Server(directory, name=f"yoke-{model}", kernel=ROOT / "build" / "yoke-test.elf32", memory="256M",
                append=f"debug_exit test=net_bench frames={FRAMES} rounds={rounds_of(icount)}", icount=icount, nics=[nic]) as server:
        for size in SIZES:
            for way in WAYS:
                lines = expect_rounds(server, rf"^net_bench: {way} {size} bytes: {LINE}", rounds_of(icount))
                figures[way, size] = best(lines)
            server.expect(f"^net_bench: ready to receive {size} bytes$")
            with Sender(network, sender, size):
                lines = expect_rounds(server, rf"^net_bench: receive {size} bytes: {LINE}", rounds_of(icount))
            figures["receive", size] = best(lines)
        assert server.exit_code() == 0
    return figures


def pktgen_figures(elapsed_us: int, busy_us: int, frames: int) -> tuple:
    return frames, elapsed_us * 1000, busy_us * 1000


def measure_linux(directory, network, tap, sender, meter, model: str, icount) -> dict:
    figures = {}
    rounds = rounds_of(icount)
    words = [f"{size} {frames_of(size)} {rounds}" for size in SIZES]
    transmits = "".join(f"transmit $line {settings} '{way}'\n" for way, settings in WAYS.items())
    script = SCRIPT + "".join(f"line='{line}'\n{transmits}receive $line\n" for line in words)
    nic = Nic(tap, model, mac=MAC)
    with linux_server(directory, script, name=f"linux-{model}", modules=["virtio_pci", MODELS[model], "pktgen"],
                      append="init_on_alloc=0", files={"/bin/frame_meter": meter}, icount=icount, nics=[nic]) as guest:
        for size in SIZES:
            for way in WAYS:
                lines = expect_rounds(guest, rf"^{way} {size} bytes .*OK: {PKTGEN_LINE}", rounds)
                figures[way, size] = best([pktgen_figures(*line) for line in lines])
            guest.expect(f"^ready to receive {size}$")
            with Sender(network, sender, size):
                figures["receive", size] = best(expect_rounds(guest, rf"^receive {size} bytes: {LINE}", rounds))
        script_output(guest)
    return figures


def compare(model: str, exact: tuple, plain: tuple):
    """Results of one model; `exact` and `plain` are (ours, Linux's) under icount and without."""
    for direction in (*WAYS, "receive"):
        for size in SIZES:
            name = f"frames, {model}, {direction} {size} bytes"
            ours, linux = (figures[direction, size] for figures in exact)
            yield Result(f"{name}: instructions", ours[2] / ours[0], "per frame",
                         note=f"Linux {linux[2] / linux[0]:.0f}")
            ours, linux = (rate(*figures[direction, size][:2]) for figures in plain)
            yield Result(f"{name}: rate", ours / linux, "of Linux's", least=TARGET,
                         note=f"{ours:,.0f} and {linux:,.0f} frames/s by the wall clock")


def measure(directory):
    folder = ROOT / "tests" / "bench"
    sender = compile_static(folder / "frame_sender.c", directory)
    meter = compile_static(folder / "frame_meter.c", directory)
    for model in MODELS:
        with Network() as network:
            tap = network.tap("tap0", mtu=9000)

            def both(icount):
                return (measure_ours(directory, network, tap, sender, model, icount),
                        measure_linux(directory, network, tap, sender, meter, model, icount))

            exact = both("on")
            with priority(-20):
                attempts = [both(None) for _ in range(ATTEMPTS)]
        plain = tuple({key: best([figures[key] for figures in one]) for key in one[0]} for one in zip(*attempts))
        yield from compare(model, exact, plain)
