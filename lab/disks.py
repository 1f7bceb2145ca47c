# SPDX-License-Identifier: Apache-2.0
"""Makes real disks for demos and tests: a partition table (or none, or LVM), one file system, and files in it.

Nothing is mounted: every file system is filled by its own maker's tools, so the kernel need not know it. Only LVM needs
root (for a loop device); it is made by LVM's own programs, told not to use device-mapper.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lab.fat_files import write_fat_files
from vmferry.engine.filesystems.loop import loop_device

MiB = 1 << 20
FILE_SYSTEMS = ("ext4", "xfs", "btrfs", "ntfs", "vfat")
TABLES = ("gpt", "mbr", "bare", "lvm")
SIZES = {"ext2": 24, "ext3": 32, "ext4": 48, "xfs": 320, "btrfs": 128, "ntfs": 24, "vfat": 34}
"""MiB; the smallest that each maker takes, or a little more."""
_GPT_TYPES = {"ntfs": "0700", "vfat": "EF00", "lvm": "8E00"}
_MBR_TYPES = {"ntfs": "7", "vfat": "c"}
_LVM = ("--driverloaded", "n", "--config", "backup{backup=0 archive=0} global{event_activation=0}")


@dataclass(frozen=True)
class LabDisk:
    """A disk and where its file system lies."""

    path: Path
    file_system: str
    table: str
    runs: tuple[tuple[int, int], ...]
    """(offset on the disk, length) of the file system, in order; more than one for a split logical volume."""

    def offset_of(self, inside: int) -> int:
        """Turn an offset inside the file system into one on the disk."""
        for start, length in self.runs:
            if inside < length:
                return start + inside
            inside -= length
        raise ValueError(f"{self.path}: its file system is not that long")


def sample_files(count: int = 24) -> dict[str, bytes]:
    """Name some files of some bytes each, always the same."""
    return {f"FILE{index:03}.TXT": f"line {index}\n".encode() * (200 * (index % 5) + 1) for index in range(count)}


def make_file_system(path: Path, kind: str, files: Mapping[str, bytes] | None = None) -> Path:
    """Make a file that is one file system with `files` in its root folder."""
    files = sample_files() if files is None else files
    os.truncate(_touch(path), SIZES[kind] * MiB)
    folder = path.with_suffix(".files")
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    _FILLERS.get(kind, _fill_ext)(path, kind, folder)
    for one in folder.iterdir():
        one.unlink()
    folder.rmdir()
    return path


def make_disk(path: Path, table: str, file_system: Path, kind: str, *, split: bool = False) -> LabDisk:
    """Put a file system made by `make_file_system` on a disk; `split` makes an LVM volume of two pieces."""
    size = file_system.stat().st_size
    os.truncate(_touch(path), size if table == "bare" else size + 16 * MiB)
    runs: tuple[tuple[int, int], ...] = ((0, size),)
    if table == "gpt":
        _partition_gpt(path, size, _GPT_TYPES.get(kind, "8300"))
        runs = ((MiB, size),)
    elif table == "mbr":
        script = f"label: dos\nstart=2048, size={size // 512}, type={_MBR_TYPES.get(kind, '83')}\n"
        _run(["sfdisk", "-q", str(path)], text=script)
        runs = ((MiB, size),)
    elif table == "lvm":
        _partition_gpt(path, size + 12 * MiB, _GPT_TYPES["lvm"])
        runs = _make_volume(path, size, split)
    disk = LabDisk(path, kind, table, runs)
    _place(file_system, disk)
    return disk


def flip_bit(path: Path, offset: int, bit: int = 0) -> None:
    """Damage one bit."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1 << bit]))


def _partition_gpt(path: Path, size: int, kind: str) -> None:
    _run(["sgdisk", "-n", f"1:2048:{2048 + size // 512 - 1}", "-t", f"1:{kind}", str(path)])


