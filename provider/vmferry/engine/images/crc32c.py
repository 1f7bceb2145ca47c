# SPDX-License-Identifier: Apache-2.0
"""CRC-32C (Castagnoli): what VHDX, XFS, ext4, btrfs guard their metadata with; the standard library has only CRC-32."""

from __future__ import annotations


def _make_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return tuple(table)


_TABLE = _make_table()


def update(crc: int, data: bytes) -> int:
    """Run the bare register over `data`: no inversion before or after (ext4 keeps it that way)."""
    table = _TABLE
    for byte in data:
        crc = (crc >> 8) ^ table[(crc ^ byte) & 0xFF]
    return crc


def crc32c(data: bytes) -> int:
    """Compute the usual CRC-32C: crc32c(b"123456789") is 0xE3069283."""
    return update(0xFFFFFFFF, data) ^ 0xFFFFFFFF
