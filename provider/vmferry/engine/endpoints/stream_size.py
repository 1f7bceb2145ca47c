# SPDX-License-Identifier: Apache-2.0
"""How large a compressed image is once decompressed: as its format says, else by decoding it once."""

from __future__ import annotations

from typing import Optional

from vmferry.engine.endpoints.stream_decoder import iterate, open_decoder
from vmferry.engine.errors import RefusedImage
from vmferry.engine.images.compressed import whole_size
from vmferry.engine.images.reader import ByteReader
from vmferry.engine.units import format_bytes

_ZSTD_FRAME = b"\x28\xb5\x2f\xfd"


def find_size(feed: ByteReader, compression: str, max_bytes: int, known_bytes: Optional[int] = None) -> int:
    """Find the size. Only the size is held against the limit, not the ratio: 1 TiB of zeros is a fine disk."""
    said = known_bytes or _size_in_format(feed, compression)
    if said is not None:
        return _check_size(feed.name, said, max_bytes)
    decoder = open_decoder(feed, compression)
    try:
        total = 0
        for piece in iterate(decoder):
            total = _check_size(feed.name, total + len(piece), max_bytes)
        return total
    finally:
        decoder.close()


def _size_in_format(feed: ByteReader, compression: str) -> Optional[int]:
    """Ask the format. The size in a zst file is that of its first frame; that there is no other is seen at the end.

    pzstd makes many frames, and puts a frame of another kind before the first: such a file has to be decoded.
    """
    if compression == "zst" and feed.read_at(0, 4) != _ZSTD_FRAME:
        return None
    return whole_size(feed, compression)


def _check_size(name: str, size_bytes: int, max_bytes: int) -> int:
    if size_bytes > max_bytes:
        raise RefusedImage(
            f"{name}: holds more than {format_bytes(max_bytes)} once decompressed",
            fix="raise the limit if this is really meant",
        )
    return size_bytes
