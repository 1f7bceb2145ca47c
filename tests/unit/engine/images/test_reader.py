# SPDX-License-Identifier: Apache-2.0
"""Readers open plain files and devices only, and only once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vmferry.engine.errors import NotADiskImage, ShortRead, Unreadable
from vmferry.engine.images.reader import FileReader, read_exactly


def test_reads_stop_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"0123456789")
    with FileReader(path) as reader:
        assert (reader.size, reader.read_at(8, 10), reader.read_at(20, 5)) == (10, b"89", b"")
        with pytest.raises(ShortRead, match="ends before byte 18"):
            read_exactly(reader, 8, 10)


def test_a_swapped_name_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"first")
    with FileReader(path) as reader:
        path.unlink()
        path.write_bytes(b"other")
        assert reader.read_at(0, 5) == b"first"


def test_a_fifo_is_refused_without_waiting_for_its_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NotADiskImage, match="no plain file"):
        FileReader(tmp_path / "pipe")


@pytest.mark.parametrize(
    ("name", "error"),
    [
        pytest.param("missing", Unreadable, id="missing"),
        pytest.param(".", NotADiskImage, id="directory"),
        pytest.param("bad\0name", Unreadable, id="no-path"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"missing|directory|no path"):
        FileReader(f"{tmp_path}/{name}")
