# SPDX-License-Identifier: Apache-2.0
"""Holes of real files."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmferry.engine.endpoints import sparse
from vmferry.engine.extents import Extent
from vmferry.engine.units import KiB, MiB, TiB


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    number = os.open(tmp_path / "disk", os.O_RDWR | os.O_CREAT)
    yield number
    os.close(number)


def test_a_fragmented_file_streams_all_its_pieces(fd: int) -> None:
    count, step = 2000, 64 * KiB
    os.ftruncate(fd, count * step)
    for number in range(count):
        os.pwrite(fd, b"x" * 4096, number * step + 8192)
    extents = list(sparse.find_extents(fd, count * step))
    data = [extent.start for extent in extents if not extent.zero]
    assert data == [number * step + 8192 for number in range(count)]
    assert sum(extent.length for extent in extents) == count * step


def test_a_terabyte_hole_is_zeroed_at_once_and_stays_a_hole(fd: int) -> None:
    os.ftruncate(fd, 4 * TiB)
    sparse.zero_range(fd, 0, 4 * TiB)
    assert os.fstat(fd).st_blocks == 0
    assert list(sparse.find_extents(fd, 4 * TiB)) == [Extent(0, 4 * TiB, True)]


def test_zeroing_gives_the_space_back(fd: int) -> None:
    os.pwrite(fd, random.Random(1).randbytes(2 * MiB), 0)
    os.fsync(fd)
    sparse.zero_range(fd, 0, 2 * MiB)
    assert os.fstat(fd).st_blocks == 0
    assert os.fstat(fd).st_size == 2 * MiB


def test_an_empty_file_has_no_extents(fd: int) -> None:
    assert list(sparse.find_extents(fd, 0)) == []


@pytest.mark.parametrize("broken", ["_punch", "_zero_out"], ids=["no-holes", "no-holes-no-offload"])
@given(offset=st.integers(0, 70_000), length=st.integers(1, 70_000), sector=st.sampled_from([1, 512, 4096]))
@settings(max_examples=25, deadline=None)
def test_zeroing_hits_the_range_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, broken: str, offset: int, length: int, sector: int
) -> None:
    content = random.Random(offset).randbytes(140_000)
    path = tmp_path_factory.mktemp("zero") / "disk"
    path.write_bytes(content)
    number = os.open(path, os.O_RDWR)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sparse, broken, _refuse)
        sparse.zero_range(number, offset, length, sector)
    os.close(number)
    assert path.read_bytes() == content[:offset] + bytes(length) + content[offset + length :]


def _refuse(*arguments: object) -> None:
    raise OSError(95, "Operation not supported")
