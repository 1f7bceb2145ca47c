# SPDX-License-Identifier: Apache-2.0
"""Compressed raw images: the first bytes and, where the format tells, the size."""

from __future__ import annotations

import gzip
import lzma
import subprocess

import pytest

from vmferry.engine.errors import NotADiskImage
from vmferry.engine.images.compressed import PEEK_BYTES, peek, whole_size
from vmferry.engine.images.reader import BytesReader

_DATA = b"disk" * (1 << 20)


def _compress(kind: str) -> bytes:
    if kind == "gz":
        return gzip.compress(_DATA)
    if kind == "xz":
        return lzma.compress(_DATA)
    return subprocess.run(["zstd", "-q"], input=_DATA, stdout=subprocess.PIPE, check=True).stdout


@pytest.mark.parametrize("kind", ["gz", "xz", "zst"])
def test_the_start_is_decompressed_and_no_more(kind: str) -> None:
    assert peek(BytesReader(_compress(kind), "x"), kind) == _DATA[:PEEK_BYTES]


def test_a_stream_that_was_cut_off_still_shows_its_start() -> None:
    random_bytes = bytes(index * 7919 % 251 for index in range(1 << 16))
    packed = gzip.compress(random_bytes)
    assert random_bytes.startswith(peek(BytesReader(packed[: len(packed) // 2], "x"), "gz")[:16])


@pytest.mark.parametrize("kind", ["gz", "xz", "zst"])
def test_a_damaged_stream_is_no_image(kind: str) -> None:
    packed = bytearray(_compress(kind))
    for offset in range(8, 24):
        packed[offset] ^= 0x5A
    with pytest.raises(NotADiskImage, match="cannot be decompressed"):
        peek(BytesReader(bytes(packed), "x"), kind)


def test_xz_tells_its_size_unless_it_is_of_several_streams() -> None:
    packed = lzma.compress(_DATA)
    assert whole_size(BytesReader(packed, "x"), "xz") == len(_DATA)
    assert whole_size(BytesReader(packed + packed, "x"), "xz") is None
    assert whole_size(BytesReader(_compress("gz"), "x"), "gz") is None


def test_zst_tells_its_size_when_it_was_known_at_its_making() -> None:
    packed = subprocess.run(
        ["zstd", "-q", f"--stream-size={len(_DATA)}"], input=_DATA, stdout=subprocess.PIPE, check=True
    )
    assert whole_size(BytesReader(packed.stdout, "x"), "zst") == len(_DATA)
    assert whole_size(BytesReader(_compress("zst"), "x"), "zst") is None
