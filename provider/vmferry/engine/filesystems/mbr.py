# SPDX-License-Identifier: Apache-2.0
"""Read an MBR and the chain of its extended partition."""

from __future__ import annotations

import struct
from typing import NamedTuple

from vmferry.engine.filesystems.table import Partition, Table, find_misfits
from vmferry.engine.images.reader import ByteReader

_EXTENDED = (0x05, 0x0F, 0x85)
_MAX_LOGICAL = 128


class MbrEntry(NamedTuple):
    """One of the four slots of an MBR; sectors count from the start of the disk or of the extended partition."""

    status: int
    kind: int
    first: int
    sectors: int


def read_entries(reader: ByteReader, offset: int) -> tuple[MbrEntry, ...] | None:
    """Read the four slots at `offset`; None when there is no MBR."""
    raw = reader.read_at(offset, 512)
    if len(raw) < 512 or raw[510:] != b"\x55\xaa":
        return None
    entries = []
    for index in range(4):
        status, kind, first, sectors = struct.unpack_from("<B3xB3xII", raw, 446 + 16 * index)
        entries.append(MbrEntry(status, kind, first, sectors))
    # Boot code of a bare file system ends in 55 AA too; its "slots" have impossible status bytes.
    if any(entry.status & 0x7F for entry in entries):
        return None
    return tuple(entries)


def read_mbr(reader: ByteReader, entries: tuple[MbrEntry, ...], sector_bytes: int) -> Table:
    """Turn the slots into partitions and follow the extended one."""
    partitions: list[Partition] = []
    logical: list[Partition] = []
    problems: list[str] = []
    for number, entry in enumerate(entries, 1):
        if not entry.kind or not entry.sectors:
            continue
        if entry.kind in _EXTENDED:
            problems.extend(_follow(reader, entry.first, sector_bytes, logical))
            continue
        partitions.append(_partition(number, 0, entry, sector_bytes))
    found = (*partitions, *logical)
    problems.extend(find_misfits(found, reader.size))
    return Table("mbr", found, sector_bytes, tuple(problems))


def _follow(reader: ByteReader, base: int, sector_bytes: int, found: list[Partition]) -> list[str]:
    """Collect the logical partitions; every table of the chain has one and a link to the next table."""
    at, seen = base, set()
    while at not in seen and len(found) < _MAX_LOGICAL:
        seen.add(at)
        entries = read_entries(reader, at * sector_bytes)
        if entries is None:
            return [f"the extended partition's table at sector {at} is damaged"]
        links = [entry for entry in entries if entry.kind in _EXTENDED and entry.sectors]
        for entry in entries:
            if entry.kind and entry.kind not in _EXTENDED and entry.sectors:
                found.append(_partition(5 + len(found), at, entry, sector_bytes))
        if not links:
            return []
        at = base + links[0].first
    return ["the extended partition's tables run in a circle"]


def _partition(number: int, base: int, entry: MbrEntry, sector_bytes: int) -> Partition:
    start = (base + entry.first) * sector_bytes
    return Partition(number, start, entry.sectors * sector_bytes, f"{entry.kind:02X}")
