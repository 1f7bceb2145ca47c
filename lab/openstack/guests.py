"""Images that boot by themselves under emulation, built without loop devices or mounts from Debian's packages.

`tiny` is Debian's kernel and a busybox on one FAT partition; `host` has the same partition and a small Debian with
sshd, qemu-nbd and nbdcopy: a conversion host.
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
import tempfile
from pathlib import Path

from lab.openstack.installation import run
from lab.openstack.place import LabError, Place

_PARTS = Path(__file__).resolve().parent / "guest"
_MODULES = (
    "virtio_pci", "virtio_blk", "virtio_net", "virtio_scsi", "virtio_rng", "crc32c_generic", "ext4", "ata_piix",
    "sr_mod", "isofs", "evdev", "button",
)  # fmt: skip
_HOST_PACKAGES = ("python3", "openssh-server", "qemu-utils", "udev", "libnbd-bin", "iproute2", "e2fsprogs")
_SYSLINUX = """SERIAL 0 115200
DEFAULT lab
LABEL lab
KERNEL /vmlinuz
INITRD /initrd
APPEND console=ttyS0 quiet net.ifnames=0 mitigations=off
"""
_MBR = Path("/usr/lib/syslinux/mbr/mbr.bin")
_TINY_MIB, _HOST_MIB, _HOST_ROOT_MIB = 64, 1400, 1300
_BOOT_MIB, _ROOT_AT_MIB = 31, 32


def stamp() -> str:
    """Give what the images depend on."""
    parts = sorted(path for path in (*_PARTS.iterdir(), Path(__file__)) if path.is_file())
    return hashlib.sha256(b"".join(path.read_bytes() for path in parts)).hexdigest()


def build_tiny(place: Place) -> None:
    """Build ``guests/tiny.qcow2``."""
    with tempfile.TemporaryDirectory(dir=place.root / "guests") as room:
        boot = _make_boot_partition(place, Path(room))
        _assemble(place, Path(room), "tiny", _TINY_MIB, boot)


def build_host(place: Place) -> Path:
    """Build ``guests/host.qcow2`` unless it is there; takes a minute."""
    made, mark = place.root / "guests" / "host.qcow2", place.root / "done" / "host-image"
    if made.exists() and mark.exists() and mark.read_text() == stamp():
        return made
    with tempfile.TemporaryDirectory(dir=place.root / "guests") as name:
        room = Path(name)
        boot = _make_boot_partition(place, room)
        _assemble(place, room, "host", _HOST_MIB, boot, _make_root_partition(place, room))
    mark.write_text(stamp())
    return made


def _make_boot_partition(place: Place, room: Path) -> Path:
    kernel = _fetch_kernel(place, room)
    initrd, settings, partition = room / "initrd", room / "syslinux.cfg", room / "boot"
    _make_initrd(place, room, kernel, initrd)
    settings.write_text(_SYSLINUX)
    with partition.open("wb") as file:
        file.truncate(_BOOT_MIB << 20)
    _run(place, "mkfs.vfat", "-F", "16", "-n", "BOOT", str(partition))
    (image,) = (kernel / "boot").glob("vmlinuz-*")
    _run(place, "mcopy", "-i", str(partition), str(image), "::/vmlinuz")
    _run(place, "mcopy", "-i", str(partition), str(initrd), str(settings), "::/")
    _run(place, "syslinux", "--install", str(partition))
    return partition


def _fetch_kernel(place: Place, room: Path) -> Path:
    """Unpack Debian's newest kernel; nothing is installed."""
    try:
        depends = _run(place, "apt-cache", "depends", "linux-image-amd64").splitlines()
    except LabError:  # an image of Debian has no lists of packages
        _run(place, "apt-get", "-q", "update")
        depends = _run(place, "apt-cache", "depends", "linux-image-amd64").splitlines()
    package = next(line.split()[-1] for line in depends if "Depends: linux-image-" in line)
    fetch = (
        f"cd {room} && apt-get -q -o APT::Sandbox::User=root download {package} && dpkg-deb -x {package}_*.deb kernel"
    )
    _run(place, "sh", "-c", fetch)
    return room / "kernel"


