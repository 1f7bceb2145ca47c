# SPDX-License-Identifier: Apache-2.0
"""Opens and closes points: changed-block tracking first, all of it read next, snapshots only where nothing else is.

What cannot be had is done without, in the same run, and the point says so: a guest that does not freeze, a checkpoint
that is gone, a bitmap that is broken.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from vmferry.platforms.errors import BitmapBroken, Conflict, NotSupported, PointFailed, Refused, VmBusy
from vmferry.platforms.inventory import Vm
from vmferry.platforms.ovirt import backups, snapshots, transfers
from vmferry.platforms.ovirt.inventory import CBT_VERSION, find_by_id, read_version
from vmferry.platforms.ovirt.session import Session
from vmferry.platforms.ovirt.space import check_point_room
from vmferry.platforms.ovirt.texts import word
from vmferry.platforms.ovirt.waits import VM_FREE
from vmferry.platforms.points import Access, Checkpoint, Point, PointDisk, PointKind, PointOrder
from vmferry.platforms.runs import RunId, is_tag_of, parse_tag
from vmferry.platforms.waiting import Outcome

_log = logging.getLogger(__name__)


def check_free(session: Session, vm: Vm, owner: RunId) -> None:
    """Raise `VmBusy` when a backup could not begin now. One that this owner has open already is no obstacle."""
    if _has_backups(session) and backups.find_running(session, vm, owner) is not None:
        return
    if VM_FREE.judge(vm.status) is not Outcome.OK:
        raise VmBusy(f"VM {vm.name!r} is {vm.status}: a backup needs it up or down", fix="wait, or look why it is")
    for snapshot in snapshots.list_snapshots(session, vm.id, vm.name):
        if is_tag_of(snapshot.description, owner):
            return
        if word(snapshot.snapshot_status) == "locked":
            raise VmBusy(f"VM {vm.name!r}: snapshot {snapshot.description!r} is being made or removed", fix="wait")
    locked = [disk.alias for disk in vm.disks if disk.status not in ("ok", "") and not disk.skip]
    if locked:
        raise VmBusy(f"VM {vm.name!r}, disk {', '.join(locked)}: locked or illegal", fix="see docs/entity-locks.md")


def open_owners(session: Session, vm_id: str) -> tuple[str, ...]:
    """List the runs of ours that have a point of this VM open."""
    found = [backup.description for backup in backups.list_running(session, vm_id, vm_id)]
    found += [snapshot.description for snapshot in snapshots.list_snapshots(session, vm_id, vm_id)]
    return tuple(tag.run for tag in map(parse_tag, found) if tag is not None)


def _has_backups(session: Session) -> bool:
    return read_version(session)[1] >= CBT_VERSION


def open_point(session: Session, vm: Vm, owner: RunId, order: PointOrder) -> Point:
    """Open a point, or find the one that this owner has open."""
    _check_disks(vm, order)
    if not _has_backups(session):
        check_point_room(session, vm, order.disks)
        return replace(snapshots.open_snapshot(session, vm, owner, order), notes=_freeze_note(vm, order))
    notes: list[str] = []
    if backups.find_running(session, vm, owner) is None:
        check_point_room(session, vm, order.disks)
        if order.enable_tracking:
            enabled = backups.enable_tracking(session, vm, order)
            notes += [f"changes of {name} are written down from now on" for name in enabled]
        order = replace(order, since=_usable(session, vm, order.since, notes))
    point = _open_frozen(session, vm, owner, order, notes)
    point = _prove_bitmaps(session, vm, owner, order, point, notes)
    return replace(point, notes=tuple(notes))


def readable(session: Session, point: Point, disk_id: str) -> Access:
    """Open the way to a disk's bytes."""
    disk = _require(point, disk_id)
    wish = _wish(point, disk)
    transfer = _open_way(session, wish)
    # A new try has a new transfer of the same bytes: this is what tells the journal that they are.
    return transfers.make_access(
        session, transfer, label=wish.name, identity=f"{session.site} {point.kind.value} {point.id} disk {disk_id}"
    )


def end_reading(session: Session, point: Point, disk_id: str) -> None:
    """Give the way back."""
    wish = _wish(point, _require(point, disk_id))
    for transfer in transfers.list_transfers(session):
        if transfers.serves(transfer, wish):
            transfers.end_transfer(session, transfer.id, wish.name)


def close_point(session: Session, vm_id: str, owner: RunId) -> tuple[str, ...]:
    """Give back all points of this owner on a VM."""
    vm = find_by_id(session, vm_id)
    name = f"VM {vm.name!r}" if vm is not None else f"VM {vm_id}"
    closed = []
    for backup in backups.list_running(session, vm_id, name):
        if is_tag_of(backup.description, owner):
            backups.close_backup(session, vm_id, backup.id, name)
            closed.append(f"backup {backup.id}")
    for snapshot in snapshots.list_snapshots(session, vm_id, name):
        if is_tag_of(snapshot.description, owner):
            snapshots.close_snapshot(session, vm_id, snapshot.id, name)
            closed.append(f"snapshot {snapshot.id}")
    return tuple(closed)


