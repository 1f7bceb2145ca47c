# SPDX-License-Identifier: Apache-2.0
"""Begins a backup, or finds the one that its owner began before; decides what each disk may stand on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from vmferry.engine.errors import BadInput, EngineError
from vmferry.vault import sealed
from vmferry.vault.backup import Backup, DiskInfo, Mode
from vmferry.vault.catalogue import Shelf, read_shelf, require_known
from vmferry.vault.errors import VaultBusy
from vmferry.vault.layout import WORK, Vault, backup_dirs, image_name
from vmferry.vault.links import LONGEST_CHAIN_PATH_BYTES, chain_path_bytes, check_links
from vmferry.vault.lock import Hold, writing
from vmferry.vault.names import build_id, id_moment, next_moment
from vmferry.vault.openpoint import PLAN, Keeping, OpenPoint, PlannedDisk, read_open_point, unfinished_dirs
from vmferry.vault.quarantine import set_aside
from vmferry.vault.swap import finish_swaps

ABANDONED_AFTER_S = 24 * 3600
"""An unfinished point of somebody who works in steps is his for this long after he last wrote something."""


def begin_point(
    vault: Vault,
    vm: str,
    disks: Sequence[DiskInfo],
    *,
    owner: str,
    incremental: bool = False,
    vm_id: str | None = None,
    site: str | None = None,
    now: datetime | None = None,
) -> OpenPoint:
    """Begin a backup whose disks are added in steps, by any process.

    May be called again: the owner gets the same point. Raises `VaultBusy` when somebody else writes a backup
    of this VM.
    """
    asked = _asked(vault, vm, disks, owner, Keeping.STEPS, incremental, vm_id, site, now)
    with writing(asked.dir.parent, Hold.EXCLUSIVE, f"beginning a backup for {owner}", vm=vm):
        return begin_locked(asked)


def begin_locked(asked: OpenPoint) -> OpenPoint:
    """Begin, or go on with, what was asked; the caller holds the writers' lock."""
    vm_dir = asked.dir.parent
    finish_swaps(vm_dir, vm=asked.vm)
    shelf = read_shelf(vm_dir)
    require_known(shelf.entries)
    if asked.keeping is Keeping.STEPS:
        published = next((one for one in shelf.backups if one.owner == asked.owner), None)
        if published is not None:
            return _reopened(asked, published, vm_dir)
    for path in unfinished_dirs(vm_dir):
        found = _taken_up(path, asked)
        if found is not None:
            return found
    return _create(asked, shelf)


def asked_point(
    vault: Vault, vm: str, disks: Sequence[DiskInfo], sources: Mapping[str, str], *, owner: str, incremental: bool,
    vm_id: str | None, site: str | None, now: datetime | None,
) -> OpenPoint:  # fmt: skip
    """Describe what a single process wants to write."""
    asked = _asked(vault, vm, disks, owner, Keeping.PROCESS, incremental, vm_id, site, now)
    return replace(asked, disks=tuple(replace(disk, source=sources[disk.info.name]) for disk in asked.disks))


def _asked(
    vault: Vault, vm: str, disks: Sequence[DiskInfo], owner: str, keeping: Keeping, incremental: bool,
    vm_id: str | None, site: str | None, now: datetime | None,
) -> OpenPoint:  # fmt: skip
    names = [image_name(disk.name) for disk in disks]
    if not names or len(set(names)) != len(names):
        raise BadInput(
            f"VM {vm!r}: give at least one disk, each with its own name", fix="DISK=SOURCE, e.g. root=/dev/vg/root"
        )
    vm_dir = vault.vm_dir(vm)
    vm_dir.mkdir(parents=True, exist_ok=True)
    planned = tuple(PlannedDisk(disk, None, "") for disk in disks)
    mode = Mode.INCREMENTAL if incremental else Mode.FULL
    moment = (now or datetime.now(UTC)).astimezone(UTC).replace(microsecond=0)
    return OpenPoint(vm_dir / "begin", vm, vm_id, site, owner, keeping, mode, incremental, moment, planned)


