# SPDX-License-Identifier: Apache-2.0
"""What runs of ours have made at an engine and not given back: found by tag, never by guess."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vmferry.platforms.errors import NotSupported
from vmferry.platforms.orders import Lease
from vmferry.platforms.ovirt import backups, disks, snapshots, transfers, vms
from vmferry.platforms.ovirt.inventory import find_by_id, read_disk
from vmferry.platforms.ovirt.session import Session
from vmferry.platforms.ovirt.texts import ident, word
from vmferry.platforms.runs import Tag, parse_tag


def list_leases(session: Session) -> Iterator[Lease]:
    """List everything that is tagged by us and not finished."""
    listed = session.ask("listing VMs", lambda api: api.vms_service().list())
    owners: dict[str, Tag] = {}
    for vm in listed:
        yield from _vm_leases(session, vm, owners)
    yield from _disk_leases(session, owners)
    yield from _transfer_leases(session, owners)


def release(session: Session, lease: Lease) -> None:
    """Give one thing back; what holds verified bytes is left alone."""
    if lease.holds_verified_bytes:
        raise NotSupported(
            f"{lease.kind} {lease.name or lease.id} of run {lease.owner} holds verified bytes",
            fix="a person has to decide: attach it, or remove it at the engine",
        )
    _RELEASES[lease.kind](session, lease)


def _vm_leases(session: Session, vm: Any, owners: dict[str, Tag]) -> Iterator[Lease]:
    tag = parse_tag(vm.comment)
    if tag is not None and vms.COMPLETE not in tag.words:
        yield Lease("vm", vm.id, tag.run, name=vm.name)
    for backup in backups.list_running(session, vm.id, vm.name):
        tag = parse_tag(backup.description)
        if tag is not None:
            owners[backup.id] = tag
            yield Lease("backup", backup.id, tag.run, parent=vm.id, name=vm.name)
    for snapshot in snapshots.list_snapshots(session, vm.id, vm.name):
        tag = parse_tag(snapshot.description)
        if tag is not None:
            owners[snapshot.id] = tag
            yield Lease("snapshot", snapshot.id, tag.run, parent=vm.id, name=vm.name)


def _disk_leases(session: Session, owners: dict[str, Tag]) -> Iterator[Lease]:
    for disk in session.ask("listing disks", lambda api: api.disks_service().list()):
        tag = parse_tag(disk.description)
        if tag is None:
            continue
        owners[disk.id] = tag
        if disks.COMPLETE not in tag.words:
            verified = disks.VERIFIED in tag.words
            yield Lease("disk", disk.id, tag.run, name=disk.alias or disk.name or "", holds_verified_bytes=verified)


def _transfer_leases(session: Session, owners: dict[str, Tag]) -> Iterator[Lease]:
    for transfer in transfers.list_transfers(session):
        if not transfers.is_running(transfer):
            continue
        made_for = (ident(transfer.backup), ident(transfer.snapshot), transfers.disk_of(transfer))
        tag = next((owners[one] for one in made_for if one in owners), None)
        if tag is not None:
            yield Lease("transfer", transfer.id, tag.run, parent=word(transfer.direction), name=made_for[-1] or "")


def _release_vm(session: Session, lease: Lease) -> None:
    """Remove a VM that was not finished; its disks are leases of their own and stay until they are released."""
    found = find_by_id(session, lease.id)
    tag = parse_tag(found.comment) if found is not None else None
    if found is None or tag is None or vms.COMPLETE in tag.words:
        return
    vm = vms.make_reference(found)
    if vm.status != "down":
        vm = vms.stop_vm(session, vm, timeout_s=60.0)
    vms.remove_vm(session, vm, keep_disks=True)


def _release_backup(session: Session, lease: Lease) -> None:
    backups.close_backup(session, lease.parent, lease.id, f"VM {lease.name!r}")


def _release_snapshot(session: Session, lease: Lease) -> None:
    snapshots.close_snapshot(session, lease.parent, lease.id, f"VM {lease.name!r}")


def _release_disk(session: Session, lease: Lease) -> None:
    found = read_disk(session, lease.id)
    tag = parse_tag(found.description) if found is not None else None
    if tag is not None and tag.run == lease.owner:
        disks.remove_tagged(session, lease.id, tag)


def _release_transfer(session: Session, lease: Lease) -> None:
    if lease.parent == "upload" and not _is_proven(session, lease.name):
        transfers.cancel_transfer(session, lease.id, f"disk {lease.name}")
    else:
        transfers.end_transfer(session, lease.id, f"disk {lease.name}")


def _is_proven(session: Session, disk_id: str) -> bool:
    """Tell whether a disk holds verified bytes: cancelling an upload would remove it.

    Such an upload was asked for by a run that was killed, and the engine began it only after the next try had ended.
    """
    found = read_disk(session, disk_id)
    tag = parse_tag(found.description) if found is not None else None
    return tag is not None and disks.VERIFIED in tag.words


_RELEASES = {
    "vm": _release_vm,
    "backup": _release_backup,
    "snapshot": _release_snapshot,
    "disk": _release_disk,
    "transfer": _release_transfer,
}
