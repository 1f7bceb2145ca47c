# SPDX-License-Identifier: Apache-2.0
"""What fsck.vfat does not tell: whether the copies that a FAT file system keeps agree."""

from __future__ import annotations

import struct
from typing import NamedTuple

from vmferry.engine.filesystems.findings import Findings
from vmferry.engine.images.reader import ByteReader

_CHUNK = 1 << 20
_MIRRORING_OFF = 0x80


class FatLayout(NamedTuple):
    """Where things are, from the boot sector."""

    sector_bytes: int
    fat_start: int
    fat_bytes: int
    fat_count: int
    is_fat32: bool
    backup_boot: int
    """Offset of the backup boot sector; 0 where there is none."""
    mirrored: bool


def read_layout(boot: bytes) -> FatLayout:
    """Read the BIOS parameter block; `detect` has checked that it makes sense."""
    sector, _, reserved, fats, _, _, _, small_fat = struct.unpack_from("<HBHBHHBH", boot, 11)
    is_fat32 = small_fat == 0
    large_fat, flags = struct.unpack_from("<IH", boot, 36)
    backup = struct.unpack_from("<H", boot, 50)[0] if is_fat32 else 0
    return FatLayout(
        sector_bytes=sector,
        fat_start=reserved * sector,
        fat_bytes=(large_fat if is_fat32 else small_fat) * sector,
        fat_count=fats,
        is_fat32=is_fat32,
        backup_boot=backup * sector if backup != 0xFFFF else 0,
        mirrored=not (is_fat32 and flags & _MIRRORING_OFF),
    )


def dirty_flag_offset(reader: ByteReader) -> int | None:
    """Say where the byte is that says `not unmounted cleanly`, if it says so."""
    boot = reader.read_at(0, 512)
    at = 0x41 if read_layout(boot).is_fat32 else 0x25
    return at if boot[at] & 1 else None


def look_at_fat(reader: ByteReader) -> Findings:
    """Compare both FATs, and the boot sector with its backup."""
    found = Findings()
    boot = reader.read_at(0, 512)
    layout = read_layout(boot)
    if layout.fat_count == 2 and layout.mirrored:
        _compare_fats(reader, layout, found)
    if layout.is_fat32 and layout.backup_boot:
        backup = reader.read_at(layout.backup_boot, 512)
        # Byte 0x41 is the dirty flag: only the first copy keeps it.
        if boot[:0x41] + boot[0x42:0x5A] != backup[:0x41] + backup[0x42:0x5A]:
            found.add_damage("the boot sector and its backup differ")
    return found


def _compare_fats(reader: ByteReader, layout: FatLayout, found: Findings) -> None:
    # Entry 1 holds the clean-shutdown bits, which are kept in the first FAT only.
    skipped = 8 if layout.is_fat32 else 4
    for at in range(0, layout.fat_bytes, _CHUNK):
        length = min(_CHUNK, layout.fat_bytes - at)
        first = reader.read_at(layout.fat_start + at, length)
        second = reader.read_at(layout.fat_start + layout.fat_bytes + at, length)
        if at == 0:
            first, second = first[skipped:], second[skipped:]
        if first != second or len(second) < length - skipped:
            found.add_damage(f"the two FATs differ within {length} bytes at {at}")
            return
