# SPDX-License-Identifier: Apache-2.0
"""Healthy and damaged file systems under every kind of table: the right verdict each, damaged never passes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from lab.disk_damage import DAMAGES, damage
from lab.disks import FILE_SYSTEMS, TABLES, LabDisk, fingerprint

from vmferry.engine.filesystems.fsck import Policy, check_disk
from vmferry.engine.filesystems.verdict import Verdict

pytestmark = pytest.mark.root
DiskMaker = Callable[[str, str], LabDisk]
_PLACES = {"gpt": "partition 1", "mbr": "partition 1", "bare": "whole disk", "lvm": "LV lab/root"}
_KINDS = {"gpt": "gpt", "mbr": "mbr", "bare": "none", "lvm": "gpt"}
# Every damage is tried under one table, in turn, so that each file system is seen damaged under all of them.
_DAMAGED = [
    pytest.param(kind, TABLES[index % len(TABLES)], what, id=f"{kind}-{TABLES[index % len(TABLES)]}-{what}")
    for kind in FILE_SYSTEMS
    for index, what in enumerate(DAMAGES[kind])
]
_BEYOND_REPAIR = {
    ("btrfs", what) for what in DAMAGES["btrfs"]  # we never run btrfs check --repair
} | {
    # ntfsfix mends boot sectors, nothing else
    ("ntfs", what) for what in DAMAGES["ntfs"] if what not in ("boot-sector-magic", "backup-boot-sector")
} | {
    ("xfs", "root-inode-mode"),  # xfs_repair 6.1 fails: "couldn't map inode 128"
    ("xfs", "root-inode-size"),
    ("vfat", "boot-sector-magic"),
    ("vfat", "boot-sector-fat-size"),
}  # fmt: skip


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("kind", FILE_SYSTEMS)
def test_a_healthy_disk_is_clean(make_lab_disk: DiskMaker, kind: str, table: str) -> None:
    disk = make_lab_disk(kind, table)
    found = check_disk(disk.path)
    assert [(one.where, one.type, one.verdict) for one in found.items] == [(_PLACES[table], kind, Verdict.CLEAN)]
    assert (found.verdict, found.table.kind, found.table.problems) == (Verdict.CLEAN, _KINDS[table], ())


@pytest.mark.parametrize("kind", ["ext2", "ext3"])
def test_the_older_exts_are_known_apart(make_lab_disk: DiskMaker, kind: str) -> None:
    item = check_disk(make_lab_disk(kind, "mbr").path).items[0]
    assert (item.type, item.verdict) == (kind, Verdict.CLEAN)


@pytest.mark.parametrize(("kind", "table", "what"), _DAMAGED)
def test_a_damaged_disk_never_passes(make_lab_disk: DiskMaker, kind: str, table: str, what: str) -> None:
    disk = make_lab_disk(kind, table)
    damage(disk, what)
    before = fingerprint(disk.path)
    item = check_disk(disk.path).items[0]
    assert (item.where, item.type, item.verdict) == (_PLACES[table], kind, Verdict.DAMAGED)
    assert item.meaning
    assert item.fix
    assert fingerprint(disk.path) == before

    mended = check_disk(disk.path, Policy.REPAIR).items[0]
    expected = Verdict.DAMAGED if (kind, what) in _BEYOND_REPAIR else Verdict.REPAIRED
    assert mended.verdict is expected, mended.meaning
    assert check_disk(disk.path).verdict is (Verdict.CLEAN if expected is Verdict.REPAIRED else Verdict.DAMAGED)


def test_a_repair_of_a_healthy_disk_writes_nothing(make_lab_disk: DiskMaker) -> None:
    disk = make_lab_disk("ext4", "gpt")
    before = fingerprint(disk.path)
    assert check_disk(disk.path, "repair").verdict is Verdict.CLEAN
    assert fingerprint(disk.path) == before


def test_a_volume_in_several_pieces_is_checked_as_a_copy(make_lab_disk: DiskMaker) -> None:
    disk = make_lab_disk("ext4", "split-lvm")
    assert len(disk.runs) == 2
    assert check_disk(disk.path).verdict is Verdict.CLEAN
    damage(disk, "block-bitmap")
    item = check_disk(disk.path, "repair").items[0]
    assert (item.verdict, item.fix) == (
        Verdict.DAMAGED,
        "it lies in several pieces: repair it where LVM can be activated",
    )


def test_skip_lists_what_is_there_and_runs_nothing(make_lab_disk: DiskMaker) -> None:
    item = check_disk(make_lab_disk("vfat", "gpt").path, "skip").items[0]
    assert (item.type, item.verdict, item.tool) == ("vfat", Verdict.SKIPPED, None)
