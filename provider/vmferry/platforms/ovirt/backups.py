# SPDX-License-Identifier: Apache-2.0
"""Points by the engine's backup API, with changed-block tracking (4.4 and newer).

The id of a backup is ours: always the same for the same run, VM and attempt, so that asking twice makes one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from vmferry.platforms.errors import Conflict, NotThere, PointFailed, Refused, VmBusy
from vmferry.platforms.inventory import Disk, Vm
from vmferry.platforms.ovirt import transfers
from vmferry.platforms.ovirt.sdk import types
from vmferry.platforms.ovirt.session import Session
from vmferry.platforms.ovirt.texts import correlation, ident, word
from vmferry.platforms.ovirt.waits import BACKUP_ENDED, BACKUP_READY, ENDED_BACKUPS
from vmferry.platforms.points import Frozen, Point, PointDisk, PointKind, PointOrder
from vmferry.platforms.runs import RunId, is_tag_of, parse_tag

OPEN_TIMEOUT_S = 900.0
_MOST_ATTEMPTS = 50

_FROZEN = "frozen"
"""Word of the tag: the engine was told to fail unless the guest freezes, so a ready backup is a frozen one."""


def open_backup(session: Session, vm: Vm, owner: RunId, order: PointOrder, *, freeze: bool) -> Point:
    """Begin a backup, or go on with the one that this owner has open, and wait until it can be read."""
    running = find_running(session, vm, owner)
    if running is None:
        running = _start(session, vm, owner, order, freeze=freeze)
    backup_id = running.id
    session.wait(
        BACKUP_READY,
        lambda api: word(_service(api, vm.id, backup_id).get().phase),
        name=f"VM {vm.name!r}, backup {backup_id}",
        timeout_s=session.at_most(OPEN_TIMEOUT_S),
        fix="the engine's events name the reason; a locked disk or a VM that moved are the common ones",
    )
    return _describe(session, vm, owner, backup_id)


def find_running(session: Session, vm: Vm, owner: RunId) -> Any | None:
    """Find this owner's open backup; raises `VmBusy` when somebody else has one."""
    mine = None
    for backup in list_running(session, vm.id, vm.name):
        if is_tag_of(backup.description, owner):
            mine = mine or _unless_ending(session, vm, backup)
            continue
        tag = parse_tag(backup.description)
        who = f"run {tag.run}" if tag else f"somebody else ({backup.description or 'no description'})"
        raise VmBusy(
            f"VM {vm.name!r} is being backed up by {who}: backup {backup.id}",
            fix="wait until it has ended; is that run dead: vmferry site sweep --dead RUN, or the janitor DAG",
        )
    return mine


def _unless_ending(session: Session, vm: Vm, backup: Any) -> Any | None:
    """Wait for a backup of an earlier try that is about to end; it cannot be read any more."""
    if word(backup.phase) != "finalizing":
        return backup
    _await_end(session, vm.id, backup.id, f"VM {vm.name!r}, backup {backup.id}")
    return None


def _await_end(session: Session, vm_id: str, backup_id: str, name: str) -> None:
    session.wait(BACKUP_ENDED, lambda api: word(_service(api, vm_id, backup_id).get().phase), name=name)


def list_running(session: Session, vm_id: str, name: str) -> list[Any]:
    """List the backups of a VM that have not ended."""
    found = session.find(
        f"VM {name!r}: listing its backups",
        lambda api: api.vms_service().vm_service(vm_id).backups_service().list(),
    )
    return [one for one in found or () if word(one.phase) not in ENDED_BACKUPS]


def close_backup(session: Session, vm_id: str, backup_id: str, name: str) -> None:
    """End a backup: its transfers first, since the engine refuses to finalize under open ones. May be called again."""
    what = f"{name}, backup {backup_id}"
    for transfer in transfers.list_transfers(session):
        if ident(transfer.backup) == backup_id and transfers.is_running(transfer):
            transfers.end_transfer(session, transfer.id, what)

    def finalize(api: Any) -> None:
        service = _service(api, vm_id, backup_id)
        if word(service.get().phase) not in (*ENDED_BACKUPS, "finalizing"):
            service.finalize()

    # Not there: it has ended and the engine has forgotten it, or the VM is gone with it.
    with contextlib.suppress(NotThere):
        _await_begun(session, vm_id, backup_id, what)
        session.insist(f"{what}: finalizing it", finalize, limit_s=120.0)
    _await_end(session, vm_id, backup_id, what)


def forget_checkpoints(session: Session, vm_id: str, name: str, gone: Iterator[str]) -> tuple[str, ...]:
    """Remove checkpoints, oldest first; stops where the engine says no (only the oldest can go, or the VM is busy)."""
    removed = []
    for checkpoint_id in gone:
        try:
            _forget(session, vm_id, name, checkpoint_id)
        except (Conflict, Refused):
            break
        removed.append(checkpoint_id)
    return tuple(removed)


def _forget(session: Session, vm_id: str, name: str, checkpoint_id: str) -> None:
    session.remove(
        f"VM {name!r}: removing checkpoint {checkpoint_id}",
        lambda api: _checkpoints(api, vm_id).checkpoint_service(checkpoint_id).remove(),
    )


