# SPDX-License-Identifier: Apache-2.0
"""The steps of a VM's backup: look, open a point, copy each disk, close the point, publish. And all of them in one go.

A step that runs again finds what the try before made: the point by its owner, the backup by its owner, the copy by its
journal.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vmferry.engine.errors import EngineError
from vmferry.operations import papers
from vmferry.operations.opening import close_dead, nobody_is_dead, open_point
from vmferry.operations.selection import choose_disks, name_disks
from vmferry.operations.values import Json, OpenBackup, VmInfo
from vmferry.operations.ways import log_second, over_ways
from vmferry.platforms.contract import Source
from vmferry.platforms.errors import NotThere
from vmferry.platforms.points import Access, Point
from vmferry.platforms.runs import RunId
from vmferry.policy.vm import VmPolicy
from vmferry.vault import Backup, BackupDisk, Changes, Pace, Vault, abandon, add_disk, open_vault, read_open_point
from vmferry.vault import publish as publish_backup
from vmferry.vault.adding import PLAIN_PACE
from vmferry.vault.catalogue import read_entry
from vmferry.vault.layout import is_published

_log = logging.getLogger(__name__)

BITMAP = "dirty"
"""What to ask a point's source for; the platform's transfer decides which bitmap that is."""

__all__ = [
    "abandon_backup",
    "back_up_disk",
    "back_up_vm",
    "check_vm_lock",
    "close_point",
    "get_vm_info",
    "open_point",
    "publish",
]


def get_vm_info(source: Source, vault: Vault, policy: VmPolicy) -> VmInfo:
    """Describe the VM and say which disks are going to be backed up."""
    vm = source.describe(policy.name)
    disks, skipped = choose_disks(vm, policy.exclude_disks)
    names = name_disks(vault, vm.name, disks)
    return VmInfo(
        vm.id, vm.name, source.site, vm.status, tuple(names[disk.id] for disk in disks),
        sum(disk.size_bytes for disk in disks), skipped,
    )  # fmt: skip


def check_vm_lock(
    source: Source, policy: VmPolicy, run: RunId, *, is_dead: Callable[[str], bool] = nobody_is_dead
) -> Json:
    """Raise `VmBusy` when the VM or a disk is locked, or another run is at it; points of dead runs are closed first."""
    vm = source.describe(policy.name)
    closed = close_dead(source, vm.id, run, is_dead)
    if closed:
        vm = source.describe(policy.name)
    source.check_free(vm, run)
    return {"vm": vm.name, "status": vm.status, "closed": list(closed)}


def back_up_disk(source: Source, opened: OpenBackup, disk: str, *, pace: Pace = PLAIN_PACE) -> Json:
    """Copy one disk into the backup; goes on where an earlier try stopped. Gives what was done."""
    planned = opened.disk(disk)
    path = _backup_dir(opened)
    if opened.point is None or is_published(path):
        return _report(read_entry(path).require().disk(disk))
    vault_point = read_open_point(path)
    done = vault_point.done(disk)
    if done is not None:
        return _report(done)
    point = opened.point
    changes = Changes(
        bitmap=BITMAP if planned.changes else None,
        from_checkpoint=point.since if planned.changes else None,
        to_checkpoint=planned.checkpoint,
    )

    def copy() -> BackupDisk:
        with _reading(source, point, planned.id) as access:
            return add_disk(vault_point, disk, access.spec, changes=changes, pace=pace, secrets=access.secrets)

    return _report(over_ways(copy, f"VM {opened.vm!r}, disk {disk}"))


def close_point(source: Source, vm: str, run: RunId) -> Json:
    """Give back everything this run holds on the VM (id or name). May be called twice, and when nothing was opened."""
    try:
        vm_id = source.describe(vm).id
    except NotThere:
        return {"closed": []}
    return {"closed": list(source.close_point(vm_id, run))}


def publish(opened: OpenBackup, *, source: Source | None = None) -> Json:
    """Make the backup exist. With a source, checkpoints that no backup needs any more are removed as well."""
    path = _backup_dir(opened)
    if is_published(path):
        backup = read_entry(path).require()
    else:
        written = papers.read(path)
        backup = publish_backup(
            read_open_point(path), consistency=written.consistency, hardware=written.hardware, ovf=written.document
        )
    if source is not None:
        _forget_checkpoints(source, opened, backup)
    return _summary(opened, backup)


def abandon_backup(opened: OpenBackup) -> Json:
    """Drop an unfinished backup for good, so that the next run need not wait. A published one is left alone."""
    path = _backup_dir(opened)
    if path.exists() and not is_published(path):
        abandon(read_open_point(path))
        return {"abandoned": opened.backup}
    return {"abandoned": None}


def back_up_vm(
    source: Source,
    vault: Vault,
    policy: VmPolicy,
    run: RunId,
    *,
    full: bool | None = None,
    now: datetime | None = None,
    pace: Callable[[str], Pace] = lambda disk: PLAIN_PACE,
    is_dead: Callable[[str], bool] = nobody_is_dead,
) -> Json:
    """Make a backup in one go. After any failure, also a kill, the same call with the same run goes on."""
    check_vm_lock(source, policy, run, is_dead=is_dead)
    try:
        opened = open_point(source, vault, policy, run, full=full, now=now or datetime.now(UTC), is_dead=is_dead)
        _copy_all(source, opened, pace, policy.placement.max_disks_at_once)
    finally:
        _close_quietly(source, policy.name, run)
    return publish(opened, source=source)


def _copy_all(source: Source, opened: OpenBackup, pace: Callable[[str], Pace], at_once: int) -> None:
    with ThreadPoolExecutor(max(1, min(at_once, len(opened.disks)))) as pool:
        list(pool.map(lambda disk: back_up_disk(source, opened, disk.name, pace=pace(disk.name)), opened.disks))


def _close_quietly(source: Source, vm: str, run: RunId) -> None:
    """Close the point; where that fails too, the first failure is what counts, and the janitor comes later."""
    try:
        close_point(source, vm, run)
    except EngineError as error:
        log_second(error, f"VM {vm!r}: the point of run {run} could not be closed")


@contextmanager
def _reading(source: Source, point: Point, disk_id: str) -> Iterator[Access]:
    access = source.readable(point, disk_id)
    try:
        yield access
    except BaseException:
        try:
            source.end_reading(point, disk_id)
        except EngineError as error:
            log_second(error, f"VM {point.vm!r}, disk {disk_id}: its transfer could not be given back")
        raise
    source.end_reading(point, disk_id)


def _forget_checkpoints(source: Source, opened: OpenBackup, backup: Backup) -> None:
    keep = [disk.to_checkpoint for disk in backup.disks if disk.to_checkpoint]
    if not keep:
        return
    try:
        source.forget_checkpoints(opened.vm_id, keep)
    except EngineError as error:
        # They cost little, and the next run removes them.
        _log.warning("vm=%s old checkpoints stay for now: %s", opened.vm, error)


def _summary(opened: OpenBackup, backup: Backup) -> Json:
    return {
        "vm": opened.vm,
        "site": opened.site,
        "backup": backup.id,
        "mode": backup.mode.value,
        "consistency": backup.consistency.value,
        "full_because": opened.full_because,
        "notes": list(opened.notes),
        "skipped": [one.to_json() for one in opened.skipped],
        "disks": [_report(disk) for disk in backup.disks],
        "read_bytes": sum(disk.read_bytes for disk in backup.disks),
        "written_bytes": sum(disk.image.size_bytes for disk in backup.disks),
    }


def _report(disk: BackupDisk | None) -> Json:
    assert disk is not None, "the backup was published with other disks than it was opened with"  # noqa: S101
    said: dict[str, Any] = {name: getattr(disk, name) for name in _REPORTED}
    return {**said, "mode": disk.mode.value, "method": disk.method.value, "stored_bytes": disk.image.size_bytes}


_REPORTED = ("name", "id", "size_bytes", "reason", "root", "read_bytes", "changed_bytes", "resumed_bytes", "seconds")


def _backup_dir(opened: OpenBackup) -> Path:
    return open_vault(opened.vault).vm_dir(opened.vm) / opened.backup
