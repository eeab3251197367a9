# SPDX-License-Identifier: Apache-2.0
"""A disk with Debian 12 on it, made from Debian's packages: what the guest boots as a real server
boots, firmware, GRUB, kernel, systemd. No loop mount: mmdebstrap fills a folder, mke2fs makes the
file system out of it, and GRUB goes where tools/image.py puts ours.

    1  BIOS boot     GRUB's core.img
    2  root          ext4: Debian with systemd, a serial console, and the programs of PACKAGES

The guest is root@serial with PASSWORD; its address is ADDRESS, where PostgreSQL serves all of NETWORK without a
password from boot on. Documentation and translations are left out, as in Debian's own container images, and the
initramfs has only the drivers of virtio; nothing else differs from what Debian's installer leaves behind. Wants
root, for mmdebstrap's chroot.

The disk is kept in build/cache under a hash of all that decides it: this file and the machine's package sources.
"""

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from tests.bench.debian import CACHE, ROOT

sys.path.insert(0, str(ROOT / "tools"))
import image as boot_image  # noqa: E402

MIB = 1 << 20
SUITE = "bookworm"
GRUB_BOOT = "/usr/lib/grub/i386-pc/boot.img"
LINUX_TYPE = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
ROOT_SIZE = 960 * MIB

ROOT_OFFSET = boot_image.ALIGNMENT + boot_image.BIOS_BOOT_SIZE

HOST_NAME = "yoke-guest"
PASSWORD = "yoke"
ADDRESS = "10.77.0.10"
GATEWAY = "10.77.0.1"
NETWORK = "10.77.0.0/24"

PACKAGES = ["systemd-sysv", "dbus", "udev", "kmod", "iproute2", "iputils-ping", "procps", "initramfs-tools", "zstd",
            "linux-image-cloud-amd64", "e2fsprogs", "fio", "stress-ng", "postgresql", "nginx-light", "wget", "iperf3"]
LEFT_OUT = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*"]

# What the tests start when it is their turn, and timers that have nothing to do here.
NOT_AT_BOOT = ["nginx.service", "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer",
               "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer"]
COMMAND_LINE = "root=/dev/vda2 ro console=ttyS0,115200 tsc=reliable no_timer_check mitigations=off"

GRUB_MODULES = ["biosdisk", "part_gpt", "ext2", "normal", "linux", "configfile", "serial", "terminal", "echo", "ls",
                "cat", "test", "search", "reboot", "halt"]
GRUB_CONFIGURATION = f"""
serial --unit=0 --speed=115200
terminal_input serial
terminal_output serial
set timeout=1
menuentry "Debian" {{
	linux /vmlinuz {COMMAND_LINE}
	initrd /initrd.img
}}
"""

# Behind what Debian's package wrote.
DATABASE_CONFIGURATION = {
    "postgresql.conf": "listen_addresses = '*'",
    "pg_hba.conf": f"host all all {NETWORK} trust",
}

# There before the packages, so that the one initramfs that is made is the right one.
EARLY_FILES = {
    "etc/initramfs-tools/conf.d/yoke": "MODULES=list\nCOMPRESS=zstd\n",
    "usr/share/initramfs-tools/modules.d/yoke": "virtio_pci\nvirtio_blk\nvirtio_net\nvirtio_rng\next4\n",
}
FILES = {
    "etc/hostname": f"{HOST_NAME}\n",
    "etc/hosts": f"127.0.0.1 localhost {HOST_NAME}\n",
    "etc/fstab": "/dev/vda2 / ext4 errors=remount-ro 0 1\n",
    "etc/systemd/network/10-guest.network":
        f"[Match]\nDriver=virtio_net\n[Network]\nAddress={ADDRESS}/24\nGateway={GATEWAY}\nLinkLocalAddressing=no\n",
    "boot/grub/grub.cfg": GRUB_CONFIGURATION,
}


class DiskError(Exception):
    """Why there is no disk, in one line."""


