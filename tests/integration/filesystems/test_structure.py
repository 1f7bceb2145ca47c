# SPDX-License-Identifier: Apache-2.0
"""Structure is judged from a few bytes, through any endpoint, without root or tools."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from lab.disks import FILE_SYSTEMS, TABLES, LabDisk, flip_bit

from vmferry.engine.endpoint import EndpointSpec
from vmferry.engine.endpoints import open_source
from vmferry.engine.filesystems.structure import FindingKind, check_endpoint, check_structure
from vmferry.engine.images.reader import FileReader

pytestmark = pytest.mark.root
DiskMaker = Callable[[str, str], LabDisk]


@pytest.mark.parametrize("kind", FILE_SYSTEMS)
@pytest.mark.parametrize("table", TABLES)
def test_a_healthy_disk_has_no_findings(make_lab_disk: DiskMaker, kind: str, table: str) -> None:
    endpoint = open_source(EndpointSpec("file", str(make_lab_disk(kind, table).path)))
    try:
        found = check_endpoint(endpoint)
    finally:
        endpoint.close()
    assert found.findings == ()
    assert found.describe().endswith(kind)


@pytest.mark.parametrize(
    ("kind", "inside", "expected"),
    [
        pytest.param("ext4", 0x400 + 5, FindingKind.SUPERBLOCK_DAMAGED, id="ext4-checksum"),
        pytest.param("xfs", 15, FindingKind.SUPERBLOCK_DAMAGED, id="xfs-checksum"),
        pytest.param("btrfs", 0x10050, FindingKind.SUPERBLOCK_DAMAGED, id="btrfs-checksum"),
        pytest.param("ntfs", 41, FindingKind.SUPERBLOCK_DAMAGED, id="ntfs-boot-sector"),
        pytest.param("xfs", 0, FindingKind.SUPERBLOCK_DAMAGED, id="xfs-magic-gone-backup-left"),
        pytest.param("ext4", 0x438, FindingKind.SUPERBLOCK_DAMAGED, id="ext4-magic-gone-backup-left"),
    ],
)
def test_a_damaged_superblock_is_found(make_lab_disk: DiskMaker, kind: str, inside: int, expected: FindingKind) -> None:
    disk = make_lab_disk(kind, "gpt")
    flip_bit(disk.path, disk.offset_of(inside))
    with FileReader(disk.path) as reader:
        found = check_structure(reader).findings
    assert [(one.kind, one.where) for one in found] == [(expected, "partition 1")]


@pytest.mark.parametrize("content", [bytes(4 << 20), b"noise" * 100_000], ids=["zeros", "noise"])
def test_an_exact_copy_of_an_empty_disk_is_no_good_backup(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "disk.raw").write_bytes(content)
    with FileReader(tmp_path / "disk.raw") as reader:
        found = check_structure(reader).findings
    assert [one.kind for one in found] == [FindingKind.EMPTY]


def test_a_partition_whose_content_is_gone_is_found(make_lab_disk: DiskMaker) -> None:
    disk = make_lab_disk("vfat", "gpt")
    with disk.path.open("r+b") as file:
        file.seek(disk.offset_of(0))
        file.write(bytes(16 * 512))
    with FileReader(disk.path) as reader:
        found = check_structure(reader).findings
    assert [(one.kind, "vfat" in one.what) for one in found] == [(FindingKind.SUPERBLOCK_MISSING, True)]


def test_a_damaged_table_is_found(make_lab_disk: DiskMaker) -> None:
    disk = make_lab_disk("ext4", "gpt")
    flip_bit(disk.path, 512 + 16)
    with FileReader(disk.path) as reader:
        found = check_structure(reader).findings
    assert [one.kind for one in found] == [FindingKind.TABLE_DAMAGED]