def _make_initrd(place: Place, room: Path, kernel: Path, initrd: Path) -> None:
    root = room / "initrd-root"
    for name in ("bin", "proc", "sys", "dev", "modules", "root"):
        (root / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin" / "busybox")
    shutil.copy(_PARTS / "init.sh", root / "init")
    (root / "init").chmod(0o755)
    for number, module in enumerate(_needed_modules(place, kernel)):
        shutil.copy(module, root / "modules" / f"{number:02}-{module.name}")
    archive = room / "initrd.cpio"
    _run(place, "sh", "-c", f"cd {root} && find . | cpio -o -H newc --quiet >{archive}")
    initrd.write_bytes(gzip.compress(archive.read_bytes(), 1))


def _needed_modules(place: Place, kernel: Path) -> list[Path]:
    """Give the modules and those that they need, each behind those it needs."""
    (version,) = (path.name for path in (kernel / "lib/modules").iterdir())
    _run(place, "depmod", "-b", str(kernel), version)
    found: dict[Path, None] = {}
    for name in _MODULES:
        shown = _run(place, "modprobe", "-d", str(kernel), "-S", version, "--show-depends", name)
        found |= dict.fromkeys(Path(line.split()[1]) for line in shown.splitlines() if line.startswith("insmod "))
    return list(found)


def _make_root_partition(place: Place, room: Path) -> Path:
    root, partition = room / "root", room / "root.ext4"
    _run(place, "debootstrap", "--variant=minbase", f"--include={','.join(_HOST_PACKAGES)}", "bookworm", str(root))
    for name in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale", "usr/share/man"):
        shutil.rmtree(root / name, ignore_errors=True)
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    for part, name in (("host-init.sh", "lab-init"), ("host_config.py", "lab-config")):
        shutil.copy(_PARTS / part, root / "sbin" / name)
        (root / "sbin" / name).chmod(0o755)
    (root / "etc/ssh/sshd_config.d/lab.conf").write_text("UseDNS no\nUsePAM no\nPermitRootLogin prohibit-password\n")
    _run(
        place,
        "mke2fs",
        "-q",
        "-t",
        "ext4",
        "-L",
        "root",
        "-m",
        "0",
        "-d",
        str(root),
        str(partition),
        f"{_HOST_ROOT_MIB}M",
    )
    return partition


def _assemble(place: Place, room: Path, name: str, size_mib: int, boot: Path, root: Path | None = None) -> None:
    """Put partitions behind a master boot record, and all of it into a qcow2."""
    raw, made = room / f"{name}.raw", place.root / "guests" / f"{name}.qcow2"
    with raw.open("wb") as file:
        file.truncate(size_mib << 20)
    table = [f"start=2048, size={_BOOT_MIB << 11}, type=e, bootable"]
    table += [f"start={_ROOT_AT_MIB << 11}, type=83"] if root else []
    script = "\\n".join(table)
    _run(place, "sh", "-c", f"printf '{script}\\n' | sfdisk -q --label dos {raw}")
    _run(place, "dd", f"if={_MBR}", f"of={raw}", "conv=notrunc", "status=none")
    for part, at_mib in ((boot, 1), (root, _ROOT_AT_MIB)):
        if part is not None:
            _run(
                place, "dd", f"if={part}", f"of={raw}", "bs=1M", f"seek={at_mib}", "conv=notrunc,sparse", "status=none"
            )
    _run(place, "qemu-img", "convert", "-O", "qcow2", str(raw), f"{made}.new")
    Path(f"{made}.new").rename(made)


def _run(place: Place, *command: str) -> str:
    return run(place, "guests", command)
