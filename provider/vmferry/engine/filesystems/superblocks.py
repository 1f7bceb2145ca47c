# SPDX-License-Identifier: Apache-2.0
"""Check superblocks by their own checksums, with no tools and no root."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from vmferry.engine.filesystems.btrfs import SUPERBLOCK_OFFSETS, superblock_is_sound
from vmferry.engine.images.crc32c import crc32c, update
from vmferry.engine.images.reader import ByteReader

_EXT_METADATA_CSUM = 0x400
_EXT_CRC_AT = 0x3FC
_XFS_CRC_AT = 224
_XFS_CRC_VERSION = 5


def check_superblock(kind: str, reader: ByteReader) -> str | None:
    """Say what is wrong with the superblock of a volume; None when it is sound or has nothing to check it by."""
    check = _CHECKS.get(kind)
    return check(reader) if check else None


def _check_ext(reader: ByteReader) -> str | None:
    raw = reader.read_at(0x400, 1024)
    blocks, _, free = struct.unpack_from("<III", raw, 4)
    log_block, features = struct.unpack_from("<I", raw, 24)[0], struct.unpack_from("<I", raw, 0x64)[0]
    if log_block > 6:
        return "its superblock says blocks of an impossible size"
    if features & _EXT_METADATA_CSUM and update(0xFFFFFFFF, raw[:_EXT_CRC_AT]) != _le32(raw, _EXT_CRC_AT):
        return "the checksum of its superblock is wrong"
    if (blocks << (10 + log_block)) > reader.size or (free > blocks and not features & 0x80):
        return "its superblock says it is larger than its place"
    return None


def _check_xfs(reader: ByteReader) -> str | None:
    raw = reader.read_at(0, 512)
    block_bytes, blocks = struct.unpack_from(">IQ", raw, 4)
    version, sector_bytes = struct.unpack_from(">HH", raw, 100)
    if version & 15 == _XFS_CRC_VERSION:
        raw = reader.read_at(0, max(512, min(sector_bytes, 32768)))
        bare = raw[:_XFS_CRC_AT] + bytes(4) + raw[_XFS_CRC_AT + 4 :]
        if crc32c(bare) != _le32(raw, _XFS_CRC_AT):
            return "the checksum of its superblock is wrong"
    return "its superblock says it is larger than its place" if block_bytes * blocks > reader.size else None


def _check_btrfs(reader: ByteReader) -> str | None:
    if not superblock_is_sound(reader.read_at(SUPERBLOCK_OFFSETS[0], 4096)):
        return "the checksum of its superblock is wrong"
    return None


def _check_ntfs(reader: ByteReader) -> str | None:
    boot = reader.read_at(0, 512)
    sector_bytes, sectors = struct.unpack_from("<H", boot, 11)[0], struct.unpack_from("<Q", boot, 40)[0]
    if reader.read_at(sectors * sector_bytes, 512)[:84] != boot[:84]:
        return "its boot sector and the backup behind it differ"
    return None


def _check_vfat(reader: ByteReader) -> str | None:
    boot = reader.read_at(0, 512)
    sector_bytes, small, large = (
        struct.unpack_from("<H", boot, 11)[0],
        struct.unpack_from("<H", boot, 19)[0],
        struct.unpack_from("<I", boot, 32)[0],
    )
    return "its boot sector says it is larger than its place" if (small or large) * sector_bytes > reader.size else None


def _le32(raw: bytes, at: int) -> int:
    return int.from_bytes(raw[at : at + 4], "little")


_CHECKS: Mapping[str, Callable[[ByteReader], str | None]] = {
    "ext2": _check_ext,
    "ext3": _check_ext,
    "ext4": _check_ext,
    "xfs": _check_xfs,
    "btrfs": _check_btrfs,
    "ntfs": _check_ntfs,
    "vfat": _check_vfat,
}
