# SPDX-License-Identifier: Apache-2.0
"""What `btrfs check` does not tell: whether both copies of every metadata block are the same.

It reads one copy, goes on with the other when that is broken, and ends with 0. So we walk all trees and compare the
copies; whether their common content is right is what `btrfs check` says.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from vmferry.engine.filesystems.findings import Findings
from vmferry.engine.images.crc32c import crc32c
from vmferry.engine.images.reader import ByteReader

SUPERBLOCK_OFFSETS = (64 << 10, 64 << 20, 256 << 30)
_SUPERBLOCK_BYTES = 4096
_MAGIC = b"_BHRfS_M"
_CSUM_CRC32C = 0
_KEY = struct.Struct("<QBQ")
_CHUNK_ITEM, _ROOT_ITEM = 228, 132
_STRIPED = 0x8 | 0x40 | 0x80 | 0x100  # RAID0, 10, 5, 6
_HEADER_BYTES = 101
_MAX_DEPTH = 8


class _Chunk(NamedTuple):
    start: int
    length: int
    striped: bool
    copies: tuple[int, ...]
    """Physical offset of each copy on this device."""


class BadTree(ValueError):
    """A tree that cannot be walked."""


def superblock_is_sound(raw: bytes) -> bool:
    """Check the magic and, where it is CRC-32C, the checksum of a superblock."""
    if len(raw) < _SUPERBLOCK_BYTES or raw[0x40:0x48] != _MAGIC:
        return False
    if struct.unpack_from("<H", raw, 0xC4)[0] != _CSUM_CRC32C:
        return True
    return crc32c(raw[32:]) == int.from_bytes(raw[:4], "little")


def look_at_btrfs(reader: ByteReader) -> Findings:
    """Compare the superblocks and both copies of every tree block."""
    found = Findings()
    main = reader.read_at(SUPERBLOCK_OFFSETS[0], _SUPERBLOCK_BYTES)
    for offset in SUPERBLOCK_OFFSETS:
        raw = reader.read_at(offset, _SUPERBLOCK_BYTES)
        if offset + _SUPERBLOCK_BYTES <= reader.size and not superblock_is_sound(raw):
            found.add_damage(f"the superblock at {offset} is damaged")
    if struct.unpack_from("<Q", main, 0x88)[0] != 1:
        found.incomplete = "it spans several devices; check it where all of them are together"
    if not found.damage and not found.incomplete:
        try:
            _Walk(reader, main, found).run()
        except (BadTree, struct.error, IndexError) as error:
            found.add_damage(f"its trees cannot be walked: {error}")
    return found


class _Walk:
    """One walk through all trees of a file system on one device."""

    def __init__(self, reader: ByteReader, superblock: bytes, found: Findings) -> None:
        self._reader, self._found = reader, found
        self._roots = struct.unpack_from("<QQQ", superblock, 0x50)
        self._device = struct.unpack_from("<Q", superblock, 0xC9)[0]
        self._node_bytes = struct.unpack_from("<I", superblock, 0x94)[0]
        if not 4096 <= self._node_bytes <= 65536:
            raise BadTree(f"tree blocks of {self._node_bytes} bytes")
        array_bytes = struct.unpack_from("<I", superblock, 0xA0)[0]
        self._chunks = list(self._parse_array(superblock[0x32B:][: min(array_bytes, 2048)]))
        self._seen: set[int] = set()

    def run(self) -> None:
        root, chunk_root, log_root = self._roots
        self._chunks = [self._parse_chunk(key, data) for key, data in self._items(chunk_root, _CHUNK_ITEM)]
        trees = [struct.unpack_from("<Q", data, 176)[0] for _, data in self._items(root, _ROOT_ITEM)]
        for tree in (*trees, log_root):
            if tree:
                for _ in self._items(tree, -1):
                    pass
        if log_root:
            self._found.notes.append("its log tree holds changes that the next mount puts in place")

    def _items(self, root: int, kind: int) -> Iterator[tuple[int, bytes]]:
        """Walk a tree; yields (key offset, data) of the items of one kind."""
        stack = [(root, 0)]
        while stack:
            logical, depth = stack.pop()
            if logical in self._seen or depth > _MAX_DEPTH:
                continue
            self._seen.add(logical)
            node = self._read_node(logical)
            count, level = struct.unpack_from("<IB", node, 96)
            if level:
                stack.extend(
                    (struct.unpack_from("<Q", node, _HEADER_BYTES + 33 * index + 17)[0], depth + 1)
                    for index in range(min(count, self._node_bytes // 33))
                )
                continue
            for index in range(min(count, self._node_bytes // 25)):
                at = _HEADER_BYTES + 25 * index
                _, item_kind, key_offset = _KEY.unpack_from(node, at)
                if item_kind == kind:
                    start, size = struct.unpack_from("<II", node, at + 17)
                    yield key_offset, node[_HEADER_BYTES + start :][:size]

    def _read_node(self, logical: int) -> bytes:
        copies = [self._reader.read_at(place, self._node_bytes) for place in self._places(logical)]
        for copy in copies[1:]:
            if copy != copies[0]:
                self._found.add_damage(f"the two copies of the metadata block {logical} differ")
        # A block names its own place; take the copy that does.
        for copy in copies:
            if len(copy) == self._node_bytes and struct.unpack_from("<Q", copy, 48)[0] == logical:
                return copy
        raise BadTree(f"no copy of the metadata block {logical} is right")

    def _places(self, logical: int) -> list[int]:
        for chunk in self._chunks:
            if chunk.start <= logical < chunk.start + chunk.length:
                if chunk.striped:
                    raise BadTree("its metadata is striped")
                return [place + logical - chunk.start for place in chunk.copies]
        raise BadTree(f"the metadata block {logical} lies in no chunk")

    def _parse_array(self, raw: bytes) -> Iterator[_Chunk]:
        at = 0
        while at + _KEY.size + 48 <= len(raw):
            _, _, logical = _KEY.unpack_from(raw, at)
            data = raw[at + _KEY.size :]
            yield self._parse_chunk(logical, data)
            at += _KEY.size + 48 + 32 * struct.unpack_from("<H", data, 44)[0]

    def _parse_chunk(self, logical: int, data: bytes) -> _Chunk:
        length, _, _, kind = struct.unpack_from("<QQQQ", data)
        places = []
        for index in range(struct.unpack_from("<H", data, 44)[0]):
            device, offset = struct.unpack_from("<QQ", data, 48 + 32 * index)
            if device == self._device:
                places.append(offset)
        return _Chunk(logical, length, bool(kind & _STRIPED), tuple(places))
