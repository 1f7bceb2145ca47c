# SPDX-License-Identifier: Apache-2.0
"""What Linux tells about a block device: its size, its name for good, and who uses it."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path

_BLKGETSIZE64 = 0x80081272
_BLKSSZGET = 0x1268
_BLKROGET = 0x125E
_NAMES = ("wwid", "device/wwid", "device/serial", "serial", "dm/uuid", "loop/backing_file")


def read_size(fd: int) -> int:
    """Bytes of the device."""
    return int(struct.unpack("=Q", fcntl.ioctl(fd, _BLKGETSIZE64, bytes(8)))[0])


def read_sector_bytes(fd: int) -> int:
    """Logical sector: ranges given to zeroing calls must be multiples of it."""
    return int(struct.unpack("=i", fcntl.ioctl(fd, _BLKSSZGET, bytes(4)))[0])


def is_read_only(fd: int) -> bool:
    """Tell whether the kernel takes no writes, which it says at the first one only."""
    return bool(struct.unpack("=i", fcntl.ioctl(fd, _BLKROGET, bytes(4)))[0])


def read_lasting_name(fd: int) -> str:
    """What stays the same over a reboot: wwid, serial, dm uuid; empty when the device has none."""
    folder = _sys_folder(os.fstat(fd).st_rdev)
    for name in _NAMES:
        try:
            return f"{name}={(folder / name).read_text(errors='replace').strip()}"
        except OSError:
            continue
    return ""


def describe_user(device: int) -> str:
    """Say what holds the device or one of its partitions: a mount point, swap, LVM, another program."""
    for number in _with_partitions(device):
        mount_point = _find_mount(number)
        if mount_point:
            return f"mounted at {mount_point}"
        swap = _find_swap(number)
        if swap:
            return f"used as swap: {swap}"
        holders = sorted(holder.name for holder in _list(_sys_folder(number) / "holders"))
        if holders:
            return f"held by {', '.join(_device_name(name) for name in holders)}"
    return "open in another program"


def _with_partitions(device: int) -> Iterator[int]:
    yield device
    for child in _list(_sys_folder(device)):
        if (child / "partition").exists():
            major, minor = (child / "dev").read_text().split(":")
            yield os.makedev(int(major), int(minor))


def _find_mount(device: int) -> str:
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text(errors="replace").splitlines():
        fields = line.split()
        if fields[2] == wanted:
            return fields[4]
    return ""


def _find_swap(device: int) -> str:
    for line in Path("/proc/swaps").read_text(errors="replace").splitlines()[1:]:
        path = Path(line.split()[0])
        if path.is_block_device() and path.stat().st_rdev == device:
            return str(path)
    return ""


def _device_name(kernel_name: str) -> str:
    try:
        return Path(f"/sys/block/{kernel_name}/dm/name").read_text().strip()
    except OSError:
        return kernel_name


def _sys_folder(device: int) -> Path:
    return Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")


def _list(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
