# SPDX-License-Identifier: Apache-2.0
"""Read a GUID partition table: both headers, both CRCs, and the backup when the first one is damaged."""

from __future__ import annotations

import struct
import uuid
import zlib
from typing import NamedTuple

from vmferry.engine.filesystems.table import Partition, Table, find_misfits
from vmferry.engine.images.reader import ByteReader

PROTECTIVE = 0xEE
SIGNATURE = b"EFI PART"
_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
_MAX_ENTRY_BYTES = 4 << 20


class _Header(NamedTuple):
    alternate: int
    entries: bytes
    entry_bytes: int


def has_signature(reader: ByteReader, sector_bytes: int) -> bool:
    """Tell whether a GPT header, sound or not, stands in the second sector."""
    return reader.read_at(sector_bytes, 8) == SIGNATURE


def read_gpt(reader: ByteReader, sector_bytes: int, protected: bool) -> Table | None:
    """Read the table; None when neither header is sound."""
    last = reader.size // sector_bytes - 1
    first = _read_header(reader, 1, sector_bytes)
    problems, notes = [], []
    if first is None:
        header = _read_header(reader, last, sector_bytes)
        problems.append("the first GPT header is damaged, the backup is sound")
    else:
        header = first
        problems.extend(_compare_backup(reader, first, last, sector_bytes))
        if first.alternate < last:
            notes.append("the backup GPT header is not at the end: the disk was enlarged")
    if header is None:
        return None
    if not protected:
        problems.append("the protective MBR is gone")
    partitions = _read_entries(header, sector_bytes)
    problems.extend(find_misfits(partitions, reader.size))
    return Table("gpt", partitions, sector_bytes, tuple(problems), tuple(notes))


def _compare_backup(reader: ByteReader, first: _Header, last: int, sector_bytes: int) -> list[str]:
    if first.alternate > last:
        return ["the disk is shorter than its GPT says"]
    backup = _read_header(reader, first.alternate, sector_bytes)
    if backup is None:
        return ["the backup GPT header is damaged, the first one is sound"]
    return [] if backup.entries == first.entries else ["the two copies of the GPT differ"]


def _read_header(reader: ByteReader, sector: int, sector_bytes: int) -> _Header | None:
    raw = reader.read_at(max(0, sector) * sector_bytes, sector_bytes)
    if len(raw) < sector_bytes or not raw.startswith(SIGNATURE):
        return None
    fields = _HEADER.unpack_from(raw)
    length, crc, mine, alternate = fields[2], fields[3], fields[5], fields[6]
    entries_at, count, entry_bytes, entries_crc = fields[10:14]
    if not _HEADER.size <= length <= sector_bytes or mine != sector:
        return None
    if zlib.crc32(raw[:16] + bytes(4) + raw[20:length]) != crc:
        return None
    if entry_bytes < 128 or count * entry_bytes > _MAX_ENTRY_BYTES:
        return None
    entries = reader.read_at(entries_at * sector_bytes, count * entry_bytes)
    if zlib.crc32(entries) != entries_crc:
        return None
    return _Header(alternate, entries, entry_bytes)


def _read_entries(header: _Header, sector_bytes: int) -> tuple[Partition, ...]:
    found = []
    for index in range(len(header.entries) // header.entry_bytes):
        raw = header.entries[index * header.entry_bytes :][: header.entry_bytes]
        if not raw[:16].strip(b"\0"):
            continue
        first, last = struct.unpack_from("<QQ", raw, 32)
        name = raw[56:128].decode("utf-16-le", "replace").split("\0", 1)[0]
        kind = str(uuid.UUID(bytes_le=raw[:16])).upper()
        found.append(Partition(index + 1, first * sector_bytes, max(0, last + 1 - first) * sector_bytes, kind, name))
    return tuple(found)
