"""Lets days pass for a VM's backups: a test cannot wait for them, and retention counts them."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

from vmferry.vault import Backup, BackupDisk, Vault, list_shelves, sealed
from vmferry.vault.catalogue import Entry
from vmferry.vault.digest import store
from vmferry.vault.guide import build_checksums
from vmferry.vault.layout import CHECKSUMS, GUIDE, POINT
from vmferry.vault.names import build_id
from vmferry.vault.publishing import stored_file


def let_days_pass(vault: Vault, vm: str, days: Sequence[int]) -> dict[str, str]:
    """Make each backup, the oldest first, so many days older than the newest; give the new ids by the old ones.

    All that names a backup is written anew, as it would stand there if they had been made then.
    """
    (shelf,) = list_shelves(vault, vm)
    today = shelf.backups[-1].moment.date()
    names: dict[str, str] = {}
    for number, (backup, ago) in enumerate(zip(shelf.backups, days, strict=True)):
        noon = datetime.combine(today - timedelta(days=ago), time(12), UTC)
        names[backup.id] = backup.id if not ago else _rename(shelf.dir, backup, noon + timedelta(minutes=number))
    for entry in shelf.entries:
        _write_anew(entry, names)
    for old, new in names.items():
        (shelf.dir / old).rename(shelf.dir / new)
    return names


def _rename(vm_dir: Path, backup: Backup, moment: datetime) -> str:
    return build_id(vm_dir.name, moment, backup.mode.value)


def _write_anew(entry: Entry, names: Mapping[str, str]) -> None:
    backup = entry.require()
    guide = (entry.dir / GUIDE).read_text()
    for old, new in names.items():
        guide = guide.replace(old, new)
    (entry.dir / GUIDE).write_text(guide)
    disks = tuple(_point_elsewhere(entry, disk, names) for disk in backup.disks)
    papers = [store(entry.dir / file.name) for file in backup.files if file.name != CHECKSUMS]
    checksums = build_checksums([*papers, *(file for disk in disks for file in (disk.image, disk.proof))])
    (entry.dir / CHECKSUMS).write_bytes(checksums)
    files = (*papers, stored_file(CHECKSUMS, checksums))
    aged = replace(backup, id=names[backup.id], disks=disks, files=files)
    sealed.write(entry.dir / POINT, aged.to_json())


def _point_elsewhere(entry: Entry, disk: BackupDisk, names: Mapping[str, str]) -> BackupDisk:
    if disk.parent is None:
        return disk
    backing = f"../{names[disk.parent]}/{disk.image.name}"
    image = entry.dir / disk.image.name
    # Only the name of its backing file: no byte of the guest's is touched.
    command = ["qemu-img", "rebase", "-u", "-f", "qcow2", "-F", "qcow2", "-b", backing, str(image)]
    subprocess.run(command, check=True, capture_output=True)
    return replace(disk, parent=names[disk.parent], backing=backing, image=store(image))
