# SPDX-License-Identifier: Apache-2.0
"""Look at a disk's structure through any readable endpoint: no root, no loop devices, no tools, some kilobytes read.

It proves little, but what it proves matters: an exact copy of an empty disk is not a good backup.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vmferry.engine.endpoint import Endpoint
from vmferry.engine.errors import ShortRead
from vmferry.engine.filesystems.detect import UNKNOWN
from vmferry.engine.filesystems.partitions import read_table
from vmferry.engine.filesystems.superblocks import check_superblock
from vmferry.engine.filesystems.table import Table
from vmferry.engine.filesystems.volumes import WITHOUT_FILE_SYSTEM, RunsReader, Volume, list_volumes
from vmferry.engine.images.reader import ByteReader, EndpointReader

_EXPECTED = {
    "C12A7328-F81F-11D2-BA4B-00A0C93EC93B": ("vfat",),
    "E6D6D379-F507-44C2-A23C-238F2A3DF928": ("LVM2_member",),
    "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F": ("swap",),
    "07": ("ntfs", "exfat", "bitlocker", "refs"),
    "0B": ("vfat",),
    "0C": ("vfat",),
    "82": ("swap",),
    "8E": ("LVM2_member",),
    "EF": ("vfat",),
}
"""Partition type -> what should be in it; other types may hold anything."""
_SAMPLES = 256
_SAMPLE_BYTES = 4096


class FindingKind(enum.Enum):
    """What kind of trouble it is."""

    EMPTY = "empty"
    """There is nothing on the disk: no table, no file system, or only zeros."""
    TABLE_DAMAGED = "table_damaged"
    """The partition table (or LVM's) is damaged."""
    SUPERBLOCK_MISSING = "superblock_missing"
    """No file system where one should be."""
    SUPERBLOCK_DAMAGED = "superblock_damaged"
    """A superblock that its own checksum or its backup contradicts."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a disk's structure."""

    kind: FindingKind
    where: str
    """`disk`, `partition 2`, `LV vg/root`."""
    what: str
    """One line."""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(frozen=True)
class Structure:
    """What is on a disk, and what is wrong with it."""

    table: Table
    volumes: tuple[Volume, ...]
    findings: tuple[Finding, ...]
    """Empty when nothing is wrong."""

    def describe(self) -> str:
        """Say it in one line: `gpt: partition 1 vfat, partition 2 ext4`."""
        parts = ", ".join(f"{one.where} {one.type}" for one in self.volumes)
        return f"{'no table' if self.table.kind == 'none' else self.table.kind}: {parts or 'no partitions'}"


def check_endpoint(endpoint: Endpoint) -> Structure:
    """Look at the structure of whatever an endpoint reads."""
    with EndpointReader(endpoint) as reader:
        return check_structure(reader)


def check_structure(reader: ByteReader) -> Structure:
    """Look at table, superblocks and their checksums; `findings` is empty when nothing is wrong."""
    try:
        table = read_table(reader)
        volumes = tuple(list_volumes(reader, table))
    except (ShortRead, struct.error) as error:
        finding = Finding(FindingKind.TABLE_DAMAGED, "disk", f"its partition table cannot be read: {error}")
        return Structure(Table("none"), (), (finding,))
    found = [Finding(FindingKind.TABLE_DAMAGED, "disk", problem) for problem in table.problems]
    if not found and _is_empty(table, volumes):
        found.append(Finding(FindingKind.EMPTY, "disk", _describe_emptiness(reader)))
        return Structure(table, volumes, tuple(found))
    for volume in volumes:
        found.extend(_check_volume(reader, volume))
    return Structure(table, volumes, tuple(found))


def _is_empty(table: Table, volumes: Iterable[Volume]) -> bool:
    if table.kind == "none":
        return all(one.type == UNKNOWN and not one.damage for one in volumes)
    return not table.partitions


def _describe_emptiness(reader: ByteReader) -> str:
    step = max(_SAMPLE_BYTES, reader.size // _SAMPLES)
    samples = (reader.read_at(offset, _SAMPLE_BYTES) for offset in range(0, reader.size, step))
    zeros = not any(sample.strip(b"\0") for sample in samples)
    return "it holds only zeros, as far as was looked" if zeros else "it has no partition and no known file system"


def _check_volume(reader: ByteReader, volume: Volume) -> Iterator[Finding]:
    if volume.damage:
        lvm = volume.type == "LVM2_member" or not volume.runs
        kind = FindingKind.TABLE_DAMAGED if lvm else FindingKind.SUPERBLOCK_DAMAGED
        yield Finding(kind, volume.where, volume.damage)
        return
    if not volume.runs:
        return  # it cannot be looked into; that is no fault of the copy
    expected = _EXPECTED.get(volume.type_id, ())
    if volume.type == UNKNOWN and volume.type_id not in WITHOUT_FILE_SYSTEM:
        should = " or ".join(expected) or "a file system"
        yield Finding(FindingKind.SUPERBLOCK_MISSING, volume.where, f"its type says {should}, nothing known is in it")
        return
    wrong = check_superblock(volume.type, RunsReader(reader, volume))
    if wrong:
        yield Finding(FindingKind.SUPERBLOCK_DAMAGED, volume.where, f"{volume.type}: {wrong}")
