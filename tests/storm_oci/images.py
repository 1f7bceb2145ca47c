"""Disk images in several formats, and what has to be on a volume that was made of one: qemu-img says so, not we."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vmferry.engine.units import MiB

FORMATS = {
    "raw": None,
    "qcow2": ["-O", "qcow2"],
    "vmdk": ["-O", "vmdk", "-o", "subformat=streamOptimized"],
    "vhdx": ["-O", "vhdx"],
}
"""End of the name → how qemu-img makes it of a raw disk."""
_CHUNK_BYTES = 4 * MiB


@dataclass(frozen=True, slots=True)
class Image:
    """One image to upload."""

    path: Path
    suffix: str
    size_bytes: int
    """Of the disk in it."""
    sha256: str
    """Of the disk in it, as qemu-img reads it."""


def make_images(directory: Path, size_bytes: int, data_bytes: int, seed: int) -> list[Image]:
    """Make one disk with a file system and files on it, and an image of it in each format."""
    disk = _make_disk(directory, size_bytes, data_bytes, seed)
    found = []
    for suffix, options in FORMATS.items():
        path = directory / f"disk.{suffix}"
        if options is not None:
            argv = ["qemu-img", "convert", "-f", "raw", *options, str(disk), str(path)]
            subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
        found.append(Image(path, suffix, size_bytes, _read_with_qemu(path, suffix, directory / "witness.raw")))
    return found


def find_difference(volume: Path, image: Image) -> str:
    """Say how a volume differs from the disk in an image; empty when it does not."""
    with volume.open("rb") as opened:
        if _digest(opened.fileno(), image.size_bytes) != image.sha256:
            return f"{volume.name} does not hold what is in {image.path.name}"
        try:
            behind = os.lseek(opened.fileno(), image.size_bytes, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return ""
    return f"{volume.name} holds something at {behind}, behind the disk's end"


def _make_disk(directory: Path, size_bytes: int, data_bytes: int, seed: int) -> Path:
    files = directory / "files"
    files.mkdir()
    dice = random.Random(seed)
    for number in range(data_bytes // (4 * MiB)):
        (files / f"file{number:03}").write_bytes(dice.randbytes(4 * MiB))
    disk = directory / "disk.raw"
    with disk.open("wb") as made:
        made.truncate(size_bytes)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-d", str(files), str(disk)], check=True, stdin=subprocess.DEVNULL)
    return disk


def _read_with_qemu(path: Path, suffix: str, witness: Path) -> str:
    argv = ["qemu-img", "convert", "-f", suffix, "-O", "raw", str(path), str(witness)]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
    with witness.open("rb") as opened:
        found = _digest(opened.fileno(), witness.stat().st_size)
    witness.unlink()
    return found


def _digest(file: int, size_bytes: int) -> str:
    found = hashlib.sha256()
    for piece in _pieces(file, size_bytes):
        found.update(piece)
    return found.hexdigest()


def _pieces(file: int, size_bytes: int) -> Iterator[bytes]:
    for offset in range(0, size_bytes, _CHUNK_BYTES):
        yield os.pread(file, min(_CHUNK_BYTES, size_bytes - offset), offset)
