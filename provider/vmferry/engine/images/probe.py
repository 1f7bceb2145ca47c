# SPDX-License-Identifier: Apache-2.0
"""Tell a format by the first and last bytes, in plain Python: nothing is opened that a header names."""

from __future__ import annotations

from pathlib import Path
from typing import Union

from vmferry.engine.images.reader import ByteReader, FileReader

_HEAD_BYTES = 4096
_MAGICS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"QFI\xfb\x00\x00\x00\x01", "qcow"),
    (0, b"QFI\xfb", "qcow2"),
    (0, b"QED\x00", "qed"),
    (0, b"KDMV", "vmdk"),
    (0, b"COWD", "vmdk"),
    (0, b"vhdxfile", "vhdx"),
    (0x40, b"\x7f\x10\xda\xbe", "vdi"),
    (0, b"conectix", "vpc"),
    (0, b"WithoutFreeSpace", "parallels"),
    (0, b"WithouFreSpacExt", "parallels"),
    (0, b"Bochs Virtual HD Image", "bochs"),
    (0, b"\x1f\x8b\x08", "gz"),
    (0, b"\xfd7zXZ\x00", "xz"),
    (0, b"\x28\xb5\x2f\xfd", "zst"),
    (0, b"BZh", "bz2"),
    (0, b"PK\x03\x04", "zip"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z"),
    (257, b"ustar", "tar"),
)
_DESCRIPTOR_STARTS = (b"# disk descriptorfile", b"version=", b"createtype=")


def detect_format(source: Union[str, Path, ByteReader]) -> str | None:
    """Name the format that the content carries; `raw` when it carries none, None when there are no bytes.

    Besides the formats that `inspect` accepts it knows some others by name (qcow, qed, parallels, bochs, dmg, iso, gz,
    xz, zst, bz2, zip, 7z, tar), so that a message can say what the file is.
    """
    if isinstance(source, (str, Path)):
        with FileReader(source) as reader:
            return detect_format(reader)
    if source.size == 0:
        return None
    head = source.read_at(0, _HEAD_BYTES)
    return _by_head(head) or _by_place(source) or "raw"


def _by_head(head: bytes) -> str | None:
    for offset, magic, name in _MAGICS:
        if head[offset : offset + len(magic)] == magic:
            return name
    return "vmdk" if _is_descriptor(head) else None


def _by_place(reader: ByteReader) -> str | None:
    """Look where some formats keep their mark: at the end (fixed VHD, DMG) or in sector 16 (ISO 9660)."""
    # A VHD footer is 512 bytes, 511 when very old Virtual PC wrote it; qemu knows both.
    tail = reader.read_at(max(0, reader.size - 512), 512)
    if tail.startswith(b"conectix") or tail[1:].startswith(b"conectix"):
        return "vpc"
    if tail.startswith(b"koly"):
        return "dmg"
    return "iso" if reader.read_at(0x8001, 5) == b"CD001" else None


def _is_descriptor(head: bytes) -> bool:
    """Recognise a VMDK descriptor as qemu does: comments and blank lines may come before `version=`."""
    text = head.lower()
    if text.startswith(_DESCRIPTOR_STARTS[0]):
        return True
    for line in text.split(b"\n"):
        line = line.strip()
        if line and not line.startswith(b"#"):
            return line.startswith(_DESCRIPTOR_STARTS)
    return False
