# SPDX-License-Identifier: Apache-2.0
"""Points by snapshots, for engines before 4.4: they say nothing about changes, so a disk is read whole and healed."""

from __future__ import annotations

import contextlib
from typing import Any

from vmferry.platforms.errors import Conflict, NotThere, PointFailed, VmBusy
from vmferry.platforms.inventory import Vm
from vmferry.platforms.ovirt import transfers
from vmferry.platforms.ovirt.sdk import types
from vmferry.platforms.ovirt.session import Session
from vmferry.platforms.ovirt.texts import correlation, ident, word
from vmferry.platforms.ovirt.waits import SNAPSHOT_GONE, SNAPSHOT_READY, SNAPSHOT_SETTLED
from vmferry.platforms.points import Frozen, Point, PointDisk, PointKind, PointOrder
from vmferry.platforms.runs import RunId, is_tag_of
from vmferry.platforms.waiting import GONE


def open_snapshot(session: Session, vm: Vm, owner: RunId, order: PointOrder) -> Point:
    """Make a snapshot without memory, or find this owner's, and wait until it can be read."""
    what = f"VM {vm.name!r}: making a snapshot"

    def add(api: Any) -> Any:
        return _snapshots(api, vm.id).add(
            types.Snapshot(
                description=owner.tag(),
                persist_memorystate=False,
                disk_attachments=[types.DiskAttachment(disk=types.Disk(id=disk)) for disk in order.disks],
            ),
            query=correlation(owner, "snapshot"),
        )

    try:
        made = session.make(what, lambda: _find_mine(session, vm, owner), add)
    except Conflict as error:
        raise VmBusy(error.what, fix="wait until VM and disks are free; it is tried again") from error
    session.wait(
        SNAPSHOT_READY,
        lambda api: word(_snapshots(api, vm.id).snapshot_service(made.id).get().snapshot_status),
        name=f"VM {vm.name!r}, snapshot {made.id}",
    )
    disks = tuple(_point_disk(session, vm, made.id, disk) for disk in order.disks)
    frozen = Frozen.OFFLINE if vm.is_down else Frozen.CRASH
    return Point(made.id, PointKind.SNAPSHOT, vm.id, vm.name, owner.text, disks, frozen=frozen)


def list_snapshots(session: Session, vm_id: str, name: str) -> list[Any]:
    """List the snapshots of a VM, without the one that stands for its running state."""
    found = session.find(f"VM {name!r}: listing its snapshots", lambda api: _snapshots(api, vm_id).list())
    return [one for one in found or () if word(one.snapshot_type) != "active"]


def close_snapshot(session: Session, vm_id: str, snapshot_id: str, name: str) -> None:
    """Remove a snapshot and wait until its layers are merged. May be called again."""
    what = f"{name}, snapshot {snapshot_id}"
    layers = _layers(session, snapshot_id)
    for transfer in transfers.list_transfers(session):
        if ident(transfer.snapshot) in layers and transfers.is_running(transfer):
            transfers.end_transfer(session, transfer.id, what)

    def look(api: Any) -> str:
        return word(_snapshots(api, vm_id).snapshot_service(snapshot_id).get().snapshot_status)

    # Locked: an earlier try is removing it, or one that died just now is still making it.
    if session.wait(SNAPSHOT_SETTLED, look, name=what) != GONE:
        with contextlib.suppress(NotThere):
            session.insist(
                f"{what}: removing it",
                lambda api: _snapshots(api, vm_id).snapshot_service(snapshot_id).remove(),
                limit_s=120.0,
            )
    session.wait(SNAPSHOT_GONE, look, name=what)


def _find_mine(session: Session, vm: Vm, owner: RunId) -> Any | None:
    listed = list_snapshots(session, vm.id, vm.name)
    return next((one for one in listed if is_tag_of(one.description, owner)), None)


def _layers(session: Session, snapshot_id: str) -> set[str]:
    """Give the ids that the disks have in this snapshot."""
    return {one.id for one in _disk_snapshots(session) if ident(one.snapshot) == snapshot_id}


def _point_disk(session: Session, vm: Vm, snapshot_id: str, disk_id: str) -> PointDisk:
    for one in _disk_snapshots(session):
        if ident(one.snapshot) == snapshot_id and (ident(one.disk) or one.id) == disk_id:
            return PointDisk(disk_id, changes=False, snapshot_id=one.id)
    raise PointFailed(
        f"VM {vm.name!r}: snapshot {snapshot_id} has no disk {disk_id}",
        fix="was it added just now? close the point and open it again",
    )


def _disk_snapshots(session: Session) -> list[Any]:
    domains = session.ask("listing storage domains", lambda api: api.storage_domains_service().list())
    data = [domain for domain in domains if word(domain.type) in ("", "data")]
    return [one for domain in data for one in _of_domain(session, domain)]


def _of_domain(session: Session, domain: Any) -> list[Any]:
    found: list[Any] = session.ask(
        f"listing disk snapshots of {domain.name}",
        lambda api: api.storage_domains_service().storage_domain_service(domain.id).disk_snapshots_service().list(),
    )
    return found


def _snapshots(api: Any, vm_id: str) -> Any:
    return api.vms_service().vm_service(vm_id).snapshots_service()
