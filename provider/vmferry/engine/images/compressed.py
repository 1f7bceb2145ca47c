# SPDX-License-Identifier: Apache-2.0
"""Look into a compressed raw image: its first MiB, and its whole size where the format says it."""

from __future__ import annotations

import lzma
import shutil
import struct
import subprocess
import zlib

from vmferry.engine.errors import NotADiskImage, ToolMissing
from vmferry.engine.images.reader import ByteReader

PEEK_BYTES = 1 << 20
_INPUT_BYTES = 4 << 20
_XZ_MEMORY_BYTES = 1 << 30
_MAX_INDEX_BYTES = 64 << 20


def peek(reader: ByteReader, compression: str) -> bytes:
    """Decompress up to the first MiB; raises `NotADiskImage` when the stream is damaged there."""
    data = reader.read_at(0, _INPUT_BYTES)
    try:
        if compression == "gz":
            return zlib.decompressobj(wbits=31).decompress(data, PEEK_BYTES)
        if compression == "xz":
            return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES).decompress(data, PEEK_BYTES)
    except (zlib.error, lzma.LZMAError) as error:
        raise NotADiskImage(f"{reader.name}: cannot be decompressed: {error}", fix="the file is damaged") from error
    return _peek_zst(reader.name, data)


def whole_size(reader: ByteReader, compression: str) -> int | None:
    """Say how long the decompressed image is; None when the format does not tell."""
    if compression == "xz":
        return _xz_size(reader)
    return _zst_size(reader.read_at(0, 18)) if compression == "zst" else None


def _peek_zst(name: str, data: bytes) -> bytes:
    if shutil.which("zstd") is None:
        raise ToolMissing(f"{name}: the program zstd is not installed", fix="install the package zstd")
    command = ["zstd", "-dcq", "--memory=1024MB"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    ) as child:
        try:
            # The input is cut off on purpose, so only what comes out counts, not how zstd ends.
            out, said = child.communicate(data[:PEEK_BYTES], timeout=60)
        finally:
            child.kill()
    if not out:
        reason = said.decode("utf-8", "replace").strip().splitlines()
        raise NotADiskImage(f"{name}: cannot be decompressed: {reason[-1] if reason else 'no output'}")
    return out[:PEEK_BYTES]


def _zst_size(head: bytes) -> int | None:
    """Read Frame_Content_Size (RFC 8878, 3.1.1.1); right only for a file of one frame, so it is a hint."""
    if len(head) < 6:
        return None
    descriptor = head[4]
    width = (0, 2, 4, 8)[descriptor >> 6]
    single = bool(descriptor & 0x20)
    if width == 0 and not single:
        return None
    at = 5 + (0 if single else 1) + (0, 1, 2, 4)[descriptor & 3]
    width = width or 1
    return int.from_bytes(head[at : at + width], "little") + (256 if width == 2 else 0)


def _xz_size(reader: ByteReader) -> int | None:
    """Add up the index of a one-stream .xz file; None when it is of several streams or damaged."""
    footer = reader.read_at(reader.size - 12, 12)
    if footer[-2:] != b"YZ":
        return None
    index_bytes = (struct.unpack_from("<I", footer, 4)[0] + 1) * 4
    start = reader.size - 12 - index_bytes
    if index_bytes > _MAX_INDEX_BYTES or start < 12:
        return None
    raw = reader.read_at(start, index_bytes)
    if zlib.crc32(raw[:-4]) != struct.unpack_from("<I", raw, len(raw) - 4)[0] or raw[0] != 0:
        return None
    return _sum_index(raw, start)


def _sum_index(raw: bytes, index_at: int) -> int | None:
    count, at = _varint(raw, 1)
    unpadded_total = size = 0
    for _ in range(count):
        unpadded, at = _varint(raw, at)
        uncompressed, at = _varint(raw, at)
        unpadded_total += -(-unpadded // 4) * 4
        size += uncompressed
    # 12 bytes of stream header come before the blocks; anything else means there was another stream.
    return size if unpadded_total + 12 == index_at else None


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(raw):
        value |= (raw[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not raw[at - 1] & 0x80:
            break
    return value, at