def list_checkpoints(session: Session, vm_id: str, name: str) -> list[Any]:
    """List the checkpoints of a VM, oldest first."""
    found = session.find(f"VM {name!r}: listing its checkpoints", lambda api: _checkpoints(api, vm_id).list()) or []
    return _in_order(list(found))


def enable_tracking(session: Session, vm: Vm, order: PointOrder) -> tuple[str, ...]:
    """Let the engine write down changes of the disks that can; gives the names of those it now does."""
    able = [disk for disk in vm.disks if disk.id in order.disks and disk.can_track]
    for disk in able:
        _track(session, vm, disk)
    return tuple(disk.alias for disk in able)


def _track(session: Session, vm: Vm, disk: Disk) -> None:
    change = types.Disk(backup=types.DiskBackup.INCREMENTAL)
    session.insist(
        f"VM {vm.name!r}, disk {disk.alias}: enabling incremental backup",
        lambda api: api.disks_service().disk_service(disk.id).update(change),
    )


def _start(session: Session, vm: Vm, owner: RunId, order: PointOrder, *, freeze: bool) -> Any:
    wanted = types.Backup(
        id=_free_id(session, vm, owner),
        description=owner.tag(*((_FROZEN,) if freeze else ())),
        disks=[types.Disk(id=disk) for disk in order.disks],
        from_checkpoint_id=order.since.id if order.since else None,
    )
    what = f"VM {vm.name!r}: starting a backup"

    def start(api: Any) -> Any:
        return api.vms_service().vm_service(vm.id).backups_service().add(
            wanted, require_consistency=freeze or None, query=correlation(owner, "backup")
        )  # fmt: skip

    try:
        return session.make(what, lambda: find_running(session, vm, owner), start)
    except Conflict as error:
        raise VmBusy(error.what, fix="wait until VM and disks are free; it is tried again") from error


def _free_id(session: Session, vm: Vm, owner: RunId) -> str:
    """Give the id of the next attempt: a backup that has ended keeps its id for some minutes."""
    for attempt in range(_MOST_ATTEMPTS):
        backup_id = owner.derive_id("backup", vm.id, str(attempt))
        if _find(session, vm, backup_id) is None:
            return backup_id
    raise PointFailed(f"VM {vm.name!r}: {_MOST_ATTEMPTS} backups of this run have ended", fix="begin a new run")


def _find(session: Session, vm: Vm, backup_id: str) -> Any | None:
    return session.find(
        f"VM {vm.name!r}: looking for backup {backup_id}", lambda api: _service(api, vm.id, backup_id).get()
    )


def _describe(session: Session, vm: Vm, owner: RunId, backup_id: str) -> Point:
    what = f"VM {vm.name!r}: reading backup {backup_id}"
    backup = session.ask(what, lambda api: _service(api, vm.id, backup_id).get())
    disks = session.ask(what, lambda api: _service(api, vm.id, backup_id).disks_service().list())
    since = backup.from_checkpoint_id
    # The engine may make single disks full in an incremental backup: each has to be asked.
    modes = {disk.id: bool(since) and disk.backup_mode == types.DiskBackupMode.INCREMENTAL for disk in disks}
    tag = parse_tag(backup.description)
    frozen = Frozen.FILE_SYSTEM if tag and _FROZEN in tag.words else Frozen.CRASH
    return Point(
        id=backup_id,
        kind=PointKind.CBT,
        vm_id=vm.id,
        vm=vm.name,
        owner=owner.text,
        disks=tuple(PointDisk(disk_id, changes) for disk_id, changes in modes.items()),
        since=since,
        checkpoint=backup.to_checkpoint_id,
        frozen=Frozen.OFFLINE if vm.is_down else frozen,
    )


def _await_begun(session: Session, vm_id: str, backup_id: str, what: str) -> None:
    """A backup that is still starting cannot be finalized."""
    # However it began: what follows looks at the state it has now.
    with contextlib.suppress(PointFailed):
        session.wait(
            BACKUP_READY,
            lambda api: word(_service(api, vm_id, backup_id).get().phase),
            name=what,
            timeout_s=session.at_most(OPEN_TIMEOUT_S),
        )


def _in_order(found: list[Any]) -> list[Any]:
    """Sort checkpoints from the root on: each names its parent."""
    by_parent = {one.parent_id or "": one for one in found}
    known = {one.id for one in found}
    roots = [one for one in found if not one.parent_id or one.parent_id not in known]
    ordered: list[Any] = []
    for root in roots:
        at: Any | None = root
        while at is not None and at not in ordered:
            ordered.append(at)
            at = by_parent.get(at.id)
    return ordered


def _service(api: Any, vm_id: str, backup_id: str) -> Any:
    return api.vms_service().vm_service(vm_id).backups_service().backup_service(backup_id)


def _checkpoints(api: Any, vm_id: str) -> Any:
    return api.vms_service().vm_service(vm_id).checkpoints_service()
