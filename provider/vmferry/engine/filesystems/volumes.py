# SPDX-License-Identifier: Apache-2.0
"""Everything on a disk that may hold a file system: partitions, logical volumes, or the bare disk."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vmferry.engine.filesystems.detect import UNKNOWN, detect, detect_backup
from vmferry.engine.filesystems.lvm import LogicalVolume, PhysicalVolume, map_volumes, read_physical_volume
from vmferry.engine.filesystems.lvm_text import BadMetadata
from vmferry.engine.filesystems.table import Table
from vmferry.engine.images.reader import ByteReader

_BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"
_MS_RESERVED = "E3C9E316-0B5C-4DB8-817D-F92DF00215AE"
_PREP = "9E1A2D38-C612-4316-AA26-8B49521E5A8B"
WITHOUT_FILE_SYSTEM = {
    _BIOS_BOOT: "a BIOS boot partition holds no file system",
    _MS_RESERVED: "a Microsoft reserved partition holds no file system",
    _PREP: "a PReP boot partition holds no file system",
    "41": "a PReP boot partition holds no file system",
}
"""Partition types that have nothing to check."""


@dataclass(frozen=True)
class Volume:
    """One place for a file system."""

    where: str
    """What to call it: `partition 2`, `LV vg/root`, `whole disk`."""
    type: str
    """What `detect` says is in it."""
    runs: tuple[tuple[int, int], ...]
    """(offset, length) on the disk, in order; one run for a partition."""
    type_id: str = ""
    """The partition's type, where it is one."""
    reason: str = ""
    """Why nobody can look into it."""
    damage: str = ""
    """What is plainly broken already, before any checker ran."""

    @property
    def size(self) -> int:
        """Bytes in it."""
        return sum(length for _, length in self.runs)


class RunsReader:
    """A volume's bytes, put together from its runs on the disk."""

    def __init__(self, reader: ByteReader, volume: Volume) -> None:
        self._reader = reader
        self._runs = volume.runs
        self._starts = [0]
        for _, length in volume.runs:
            self._starts.append(self._starts[-1] + length)
        self.name = f"{reader.name} {volume.where}"
        self.size = self._starts[-1]

    def read_at(self, offset: int, length: int) -> bytes:
        """Read up to `length` bytes at `offset` of the volume."""
        parts = []
        length = min(length, self.size - offset)
        while length > 0:
            index = bisect_right(self._starts, offset) - 1
            inside = offset - self._starts[index]
            start, run_bytes = self._runs[index]
            part = self._reader.read_at(start + inside, min(length, run_bytes - inside))
            if not part:
                break
            parts.append(part)
            offset, length = offset + len(part), length - len(part)
        return b"".join(parts)


def list_volumes(reader: ByteReader, table: Table) -> list[Volume]:
    """List partitions and logical volumes; a disk without a table is one volume."""
    if table.kind == "none":
        found = [_look(reader, "whole disk", ((0, reader.size),), "")]
    else:
        found = [_partition(reader, one.number, one.start, one.length, one.type_id) for one in table.partitions]
    physical = [(one, read_physical_volume(reader, one.runs[0][0])) for one in found if one.type == "LVM2_member"]
    if not physical:
        return found
    plain = [one for one in found if one.type != "LVM2_member"]
    return [*plain, *_damaged(physical), *_logical(reader, [volume for _, volume in physical])]


def _partition(reader: ByteReader, number: int, start: int, length: int, type_id: str) -> Volume:
    where = f"partition {number}"
    if start + length > reader.size or not length:
        return Volume(where, UNKNOWN, ((start, length),), type_id, damage="it lies behind the end of the disk")
    return _look(reader, where, ((start, length),), type_id)


def _look(reader: ByteReader, where: str, runs: tuple[tuple[int, int], ...], type_id: str) -> Volume:
    volume = Volume(where, UNKNOWN, runs, type_id)
    inside = RunsReader(reader, volume)
    kind = detect(inside)
    if kind != UNKNOWN or type_id in WITHOUT_FILE_SYSTEM:
        return Volume(where, kind, runs, type_id)
    lost = detect_backup(inside, 0, inside.size)
    if lost is None:
        return volume
    return Volume(where, lost, runs, type_id, damage=f"its first superblock is gone, only a backup of {lost} is left")


def _damaged(physical: Sequence[tuple[Volume, PhysicalVolume]]) -> Iterator[Volume]:
    """Report physical volumes as such only where something is wrong with them."""
    for volume, inner in physical:
        if inner.problem:
            yield Volume(volume.where, volume.type, volume.runs, volume.type_id, damage=inner.problem)


def _logical(reader: ByteReader, physical: Sequence[PhysicalVolume]) -> Iterator[Volume]:
    if not any(one.metadata for one in physical):
        if not any(one.problem for one in physical):
            yield Volume("LVM", "LVM2_member", (), reason="its volume group is described on another disk, or is empty")
        return
    try:
        found = list(map_volumes(physical))
    except BadMetadata as error:
        yield Volume("LVM", "LVM2_member", (), damage=f"its metadata makes no sense: {error}")
        return
    for one in found:
        yield _logical_volume(reader, one)


def _logical_volume(reader: ByteReader, one: LogicalVolume) -> Volume:
    where = f"LV {one.name}"
    if one.reason:
        return Volume(where, UNKNOWN, (), reason=one.reason)
    if any(offset + length > reader.size for offset, length in one.runs):
        return Volume(where, UNKNOWN, one.runs, damage="it lies behind the end of the disk")
    return _look(reader, where, one.runs, "")