def known_checkpoints(session: Session, vm: Vm) -> tuple[Checkpoint, ...]:
    """List the checkpoints whose changes are known."""
    if not _has_backups(session):
        return ()
    listed = backups.list_checkpoints(session, vm.id, vm.name)
    return tuple(Checkpoint(one.id) for one in listed if word(one.state) != "invalid")


def forget_checkpoints(session: Session, vm_id: str, keep: Iterable[str]) -> tuple[str, ...]:
    """Remove checkpoints of our own that are older than the oldest one to keep."""
    kept, name = set(keep), vm_id
    gone: list[str] = []
    for one in backups.list_checkpoints(session, vm_id, name):
        if one.id in kept or parse_tag(one.description) is None:
            break
        gone.append(one.id)
    return backups.forget_checkpoints(session, vm_id, name, iter(gone))


def _check_disks(vm: Vm, order: PointOrder) -> None:
    if not order.disks:
        raise NotSupported(f"VM {vm.name!r} has no disk that can be backed up", fix="see why each one was skipped")
    for disk_id in order.disks:
        disk = vm.disk(disk_id)
        if disk is None or disk.skip:
            why = disk.skip if disk else "the VM has no such disk"
            raise NotSupported(f"VM {vm.name!r}, disk {disk_id}: {why}", fix="leave it out")


def _usable(session: Session, vm: Vm, since: Checkpoint | None, notes: list[str]) -> Checkpoint | None:
    if since is None or since in known_checkpoints(session, vm):
        return since
    notes.append(f"the engine does not know checkpoint {since.id} (any more): all disks are read whole")
    return None


def _open_frozen(session: Session, vm: Vm, owner: RunId, order: PointOrder, notes: list[str]) -> Point:
    """Ask for a frozen guest; where that fails, make the point all the same and say what it is."""
    freeze = order.freeze and not vm.is_down
    try:
        return _open(session, vm, owner, order, notes, freeze=freeze)
    except PointFailed as error:
        if not freeze:
            raise
        close_point(session, vm.id, owner)
        notes.append(f"the guest did not freeze its file systems ({error.what}): crash-consistent")
        return _open(session, vm, owner, order, notes, freeze=False)


def _open(session: Session, vm: Vm, owner: RunId, order: PointOrder, notes: list[str], *, freeze: bool) -> Point:
    try:
        return backups.open_backup(session, vm, owner, order, freeze=freeze)
    except (PointFailed, Refused, VmBusy, Conflict) as error:
        # Engines before 4.4.5 refuse full and incremental disks in one backup.
        if order.since is None or freeze or isinstance(error, VmBusy):
            raise
        close_point(session, vm.id, owner)
        notes.append(f"no incremental backup was possible ({error.what}): all disks are read whole")
        return backups.open_backup(session, vm, owner, replace(order, since=None), freeze=freeze)


def _prove_bitmaps(session: Session, vm: Vm, owner: RunId, order: PointOrder, point: Point, notes: list[str]) -> Point:
    """Open the ways to incremental disks now: a broken bitmap shows only then, and this moment can still be left."""
    try:
        for disk in point.disks:
            if disk.changes:
                _open_way(session, _wish(point, disk))
    except BitmapBroken as error:
        close_point(session, vm.id, owner)
        notes.append(f"{error.what}: all disks are read whole and healed by their proofs")
        return _open_frozen(session, vm, owner, replace(order, since=None), notes)
    return point


def _open_way(session: Session, wish: transfers.Wish) -> Any:
    """Open a transfer; believe that a bitmap is broken only when it fails twice: a daemon may just be starting."""
    try:
        return transfers.open_transfer(session, wish)
    except BitmapBroken as error:
        _log.warning("%s; trying once more", error.what)
        return transfers.open_transfer(session, wish)


def _freeze_note(vm: Vm, order: PointOrder) -> tuple[str, ...]:
    if not order.freeze or vm.is_down:
        return ()
    return ("a snapshot of this engine does not tell whether the guest froze: called crash-consistent",)


def _require(point: Point, disk_id: str) -> PointDisk:
    disk = point.disk(disk_id)
    if disk is None:
        raise NotSupported(f"VM {point.vm!r}: the point has no disk {disk_id}", fix="open a new point with it")
    return disk


def _wish(point: Point, disk: PointDisk) -> transfers.Wish:
    is_backup = point.kind is PointKind.CBT
    return transfers.Wish(
        disk_id=disk.id,
        name=f"VM {point.vm!r}, disk {disk.id}",
        owner=RunId(point.owner).digest,
        backup_id=point.id if is_backup else None,
        snapshot_id=disk.snapshot_id,
        changes=disk.changes,
    )
