# SPDX-License-Identifier: Apache-2.0
"""Walk through all records of an NTFS volume, because `ntfsfix -n` looks at little more than its boot sector.

Checked: boot sector against its backup, the table's first records against their mirror, signature, fixups, attributes
and run lists of every record, every index block, that no two files own the same cluster, that the cluster bitmap says
the same, and that files and directory entries name each other. What a journal could still mend is a doubt, not damage.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from vmferry.engine.filesystems.findings import Findings
from vmferry.engine.filesystems.ntfs_records import (
    ATTRIBUTE_LIST,
    BITMAP,
    DATA,
    FILE_NAME,
    INDEX_ALLOCATION,
    INDEX_ROOT,
    RECORD_MASK,
    VOLUME_INFORMATION,
    Attribute,
    BadRecord,
    Geometry,
    apply_fixups,
    attributes,
    file_name_key,
    index_entries,
    parse_boot,
)
from vmferry.engine.filesystems.ntfs_space import ClusterUse
from vmferry.engine.filesystems.volumes import RunsReader, Volume
from vmferry.engine.images.reader import ByteReader, read_exactly

_MIRRORED_RECORDS = 4
_BATCH_RECORDS = 256
_MFT, _LOGFILE, _VOLUME, _BITMAP_FILE = 0, 2, 3, 6
_IN_USE = 1
_DIRTY = 1
_LOG_CLEAN = 2
_NO_CLIENT = 0xFFFF


def look_at_ntfs(reader: ByteReader) -> Findings:
    """Walk the volume."""
    found = Findings()
    try:
        boot = read_exactly(reader, 0, 512)
        geometry = parse_boot(boot)
        _compare_boot(reader, boot, geometry, found)
        _Walk(reader, geometry, found).run()
    except (BadRecord, struct.error) as error:
        found.add_damage(str(error))
    return found


def _compare_boot(reader: ByteReader, boot: bytes, geometry: Geometry, found: Findings) -> None:
    """Hold the boot sector against its copy behind the last sector of the volume."""
    at = geometry.sectors * geometry.sector_bytes
    if at > reader.size:
        raise BadRecord("the volume is larger than its partition")
    backup = reader.read_at(at, 512)
    # Only the parameters: programs that change the boot code leave the copy alone.
    if backup[:84] != boot[:84]:
        found.add_damage("the boot sector and its backup differ")


class _Walk:
    """One walk through the master file table."""

    def __init__(self, reader: ByteReader, geometry: Geometry, found: Findings) -> None:
        self._reader, self._geometry, self._found = reader, geometry, found
        self._use = ClusterUse(geometry.clusters)
        self._sequences: dict[int, int] = {}
        self._names: set[tuple[int, int, int, bytes]] = set()
        self._entries: set[tuple[int, int, int, bytes]] = set()
        self._cluster_bitmap: ByteReader | None = None

    def run(self) -> None:
        table, records = self._open_table()
        self._compare_mirror(table)
        in_use = self._table_bitmap(table)
        for number, raw in self._records(table, records):
            marked = bool(in_use[number >> 3] >> (number & 7) & 1) if number >> 3 < len(in_use) else False
            try:
                self._check_record(number, raw, marked)
            except (BadRecord, struct.error) as error:
                self._found.add_damage(f"file record {number}: {error}")
        self._check_names()
        if self._cluster_bitmap is None:
            self._found.add_damage("the cluster bitmap is gone")
        else:
            self._use.compare(self._cluster_bitmap, self._found)

    def _open_table(self) -> tuple[ByteReader, int]:
        """Find all parts of the master file table, through its attribute list when it is in many pieces."""
        raw = self._reader.read_at(self._geometry.mft, self._geometry.record_bytes)
        try:
            found = list(attributes(apply_fixups(raw, b"FILE"), self._geometry.clusters))
        except BadRecord as error:
            raise BadRecord(f"file record 0 (the table itself): {error}") from error
        parts = [one for one in found if one.kind == DATA and not one.name and not one.resident]
        if not parts:
            raise BadRecord("the master file table has no data")
        valid_bytes = parts[0].valid_bytes
        table = self._stream(parts, "$MFT")
        for extension in self._listed_extensions(found):
            raw = table.read_at(extension * self._geometry.record_bytes, self._geometry.record_bytes)
            more = attributes(apply_fixups(raw, b"FILE"), self._geometry.clusters)
            parts.extend(one for one in more if one.kind == DATA and not one.name)
            table = self._stream(sorted(parts, key=lambda one: one.first_vcn), "$MFT")
        return table, min(valid_bytes, table.size) // self._geometry.record_bytes

    def _listed_extensions(self, found: Sequence[Attribute]) -> Iterator[int]:
        for one in found:
            if one.kind != ATTRIBUTE_LIST:
                continue
            data = one.value if one.resident else self._stream([one], "list").read_at(0, one.data_bytes)
            at = 0
            while at + 26 <= len(data):
                kind, length = struct.unpack_from("<IH", data, at)
                number = struct.unpack_from("<Q", data, at + 16)[0] & RECORD_MASK
                if kind == DATA and number != _MFT:
                    yield number
                at += max(length, 26)

    def _stream(self, parts: Sequence[Attribute], name: str) -> RunsReader:
        size = self._geometry.cluster_bytes
        runs = tuple((lcn * size, count * size) for part in parts for lcn, count in part.runs if lcn is not None)
        return RunsReader(self._reader, Volume(name, "", runs))

    def _compare_mirror(self, table: ByteReader) -> None:
        size = _MIRRORED_RECORDS * self._geometry.record_bytes
        if table.read_at(0, size) != self._reader.read_at(self._geometry.mirror, size):
            self._found.add_doubt("the first file records and their mirror differ")

    def _table_bitmap(self, table: ByteReader) -> bytes:
        raw = table.read_at(0, self._geometry.record_bytes)
        for one in attributes(apply_fixups(raw, b"FILE"), self._geometry.clusters):
            if one.kind == BITMAP:
                return one.value if one.resident else self._stream([one], "$MFT bitmap").read_at(0, one.data_bytes)
        raise BadRecord("the master file table has no bitmap")

    def _records(self, table: ByteReader, count: int) -> Iterator[tuple[int, bytes]]:
        size = self._geometry.record_bytes
        for first in range(0, count, _BATCH_RECORDS):
            batch = table.read_at(first * size, min(_BATCH_RECORDS, count - first) * size)
            for index in range(len(batch) // size):
                yield first + index, batch[index * size : (index + 1) * size]

    def _check_record(self, number: int, raw: bytes, marked: bool) -> None:
        if raw[:4] != b"FILE":
            if marked or raw[:4] == b"BAAD":
                raise BadRecord(f"its signature is {raw[:4]!r}")
            return
        record = apply_fixups(raw, b"FILE")
        sequence, flags = struct.unpack_from("<H4xH", record, 16)
        if bool(flags & _IN_USE) != marked:
            self._found.add_doubt(f"file record {number} and the table's bitmap disagree whether it is in use")
        if not flags & _IN_USE:
            return
        base = struct.unpack_from("<Q", record, 32)[0] & RECORD_MASK
        self._sequences[number] = sequence
        found = list(attributes(record, self._geometry.clusters))
        for one in found:
            self._check_attribute(number, base or number, one, found)

    def _check_attribute(self, number: int, base: int, one: Attribute, siblings: Sequence[Attribute]) -> None:
        for lcn, count in one.runs:
            if lcn is not None:
                self._use.add(lcn, count, number)
        if one.kind == FILE_NAME:
            self._names.add((base, *file_name_key(one.value)))
        elif one.kind == INDEX_ROOT:
            self._check_entries(one.value, 16, one.name)
        elif one.kind == INDEX_ALLOCATION:
            self._check_blocks(one, siblings)
        elif number == _BITMAP_FILE and one.kind == DATA and not one.name and self._cluster_bitmap is None:
            self._cluster_bitmap = self._stream([one], "$Bitmap")
        elif number == _VOLUME and one.kind == VOLUME_INFORMATION:
            if struct.unpack_from("<H", one.value, 10)[0] & _DIRTY:
                self._found.notes.append("it is marked dirty: Windows will check it at the next start")
        elif number == _LOGFILE and one.kind == DATA and not one.name:
            self._found.unsettled = not _log_is_clean(self._stream([one], "$LogFile"))

    def _check_blocks(self, one: Attribute, siblings: Sequence[Attribute]) -> None:
        """Check the blocks of a large index; its bitmap (when it is in this record) tells which are in use."""
        stream, size = self._stream([one], "index"), self._geometry.index_bytes
        maps = [other for other in siblings if other.kind == BITMAP and other.name == one.name]
        used = b""
        if maps:
            used = maps[0].value if maps[0].resident else self._stream(maps[:1], "index").read_at(0, maps[0].data_bytes)
        first = one.first_vcn * self._geometry.cluster_bytes // size
        for index in range(stream.size // size):
            bit = first + index
            if bit >> 3 < len(used) and not used[bit >> 3] >> (bit & 7) & 1:
                continue
            raw = stream.read_at(index * size, size)
            if not used and raw[:4] != b"INDX":
                continue
            self._check_entries(apply_fixups(raw, b"INDX"), 24, one.name)

    def _check_entries(self, block: bytes, header_at: int, name: str) -> None:
        for reference, flags, key in index_entries(block, header_at):
            if name == "$I30" and not flags & 2:
                self._entries.add((reference, *file_name_key(key)))

    def _check_names(self) -> None:
        """Hold directory entries against the names in the files' own records."""
        listed = set()
        for reference, parent, space, name in self._entries:
            number, sequence = reference & RECORD_MASK, reference >> 48
            if self._sequences.get(number) != sequence:
                self._found.add_doubt(f"a directory names file record {number}, which is not there")
            listed.add((number, parent, space, name))
        for number, *_ in sorted(self._names ^ listed)[:20]:
            self._found.add_doubt(f"file record {number} and its directory do not agree about its name")


def _log_is_clean(log: ByteReader) -> bool:
    """Read the restart page: clean when it says so, or when no client has it open."""
    raw = log.read_at(0, 4096)
    if raw[:4] == b"\xff\xff\xff\xff":
        return True  # emptied by ntfsfix or mkntfs
    if raw[:4] != b"RSTR":
        return False
    at = struct.unpack_from("<H", raw, 24)[0]
    if at + 48 > len(raw):
        return False
    in_use, flags = struct.unpack_from("<HH", raw, at + 12)
    return in_use == _NO_CLIENT or bool(flags & _LOG_CLEAN)
