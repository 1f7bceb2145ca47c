# SPDX-License-Identifier: Apache-2.0
"""Find the partition table of a disk in plain Python, so that it works through any endpoint and without root."""

from __future__ import annotations

from vmferry.engine.filesystems.detect import UNKNOWN, detect
from vmferry.engine.filesystems.gpt import PROTECTIVE, has_signature, read_gpt
from vmferry.engine.filesystems.mbr import read_entries, read_mbr
from vmferry.engine.filesystems.table import Table
from vmferry.engine.images.reader import ByteReader

_SECTOR_SIZES = (512, 4096)


def read_table(reader: ByteReader, sector_bytes: int | None = None) -> Table:
    """Read the table: kind gpt, mbr or none.

    `sector_bytes` is the logical sector of the device when it is known; an image file does not tell, then 512 and
    4096 are tried. A GPT of which one copy is damaged is read from the other one and says so in `problems`.
    """
    sizes = (sector_bytes,) if sector_bytes else _SECTOR_SIZES
    entries = read_entries(reader, 0)
    protected = entries is not None and any(entry.kind == PROTECTIVE for entry in entries)
    bare = detect(reader, 0, reader.size) != UNKNOWN
    for size in sizes:
        if protected or has_signature(reader, size) or (entries is None and not bare):
            table = read_gpt(reader, size, protected)
            if table is not None:
                return table
    if protected:
        return Table("gpt", problems=("both copies of the GPT are damaged",))
    if entries is None or (bare and not _fits(reader, sizes[0])) or not any(entry.kind for entry in entries):
        return Table("none")
    return _best_fit([read_mbr(reader, entries, size) for size in sizes], reader)


def _fits(reader: ByteReader, sector_bytes: int) -> bool:
    """Tell whether sector 0 of a file system also holds a table that makes sense (a stick made by isohybrid does)."""
    entries = read_entries(reader, 0)
    if entries is None:
        return False
    table = read_mbr(reader, entries, sector_bytes)
    return bool(table.partitions) and not table.problems and all(one.start for one in table.partitions)


def _best_fit(tables: list[Table], reader: ByteReader) -> Table:
    """Choose the sector size under which more partitions begin with something known; 512 when they are even."""

    def known(table: Table) -> tuple[int, int]:
        found = sum(detect(reader, one.start, one.length) != UNKNOWN for one in table.partitions)
        return found, -len(table.problems)

    return max(tables, key=known)
