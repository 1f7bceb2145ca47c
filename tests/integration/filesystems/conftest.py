# SPDX-License-Identifier: Apache-2.0
"""Sound disks, made once per test run and copied for every test that damages one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab.disks import LabDisk, copy_disk, make_disk, make_file_system

DiskMaker = Callable[[str, str], LabDisk]
"""(file system, table) -> a disk of one's own."""


class _Shelf:
    """Makes every file system and every disk once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file_systems: dict[str, Path] = {}
        self._disks: dict[tuple[str, str], LabDisk] = {}

    def disk(self, kind: str, table: str) -> LabDisk:
        if kind not in self._file_systems:
            self._file_systems[kind] = make_file_system(self._folder / f"{kind}.img", kind)
        if (kind, table) not in self._disks:
            path = self._folder / f"{kind}-{table}.raw"
            split = table == "split-lvm"
            disk = make_disk(path, "lvm" if split else table, self._file_systems[kind], kind, split=split)
            self._disks[kind, table] = disk
        return self._disks[kind, table]


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> _Shelf:
    return _Shelf(tmp_path_factory.mktemp("disks"))


@pytest.fixture
def make_lab_disk(shelf: _Shelf, tmp_path: Path) -> Iterator[DiskMaker]:
    """Give copies of sound disks."""
    path = tmp_path / "disk.raw"
    yield lambda kind, table: copy_disk(shelf.disk(kind, table), path)
    path.unlink(missing_ok=True)  # a hundred of them would fill the test machine's disk