def run(*words, **options) -> str:
    words = [str(word) for word in words]
    try:
        result = subprocess.run(words, capture_output=True, text=True, **options)
    except FileNotFoundError:
        raise DiskError(f"{words[0]} is not installed: run tools/setup.sh test") from None
    if result.returncode:
        lines = [line for line in result.stderr.splitlines() if line.startswith(("E:", "Err:", words[0]))]
        reason = lines[0] if lines else (result.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise DiskError(f"{words[0]} failed: {reason}")
    return result.stdout


def package_sources() -> str:
    """Debian's own among the machine's package sources, as lines of a sources.list."""
    columns = "$(ORIGIN) $(REPO_URI) $(RELEASE) $(COMPONENT)"
    targets = run("apt-get", "indextargets", "--format", columns, "Created-By: Packages").splitlines()
    found = dict.fromkeys(tuple(line.split()) for line in targets)
    lines = [f"deb {uri} {release} {component}" for origin, uri, release, component in found
             if origin == "Debian" and release.startswith(SUITE)]
    if not lines:
        raise DiskError(f"apt knows no package source of Debian {SUITE}: run apt-get update")
    return "\n".join(lines) + "\n"


def proxy_options() -> list[str]:
    """The way to the package sources, where the machine's apt has a special one."""
    lines = run("apt-config", "dump", "--no-empty", "Acquire").splitlines()
    return [f"--aptopt={line}" for line in lines if "::proxy" in line.lower()]


def write_files(folder: Path, files: dict[str, str]) -> str:
    """Makes `files` below `folder`; returns the words of the hook that copies them into the guest's root."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return "copy-in " + " ".join(str(path) for path in sorted(folder.iterdir())) + " /"


def fill_root(root: Path, folder: Path, sources: str):
    (folder / "sources.list").write_text(sources)
    hooks = [f"--setup-hook={write_files(folder / 'early', EARLY_FILES)}",
             f"--customize-hook={write_files(folder / 'late', FILES)}",
             f"--customize-hook=echo root:{PASSWORD} | chroot \"$1\" chpasswd",
             "--customize-hook=chroot \"$1\" systemctl enable --quiet systemd-networkd",
             f"--customize-hook=chroot \"$1\" systemctl disable --quiet {' '.join(NOT_AT_BOOT)}"]
    hooks += [f"--customize-hook=echo \"{line}\" | tee -a \"$1\"/etc/postgresql/*/main/{name} > /dev/null"
              for name, line in DATABASE_CONFIGURATION.items()]
    left_out = [f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT]
    run("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", f"--include={','.join(PACKAGES)}",
        *left_out, *proxy_options(), *hooks, SUITE, root, folder / "sources.list")


def make_disk(path: Path, folder: Path, sources: str):
    """Makes the disk `path`; what it takes meanwhile is in `folder`."""
    fill_root(folder / "root", folder, sources)
    first = boot_image.ALIGNMENT
    boot_image.write_partition_table(path, [
        (1, first, boot_image.BIOS_BOOT_SIZE, boot_image.BIOS_BOOT_TYPE, "BIOS boot"),
        (2, ROOT_OFFSET, ROOT_SIZE, LINUX_TYPE, "root")])
    run("/sbin/mke2fs", "-q", "-t", "ext4", "-d", folder / "root", "-E", f"offset={ROOT_OFFSET}", path,
        f"{ROOT_SIZE // 1024}k")
    core = folder / "core.img"
    run("grub-mkimage", "-O", "i386-pc", "-p", "(hd0,gpt2)/boot/grub", "-o", core, *GRUB_MODULES)
    boot_image.install_grub(path, GRUB_BOOT, core, first)


def debian_disk() -> Path:
    """The disk's image, not to be written to; made at the first call, in one and a half to five minutes."""
    sources = package_sources()
    recipe = hashlib.sha256(Path(__file__).read_bytes() + sources.encode()).hexdigest()[:16]
    path = CACHE / f"debian-disk-{recipe}.img"
    folder = CACHE / "debian-disk.partial"
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "debian-disk.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            return path
        shutil.rmtree(folder, ignore_errors=True)
        for outdated in CACHE.glob("debian-disk-*.img"):
            outdated.unlink()
        folder.mkdir()
        make_disk(folder / "disk.img", folder, sources)
        (folder / "disk.img").rename(path)  # whole or not at all
        shutil.rmtree(folder)
    return path


def main() -> int:
    try:
        print(debian_disk())
    except (DiskError, boot_image.ImageError) as error:
        print(f"debian_disk: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
