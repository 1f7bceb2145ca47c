# SPDX-License-Identifier: Apache-2.0
"""Finds images that were cut off: qemu reads what lies behind the end of their file as zeros, without an error.

VDI and VHD blocks are always written whole. Of a qcow2 cluster or a VMDK grain only the beginning is looked at: the
last one of a sound file may be short.
"""

from __future__ import annotations

import array
import struct
import sys
from collections.abc import Callable, Iterator

from vmferry.engine.errors import NotADiskImage
from vmferry.engine.images.facts import ImageFacts
from vmferry.engine.images.reader import ByteReader

_OFFSET = 0x00FFFFFFFFFFFE00
_COMPRESSED = 1 << 62
_ZERO = 1
_NOWHERE = 0xFFFFFFFF
_PIECE_BYTES = 1 << 20


def check_complete(reader: ByteReader, facts: ImageFacts) -> None:
    """Raise `NotADiskImage` when the image's tables point behind the end of its file."""
    find = _FINDERS.get(facts.format)
    if find is None:
        return
    for offset in find(reader, facts):
        if offset >= reader.size:
            what = f"{reader.name}: is cut off: it has data at {offset}, but the file ends at {reader.size}"
            raise NotADiskImage(what, fix="copy or upload it again, whole")


def _qcow2_places(reader: ByteReader, facts: ImageFacts) -> Iterator[int]:
    """Yield the furthest offset of each L2 table."""
    cluster_bits = struct.unpack(">I", reader.read_at(20, 4))[0]
    l1_size, l1_offset = struct.unpack(">IQ", reader.read_at(36, 12))
    extended = _has_extended_l2(reader)
    for l1_entry in _words(reader, l1_offset, l1_size, "Q"):
        table = l1_entry & _OFFSET
        if not table:
            continue
        yield table
        if table >= reader.size:
            continue
        words = array.array("Q", _word_list(reader, table, (1 << cluster_bits) // 8, "Q"))
        yield _furthest(words[::2] if extended else words, cluster_bits, shares_zero_bit=not extended)


def _has_extended_l2(reader: ByteReader) -> bool:
    version = struct.unpack(">I", reader.read_at(4, 4))[0]
    return bool(version >= 3 and struct.unpack(">Q", reader.read_at(72, 8))[0] & 1 << 4)


def _furthest(entries: array.array[int], cluster_bits: int, *, shares_zero_bit: bool) -> int:
    furthest = 0
    compressed_offset = (1 << (62 - (cluster_bits - 8))) - 1
    for entry in entries:
        if entry & _COMPRESSED:
            offset = entry & compressed_offset
        elif shares_zero_bit and entry & _ZERO:
            continue
        else:
            offset = entry & _OFFSET
        furthest = max(furthest, offset)
    return furthest


def _vdi_places(reader: ByteReader, facts: ImageFacts) -> Iterator[int]:
    map_at, data_at = struct.unpack_from("<II", reader.read_at(0x154, 8))
    block_bytes, _, blocks = struct.unpack_from("<III", reader.read_at(0x178, 12))
    for entry in _words(reader, map_at, blocks, "I", little=True):
        if entry < _NOWHERE - 1:
            yield data_at + (entry + 1) * block_bytes - 1


def _vpc_places(reader: ByteReader, facts: ImageFacts) -> Iterator[int]:
    if facts.subformat == "fixed":
        return
    footer = reader.read_at(0, 512)
    header_at = struct.unpack_from(">Q", footer, 16)[0]
    header = reader.read_at(header_at, 1024)
    table_at, _, entries, block_bytes = struct.unpack_from(">QIII", header, 16)
    bitmap_bytes = -(-block_bytes // (512 * 8) // 512) * 512
    for entry in _words(reader, table_at, entries, "I"):
        if entry != _NOWHERE:
            yield entry * 512 + bitmap_bytes + block_bytes - 1


def _vmdk_places(reader: ByteReader, facts: ImageFacts) -> Iterator[int]:
    header = reader.read_at(0, 512)
    if not header.startswith(b"KDMV"):
        return
    capacity, grain, _, _, per_table, _, directory = struct.unpack_from("<QQQQIQQ", header, 12)
    if directory == (1 << 64) - 1:  # streamOptimized: the real header is in the footer, 1024 bytes before the end
        footer = reader.read_at(reader.size - 1024, 512)
        if not footer.startswith(b"KDMV"):
            yield reader.size
            return
        directory = struct.unpack_from("<Q", footer, 56)[0]
    tables = -(-capacity // (grain * per_table))
    for table in _words(reader, directory * 512, tables, "I", little=True):
        if not table:
            continue
        yield table * 512
        entries = _word_list(reader, table * 512, per_table, "I", little=True)
        yield max((entry for entry in entries if entry > 1), default=0) * 512


def _words(reader: ByteReader, offset: int, count: int, kind: str, *, little: bool = False) -> Iterator[int]:
    """Stream numbers from a table; one that is cut off ends early."""
    width = 8 if kind == "Q" else 4
    step = _PIECE_BYTES // width
    for start in range(0, count, step):
        yield from _word_list(reader, offset + start * width, min(step, count - start), kind, little=little)


def _word_list(reader: ByteReader, offset: int, count: int, kind: str, *, little: bool = False) -> array.array[int]:
    width = 8 if kind == "Q" else 4
    raw = reader.read_at(offset, count * width)
    words = array.array(kind, raw[: len(raw) // width * width])
    if little != (sys.byteorder == "little"):
        words.byteswap()
    return words


_FINDERS: dict[str, Callable[[ByteReader, ImageFacts], Iterator[int]]] = {
    "qcow2": _qcow2_places,
    "vdi": _vdi_places,
    "vpc": _vpc_places,
    "vmdk": _vmdk_places,
}
