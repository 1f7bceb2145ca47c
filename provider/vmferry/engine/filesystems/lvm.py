# SPDX-License-Identifier: Apache-2.0
"""Find logical volumes by reading LVM's own metadata: no device-mapper, no root, nothing is activated."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from vmferry.engine.filesystems.lvm_text import BadMetadata, Section, list_of, number_of, parse_metadata, section_of
from vmferry.engine.images.reader import ByteReader

_SECTOR = 512
_CRC_START = 0xF597A6CF
_MDA_MAGIC = b" LVM2 x[5A%r0N*>"
_MDA_HEADER_BYTES = 512
_IGNORED = 1
_MAX_METADATA_BYTES = 64 << 20
# Segments without a file system of their own: the thin volumes on a pool are listed by themselves.
_NO_CONTENT = ("thin-pool", "cache-pool", "vdo-pool", "error", "zero")


@dataclass(frozen=True)
class PhysicalVolume:
    """One physical volume and what its metadata areas say."""

    uuid: str
    start: int
    """Offset on the disk."""
    metadata: Section
    """Newest metadata; empty when this volume holds none (others of its group do)."""
    problem: str = ""
    """What is damaged about it."""


@dataclass(frozen=True)
class LogicalVolume:
    """One logical volume and where its bytes lie on the disk."""

    name: str
    """Group and volume: vg/root."""
    size: int
    runs: tuple[tuple[int, int], ...]
    """(offset on the disk, length) in the volume's order; empty when `reason` is set."""
    reason: str = ""
    """Why its bytes cannot be found without device-mapper."""


def read_physical_volume(reader: ByteReader, start: int) -> PhysicalVolume:
    """Read the label, the header and the newest metadata of the physical volume at `start`."""
    label = _find_label(reader, start)
    if label is None:
        return PhysicalVolume("", start, {}, "the LVM label is damaged")
    uuid = label[32:64].decode("ascii", "replace")
    problems, newest = [], Section()
    for offset, size in _metadata_areas(label):
        try:
            metadata = _read_area(reader, start, offset, size)
        except BadMetadata as error:
            problems.append(f"an LVM metadata area is damaged: {error}")
            continue
        if metadata and _sequence(metadata) > _sequence(newest):
            newest = metadata
    return PhysicalVolume(uuid, start, newest, "; ".join(problems))


def map_volumes(volumes: Sequence[PhysicalVolume]) -> Iterator[LogicalVolume]:
    """List the logical volumes of every group that one of these physical volumes belongs to."""
    starts = {volume.uuid: volume.start for volume in volumes}
    groups: dict[str, Section] = {}
    for volume in volumes:
        for name, group in volume.metadata.items():
            if isinstance(group, dict) and _sequence({name: group}) > _sequence({name: groups.get(name, {})}):
                groups[name] = group
    for name, group in groups.items():
        yield from _map_group(name, group, starts)


def _map_group(name: str, group: Section, starts: Mapping[str, int]) -> Iterator[LogicalVolume]:
    extent_bytes = number_of(group, "extent_size") * _SECTOR
    places = {}
    for key, section in section_of(group, "physical_volumes").items():
        if isinstance(section, dict):
            start = starts.get(str(section.get("id", "")).replace("-", ""))
            places[key] = None if start is None else start + number_of(section, "pe_start") * _SECTOR
    for key, section in section_of(group, "logical_volumes").items():
        if isinstance(section, dict) and "VISIBLE" in list_of(section, "status"):
            volume = _map_volume(f"{name}/{key}", section, extent_bytes, places)
            if volume is not None:
                yield volume


def _map_volume(
    name: str, section: Section, extent_bytes: int, places: Mapping[str, int | None]
) -> LogicalVolume | None:
    count = number_of(section, "segment_count")
    segments = [section_of(section, f"segment{index + 1}") for index in range(count)]
    size = sum(number_of(segment, "extent_count") for segment in segments) * extent_bytes
    if any(segment.get("type") in _NO_CONTENT for segment in segments):
        return None
    runs: list[tuple[int, int]] = []
    for segment in segments:
        kind, stripes = segment.get("type"), list_of(segment, "stripes")
        if kind != "striped" or segment.get("stripe_count") != 1 or len(stripes) != 2:
            kind = "striped over several places" if kind == "striped" else f"of type {kind}"
            return LogicalVolume(name, size, (), f"it is {kind}; check it where LVM can be activated")
        place, extent = places.get(str(stripes[0])), stripes[1]
        if place is None or not isinstance(extent, int):
            return LogicalVolume(
                name, size, (), "part of it lies on another disk; check it where all disks are together"
            )
        _append_run(runs, place + extent * extent_bytes, number_of(segment, "extent_count") * extent_bytes)
    return LogicalVolume(name, size, tuple(runs))


def _append_run(runs: list[tuple[int, int]], offset: int, length: int) -> None:
    if runs and sum(runs[-1]) == offset:
        runs[-1] = (runs[-1][0], runs[-1][1] + length)
    else:
        runs.append((offset, length))


def _find_label(reader: ByteReader, start: int) -> bytes | None:
    for sector in range(4):
        raw = reader.read_at(start + sector * _SECTOR, _SECTOR)
        if raw.startswith(b"LABELONE") and raw[24:32] == b"LVM2 001":
            sound = len(raw) == _SECTOR and _crc(raw[20:]) == struct.unpack_from("<I", raw, 16)[0]
            return raw if sound and raw[20:24] == b"\x20\0\0\0" else None
    return None


def _metadata_areas(label: bytes) -> Iterator[tuple[int, int]]:
    """Walk the two lists behind the header: data areas, then metadata areas; each ends with a zero pair."""
    lists_seen = 0
    for at in range(72, _SECTOR - 15, 16):
        offset, size = struct.unpack_from("<QQ", label, at)
        if not offset:
            lists_seen += 1
            if lists_seen == 2:
                return
        elif lists_seen == 1:
            yield offset, size


def _read_area(reader: ByteReader, start: int, offset: int, size: int) -> Section:
    raw = reader.read_at(start + offset, _MDA_HEADER_BYTES)
    if len(raw) < _MDA_HEADER_BYTES or raw[4:20] != _MDA_MAGIC or _crc(raw[4:]) != struct.unpack_from("<I", raw)[0]:
        raise BadMetadata("its header is wrong")
    text_at, text_bytes, checksum, flags = struct.unpack_from("<QQII", raw, 40)
    if not text_at or flags & _IGNORED:
        return {}
    if not _MDA_HEADER_BYTES <= text_at < size or text_bytes > min(size, _MAX_METADATA_BYTES):
        raise BadMetadata("it points outside itself")
    text = reader.read_at(start + offset + text_at, min(text_bytes, size - text_at))
    if len(text) < text_bytes:  # the area is a ring: the rest is behind its header
        text += reader.read_at(start + offset + _MDA_HEADER_BYTES, text_bytes - len(text))
    if _crc(text) != checksum:
        raise BadMetadata("its checksum is wrong")
    return parse_metadata(text.rstrip(b"\0").decode("utf-8", "replace"))


def _sequence(metadata: Section) -> int:
    numbers = [group.get("seqno") for group in metadata.values() if isinstance(group, dict)]
    return max((number for number in numbers if isinstance(number, int)), default=-1)


def _crc(data: bytes) -> int:
    """LVM's CRC-32: the usual polynomial, another start, no inversion."""
    return zlib.crc32(data, _CRC_START ^ 0xFFFFFFFF) ^ 0xFFFFFFFF
