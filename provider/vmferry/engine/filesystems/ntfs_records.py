# SPDX-License-Identifier: Apache-2.0
"""The building blocks of NTFS: boot sector, fixups, attributes, run lists, index entries.

Written from the published description of the on-disk layout (linux-ntfs documentation).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

SECTOR = 512
END = 0xFFFFFFFF
ATTRIBUTE_LIST, FILE_NAME, VOLUME_INFORMATION, DATA = 0x20, 0x30, 0x70, 0x80
INDEX_ROOT, INDEX_ALLOCATION, BITMAP = 0x90, 0xA0, 0xB0
LAST_ENTRY, HAS_CHILD = 2, 1
RECORD_MASK = (1 << 48) - 1


class BadRecord(ValueError):
    """A record that breaks the rules of the format."""


class Geometry(NamedTuple):
    """What the boot sector says."""

    cluster_bytes: int
    clusters: int
    sectors: int
    sector_bytes: int
    mft: int
    """Offset of the master file table."""
    mirror: int
    """Offset of the copy of its first records."""
    record_bytes: int
    index_bytes: int


class Attribute(NamedTuple):
    """One attribute of a record."""

    kind: int
    name: str
    value: bytes
    """Its content, when it is resident."""
    resident: bool
    runs: tuple[tuple[int | None, int], ...] = ()
    """(first cluster or None for a hole, clusters), when it is not."""
    first_vcn: int = 0
    data_bytes: int = 0
    """Real size; only the first part of a split attribute knows it."""
    valid_bytes: int = 0
    """How much of it was ever written."""


def parse_boot(raw: bytes) -> Geometry:
    """Read the boot sector; raises `BadRecord`."""
    sector, per_cluster = struct.unpack_from("<HB", raw, 11)
    sectors, mft, mirror = struct.unpack_from("<QQQ", raw, 40)
    record, index = struct.unpack_from("<b3xb", raw, 64)
    cluster = sector * (per_cluster if per_cluster <= 128 else 1 << (256 - per_cluster))
    if sector not in (512, 1024, 2048, 4096) or not 512 <= cluster <= 2 << 20 or cluster & (cluster - 1):
        raise BadRecord("its boot sector makes no sense")

    def size(value: int) -> int:
        return value * cluster if value > 0 else 1 << min(-value, 31)

    if not 512 <= size(record) <= 65536 or not 512 <= size(index) <= 1 << 20:
        raise BadRecord("its boot sector makes no sense")
    clusters = sectors * sector // cluster
    if mft >= clusters or mirror >= clusters:
        raise BadRecord("its boot sector points outside the volume")
    return Geometry(cluster, clusters, sectors, sector, mft * cluster, mirror * cluster, size(record), size(index))


def apply_fixups(raw: bytes, magic: bytes) -> bytes:
    """Check the marks at the end of every sector and put the real bytes back; raises `BadRecord`."""
    if raw[:4] != magic:
        raise BadRecord(f"its signature is {raw[:4]!r}")
    at, count = struct.unpack_from("<HH", raw, 4)
    if count != len(raw) // SECTOR + 1 or at + 2 * count > SECTOR - 2 or at < 8:
        raise BadRecord("its update sequence makes no sense")
    data = bytearray(raw)
    mark = raw[at : at + 2]
    for index in range(1, count):
        end = index * SECTOR
        if data[end - 2 : end] != mark:
            raise BadRecord("a sector of it was not written with the others, or is damaged")
        data[end - 2 : end] = raw[at + 2 * index : at + 2 * index + 2]
    return bytes(data)


def attributes(record: bytes, clusters: int) -> Iterator[Attribute]:
    """Walk the attributes of a record whose fixups are applied; raises `BadRecord`."""
    at = struct.unpack_from("<H", record, 20)[0]
    used, allocated = struct.unpack_from("<II", record, 24)
    if allocated != len(record) or not at + 8 <= used <= allocated:
        raise BadRecord("its sizes make no sense")
    previous = 0
    while True:
        if at + 4 > used:
            raise BadRecord("its attributes have no end")
        kind = struct.unpack_from("<I", record, at)[0]
        if kind == END:
            if at + 8 != used:
                raise BadRecord("its used size is wrong")
            return
        length = struct.unpack_from("<I", record, at + 4)[0]
        if kind < previous or length < 24 or length % 8 or at + length > used:
            raise BadRecord(f"its attribute {kind:#x} makes no sense")
        yield _attribute(record[at : at + length], kind, clusters)
        previous, at = kind, at + length


def index_entries(block: bytes, header_at: int) -> Iterator[tuple[int, int, bytes]]:
    """Walk the entries behind an index header: (file reference, flags, key); raises `BadRecord`."""
    first, used, allocated = struct.unpack_from("<III", block, header_at)
    at, end = header_at + first, header_at + used
    if first < 16 or used > allocated or header_at + allocated > len(block):
        raise BadRecord("its index header makes no sense")
    while True:
        if at + 16 > end:
            raise BadRecord("its index entries have no end")
        reference, length, key_bytes, flags = struct.unpack_from("<QHHH", block, at)
        if length < 16 or length % 8 or at + length > end or 16 + key_bytes > length:
            raise BadRecord("an index entry makes no sense")
        yield reference, flags, block[at + 16 : at + 16 + key_bytes]
        if flags & LAST_ENTRY:
            return
        at += length


def file_name_key(value: bytes) -> tuple[int, int, bytes]:
    """What is the same in a record's file name and in its directory entry: parent, namespace, name."""
    if len(value) < 66 or len(value) < 66 + 2 * value[64]:
        raise BadRecord("a file name is cut off")
    parent = struct.unpack_from("<Q", value)[0]
    return parent, value[65], value[66 : 66 + 2 * value[64]]