def _make_volume(path: Path, size: int, split: bool) -> tuple[tuple[int, int], ...]:
    """Make group `lab` with volume `root`, in two pieces when `split`; extents are 1 MiB, data begins at 1 MiB."""
    fd = os.open(path, os.O_RDWR)
    try:
        with loop_device(fd, MiB, size + 12 * MiB, writable=True) as device:
            lvm = ("--devices", str(device), *_LVM)
            _run(["pvcreate", "-q", "-y", str(device), *lvm])
            _run(["vgcreate", "-q", "-s", "1m", "lab", str(device), *lvm])
            create = ["lvcreate", "-q", "-y", "-an", "-Zn", "-Wn", *lvm]
            first = 8 * MiB if split else size
            _run([*create, "-n", "root", "-L", f"{first}b", "lab"])
            if not split:
                return ((2 * MiB, size),)
            _run([*create, "-n", "gap", "-L", "2m", "lab"])
            _run(["lvextend", "-q", "-L", f"{size}b", "lab/root", *lvm])
            _run(["lvremove", "-q", "-y", "lab/gap", *lvm])
            return ((2 * MiB, first), (2 * MiB + first + 2 * MiB, size - first))
    finally:
        os.close(fd)


def copy_disk(disk: LabDisk, path: Path) -> LabDisk:
    """Copy a disk, holes stay holes."""
    os.truncate(_touch(path), disk.path.stat().st_size)
    with disk.path.open("rb") as source, path.open("r+b") as target:
        for start, length in _data_ranges(source.fileno(), disk.path.stat().st_size):
            _copy_range(source.fileno(), start, target.fileno(), start, length)
    return replace(disk, path=path)


def fingerprint(path: Path) -> str:
    """Digest of a disk's data, holes left out: quick, and another one after any write that changes a byte."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for start, length in _data_ranges(file.fileno(), path.stat().st_size):
            for at in range(start, start + length, 4096):
                block = os.pread(file.fileno(), 4096, at)
                if block.strip(b"\0"):
                    digest.update(at.to_bytes(8, "little") + block)
    return digest.hexdigest()


def _place(file_system: Path, disk: LabDisk) -> None:
    with file_system.open("rb") as source, disk.path.open("r+b") as target:
        at = 0
        for start, length in disk.runs:
            for first, count in _data_ranges(source.fileno(), at + length, at):
                _copy_range(source.fileno(), first, target.fileno(), start + first - at, count)
            at += length


def _data_ranges(fd: int, end: int, at: int = 0) -> Iterator[tuple[int, int]]:
    """Walk what is no hole between two offsets."""
    while at < end:
        try:
            first = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:  # ENXIO: only a hole is left
            return
        stop = min(end, os.lseek(fd, first, os.SEEK_HOLE))
        if first < stop:
            yield first, stop - first
        at = stop


def _copy_range(source: int, source_at: int, target: int, target_at: int, length: int) -> None:
    for done in range(0, length, MiB):
        os.pwrite(target, os.pread(source, min(MiB, length - done), source_at + done), target_at + done)


def _fill_ext(path: Path, kind: str, folder: Path) -> None:
    _run(["mke2fs", "-q", "-F", "-t", kind, "-d", str(folder), str(path)])


def _fill_xfs(path: Path, _kind: str, folder: Path) -> None:
    lines = ["/", "0 0", "d--755 0 0"]
    lines += [f"{one.name} ---644 0 0 {one}" for one in sorted(folder.iterdir())]
    proto = path.with_suffix(".proto")
    proto.write_text("\n".join([*lines, "$", ""]))
    _run(["mkfs.xfs", "-q", "-f", "-p", str(proto), str(path)])
    proto.unlink()


def _fill_btrfs(path: Path, _kind: str, folder: Path) -> None:
    _run(["mkfs.btrfs", "-q", "-m", "dup", "-d", "single", "--rootdir", str(folder), str(path)])


def _fill_ntfs(path: Path, _kind: str, folder: Path) -> None:
    _run(["mkfs.ntfs", "-q", "-Q", "-F", "-p", "2048", "-H", "16", "-S", "63", str(path)])
    for one in sorted(folder.iterdir()):
        _run(["ntfscp", "-q", "-f", str(path), str(one), one.name])


def _fill_vfat(path: Path, _kind: str, folder: Path) -> None:
    _run(["mkfs.vfat", "-F", "32", "-s", "1", str(path)])
    write_fat_files(path, {one.name: one.read_bytes() for one in sorted(folder.iterdir())})


_FILLERS = {"xfs": _fill_xfs, "btrfs": _fill_btrfs, "ntfs": _fill_ntfs, "vfat": _fill_vfat}


def _touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


def _run(command: Sequence[str], text: str | None = None) -> None:
    environment = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin", "DM_DISABLE_UDEV": "1"}
    done = subprocess.run(command, input=text, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed ({done.returncode}): {done.stderr or done.stdout}")