def _taken_up(path: Path, asked: OpenPoint) -> OpenPoint | None:
    """Give the unfinished point when it is the asked one; else put it out of the way, or raise `VaultBusy`."""
    try:
        found = read_open_point(path)
    except EngineError:
        set_aside(path)
        return None
    if _is_same(found, asked):
        return found
    if found.keeping is Keeping.STEPS and found.idle_s() < ABANDONED_AFTER_S:
        raise VaultBusy(
            f"VM {asked.vm!r} is busy: {found.owner} is writing backup {found.id}, in steps",
            fix="wait until it is published; is its owner dead: vmferry site sweep --dead RUN",
        )
    set_aside(path)
    return None


def _is_same(found: OpenPoint, asked: OpenPoint) -> bool:
    if (found.owner, found.keeping) != (asked.owner, asked.keeping):
        return False
    if asked.keeping is Keeping.STEPS:
        return True
    wants = {(disk.info.name, disk.source) for disk in asked.disks}
    has = {(disk.info.name, disk.source) for disk in found.disks}
    return wants == has and found.asked_incremental == asked.asked_incremental


def _create(asked: OpenPoint, shelf: Shelf) -> OpenPoint:
    vm_dir = asked.dir.parent
    disks = asked.disks
    if asked.asked_incremental:
        disks = tuple(_with_parent(disk, shelf) for disk in disks)
    mode = Mode.INCREMENTAL if any(disk.parent for disk in disks) else Mode.FULL
    latest = max((id_moment(path.name) for path in backup_dirs(vm_dir)), default=None)
    try:
        moment = next_moment(asked.started, latest)
    except OverflowError:
        raise BadInput(
            f"VM {asked.vm!r}: {backup_dirs(vm_dir)[-1].name} is of the last second there is: nothing can be newer",
            fix="somebody's clock was wrong: move that directory out of the vault",
        ) from None
    point = replace(asked, dir=vm_dir / build_id(vm_dir.name, moment, mode.value), mode=mode, disks=disks)
    (point.dir / WORK).mkdir(parents=True)
    sealed.write(point.dir / WORK / PLAN, point.to_json())
    sealed.sync_dir(vm_dir)
    return point


def _with_parent(disk: PlannedDisk, shelf: Shelf) -> PlannedDisk:
    for entry in reversed(shelf.entries):
        if entry.backup is None:
            return replace(disk, reason=f"{entry.id} cannot be read: {entry.error}")
        found = entry.backup.disk(disk.info.name)
        if found is None:
            continue
        if found.id and disk.info.id and found.id != disk.info.id:
            return replace(disk, reason=f"it is another disk than {found.id} in {entry.id}")
        wrong = next(_chain_faults(shelf, entry.backup, disk.info.name), None)
        return replace(disk, reason=wrong) if wrong else replace(disk, parent=entry.id)
    return replace(disk, reason="no backup has this disk yet")


def _chain_faults(shelf: Shelf, backup: Backup, disk: str) -> Iterator[str]:
    try:
        links = shelf.disk_chain(backup, disk)
    except EngineError as error:
        yield f"the chain is damaged: {error.what}"
        return
    if chain_path_bytes(links) > LONGEST_CHAIN_PATH_BYTES:
        yield f"its chain of {len(links)} backups is as long as qemu-img can follow"
    yield from (f"the chain is damaged: {fault.message}" for fault in check_links(links))


def _reopened(asked: OpenPoint, published: Backup, vm_dir: Path) -> OpenPoint:
    """Give a step that runs again after its point was published the point it knew."""
    disks = tuple(
        PlannedDisk(
            DiskInfo(one.name, one.size_bytes, one.id, one.alias, one.interface, one.bootable), one.parent, one.reason
        )
        for one in published.disks
    )
    return replace(asked, dir=vm_dir / published.id, mode=published.mode, started=published.started, disks=disks)