def _attribute(raw: bytes, kind: int, clusters: int) -> Attribute:
    non_resident, name_length, name_at = struct.unpack_from("<BBH", raw, 8)
    if (name_length and name_at + 2 * name_length > len(raw)) or non_resident > 1:
        raise BadRecord(f"its attribute {kind:#x} makes no sense")
    name = raw[name_at : name_at + 2 * name_length].decode("utf-16-le", "replace")
    if not non_resident:
        size, at = struct.unpack_from("<IH", raw, 16)
        if at + size > len(raw):
            raise BadRecord(f"its attribute {kind:#x} is longer than its place")
        return Attribute(kind, name, raw[at : at + size], True)
    if len(raw) < 64:
        raise BadRecord(f"its attribute {kind:#x} is cut off")
    first, last, runs_at = struct.unpack_from("<QQH", raw, 16)
    allocated, real, valid = struct.unpack_from("<QQQ", raw, 40)
    if first == 0 and (valid > real or real > allocated):
        raise BadRecord(f"the sizes of its attribute {kind:#x} make no sense")
    runs = tuple(_runs(raw, runs_at, clusters))
    # An empty attribute has its last cluster before its first one.
    if sum(count for _, count in runs) != (last + 1 - first) % (1 << 64):
        raise BadRecord(f"the run list of its attribute {kind:#x} has the wrong length")
    return Attribute(kind, name, b"", False, runs, first, real, valid)


def _runs(raw: bytes, at: int, clusters: int) -> Iterator[tuple[int | None, int]]:
    lcn = 0
    while True:
        if at >= len(raw):
            raise BadRecord("a run list has no end")
        length_bytes, offset_bytes = raw[at] & 15, raw[at] >> 4
        if not raw[at]:
            return
        if not length_bytes or at + 1 + length_bytes + offset_bytes > len(raw):
            raise BadRecord("a run list makes no sense")
        count = int.from_bytes(raw[at + 1 : at + 1 + length_bytes], "little", signed=True)
        step = int.from_bytes(raw[at + 1 + length_bytes : at + 1 + length_bytes + offset_bytes], "little", signed=True)
        lcn += step
        if count <= 0 or (offset_bytes and (lcn < 0 or lcn + count > clusters)):
            raise BadRecord("a run list points outside the volume")
        yield (lcn if offset_bytes else None), count
        at += 1 + length_bytes + offset_bytes
