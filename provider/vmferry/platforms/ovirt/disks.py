# SPDX-License-Identifier: Apache-2.0
"""Disks that a restore makes: found again by id and tag, and their state written on them before each step.

The tag's last word is the disk's state: *fresh* (nothing was written yet, it reads as zeros), *written* (bytes may be
there), *sealed* (all bytes are there), *verified* (its bytes are proven; nobody but a person removes it).
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

from vmferry.engine.errors import BadInput
from vmferry.platforms.errors import BadState, IdTaken, NotAsOrdered, NotThere
from vmferry.platforms.orders import DiskRef, DiskSpec, Removal, VmRef
from vmferry.platforms.ovirt import transfers
from vmferry.platforms.ovirt.inventory import list_attachments, read_disk
from vmferry.platforms.ovirt.sdk import types
from vmferry.platforms.ovirt.session import Session
from vmferry.platforms.ovirt.texts import correlation, word
from vmferry.platforms.ovirt.waits import DISK_USABLE
from vmferry.platforms.points import Access
from vmferry.platforms.runs import RunId, Tag, is_tag_of, parse_tag
from vmferry.platforms.waiting import GONE

FRESH = "fresh"
WRITTEN = "written"
SEALED = "sealed"
VERIFIED = "verified"
COMPLETE = "complete"
_BLOCK_BYTES = 512


def is_id_free(session: Session, disk_id: str, owner: RunId) -> bool:
    """Tell whether a new disk of this owner can have this id."""
    found = read_disk(session, disk_id)
    return found is None or is_tag_of(found.description, owner)


def create_disk(session: Session, spec: DiskSpec, owner: RunId) -> DiskRef:
    """Make a disk, or find the one this owner made."""
    try:
        disk_id = _create(session, spec, owner)
    except BadState as error:
        if error.state != GONE:
            raise
        # It was there when we looked, but going: the engine drops the disk of an upload that failed.
        disk_id = _create(session, spec, owner)
    return _reference(session, disk_id, spec, owner)


def _create(session: Session, spec: DiskSpec, owner: RunId) -> str:
    name = _name(spec.vm, spec.name)
    made = session.make(
        f"{name}: creating the disk",
        lambda: _find_mine(session, spec, owner),
        lambda api: api.disks_service().add(_build(spec, owner), query=correlation(owner, "disk")),
    )
    if not _is_being_written(session, made.id):
        session.wait(
            DISK_USABLE,
            lambda api: word(api.disks_service().disk_service(made.id).get().status),
            name=name,
            fix="the engine's events say why; remove the disk and restore again",
        )
    return str(made.id)


def writable(session: Session, disk: DiskRef) -> Access:
    """Open an upload. The state on the disk says whether old bytes of ours could show through."""
    name = _name(disk.vm, disk.name)
    state, found = read_state(session, disk)
    if state == VERIFIED:
        raise BadInput(f"{name}: it holds verified bytes", fix="restore into a new disk")
    # A try that was killed while it read back has left its download open, and the disk is locked as long as it is.
    end_rereading(session, disk)
    # Noted before the first byte is sent, so that whoever is killed after it is not believed to be before it.
    reads_zero = state == FRESH and found.format == types.DiskFormat.COW
    if state != WRITTEN:
        _set_state(session, disk, WRITTEN)
    transfer = transfers.open_transfer(session, _upload(disk))
    return transfers.make_access(
        session, transfer, label=name, identity=f"{session.site} disk {disk.id}", reads_zero=reads_zero
    )


def seal_disk(session: Session, disk: DiskRef) -> None:
    """End the upload; the engine checks the disk, and we look at what it says."""
    name = _name(disk.vm, disk.name)
    for transfer in transfers.list_transfers(session):
        if transfers.serves(transfer, _upload(disk)):
            transfers.finish_upload(session, transfer.id, name)
    session.wait(
        DISK_USABLE,
        lambda api: word(api.disks_service().disk_service(disk.id).get().status),
        name=name,
        fix="the engine does not accept what was uploaded; remove the disk and restore again",
    )
    if read_state(session, disk)[0] == WRITTEN:
        _set_state(session, disk, SEALED)


def rereadable(session: Session, disk: DiskRef) -> Access:
    """Open a download: what the platform gives back is what counts."""
    transfer = transfers.open_transfer(session, _download(disk))
    name = _name(disk.vm, disk.name)
    return transfers.make_access(session, transfer, label=name, identity=f"{session.site} disk {disk.id} read back")


def end_rereading(session: Session, disk: DiskRef) -> None:
    """Give the download back."""
    for transfer in transfers.list_transfers(session):
        if transfers.serves(transfer, _download(disk)):
            transfers.end_transfer(session, transfer.id, _name(disk.vm, disk.name))


def mark_verified(session: Session, disk: DiskRef, root: str) -> DiskRef:
    """Write on the disk that its bytes are proven."""
    _set_state(session, disk, f"root={root[:16]}", VERIFIED)
    return replace(disk, verified=True, sealed=True)


def mark_complete(session: Session, vm: VmRef, owner: RunId) -> None:
    """Write on the disks of a finished VM that they belong to it now: they are owed to nobody any more."""
    for attachment in list_attachments(session, vm.id, vm.name):
        disk_id = str(attachment.disk.id)
        found = read_disk(session, disk_id)
        tag = parse_tag(found.description) if found is not None else None
        if tag is not None and tag.is_of(owner) and COMPLETE not in tag.words:
            _describe(session, f"VM {vm.name!r}, disk {disk_id}", disk_id, owner.tag(COMPLETE, *tag.words))


def remove_disk(session: Session, disk_id: str, owner: RunId) -> Removal:
    """Remove a disk of this owner, with its transfers, unless its bytes are proven."""
    found = read_disk(session, disk_id)
    tag = parse_tag(found.description) if found is not None else None
    return remove_tagged(session, disk_id, tag) if tag is not None and tag.is_of(owner) else Removal.NOTHING


def remove_tagged(session: Session, disk_id: str, tag: Tag) -> Removal:
    """Remove a disk that carries this tag, unless its bytes are proven."""
    if VERIFIED in tag.words:
        return Removal.KEPT
    for transfer in transfers.list_transfers(session):
        if transfers.disk_of(transfer) == disk_id and transfers.is_running(transfer):
            # Cancelling an upload removes its disk; a download is only ended.
            transfers.cancel_transfer(session, transfer.id, f"disk {disk_id}")
    with contextlib.suppress(BadState):
        session.wait(
            DISK_USABLE, lambda api: word(api.disks_service().disk_service(disk_id).get().status),
            name=f"disk {disk_id}",
        )  # fmt: skip
    with contextlib.suppress(NotThere):
        session.insist(f"removing disk {disk_id}", lambda api: api.disks_service().disk_service(disk_id).remove())
    return Removal.REMOVED


def read_state(session: Session, disk: DiskRef) -> tuple[str, Any]:
    """Give the state that is written on a disk, and the disk."""
    found = read_disk(session, disk.id)
    name = _name(disk.vm, disk.name)
    if found is None:
        raise NotThere(f"{name}: disk {disk.id} is gone", fix="restore again: it is made anew")
    tag = parse_tag(found.description)
    if tag is None or not tag.is_of(RunId(disk.owner)):
        raise BadInput(f"{name}: disk {disk.id} is not ours any more ({found.description!r})", fix="restore again")
    return (tag.words[-1] if tag.words else WRITTEN), found


def _set_state(session: Session, disk: DiskRef, *words: str) -> None:
    _describe(session, _name(disk.vm, disk.name), disk.id, RunId(disk.owner).tag(*words))


def _describe(session: Session, name: str, disk_id: str, text: str) -> None:
    change = types.Disk(description=text)
    session.insist(f"{name}: noting its state", lambda api: api.disks_service().disk_service(disk_id).update(change))


def _is_being_written(session: Session, disk_id: str) -> bool:
    """A disk is locked as long as its upload is open, also when nobody uploads any more."""
    found = transfers.list_transfers(session)
    return any(transfers.disk_of(one) == disk_id and transfers.is_running(one) for one in found)


def _find_mine(session: Session, spec: DiskSpec, owner: RunId) -> Any | None:
    found = read_disk(session, spec.id)
    if found is None:
        return None
    if not is_tag_of(found.description, owner):
        raise IdTaken(
            f"{_name(spec.vm, spec.name)}: disk {spec.id} is there already and is not of this run",
            fix="plan the restore anew: it takes another id then",
        )
    return found


def _build(spec: DiskSpec, owner: RunId) -> Any:
    size = -(-spec.size_bytes // _BLOCK_BYTES) * _BLOCK_BYTES
    return types.Disk(
        id=spec.id,
        name=spec.alias,
        description=owner.tag(FRESH),
        content_type=types.DiskContentType.DATA,
        # Thin and tracked: what is made by a restore can be backed up incrementally from its first day.
        format=types.DiskFormat.COW,
        sparse=True,
        backup=types.DiskBackup.INCREMENTAL if spec.track else types.DiskBackup.NONE,
        provisioned_size=size,
        initial_size=min(spec.used_bytes, size) if spec.used_bytes else None,
        storage_domains=[types.StorageDomain(name=spec.storage)],
    )


def _reference(session: Session, disk_id: str, spec: DiskSpec, owner: RunId) -> DiskRef:
    found = read_disk(session, disk_id)
    name = _name(spec.vm, spec.name)
    if found is None:
        raise NotThere(f"{name}: disk {disk_id} vanished after it was made", fix="restore again")
    size = int(found.provisioned_size or 0)
    if found.id != spec.id or size < spec.size_bytes:
        raise NotAsOrdered(
            f"{name}: asked for disk {spec.id} of {spec.size_bytes} bytes, the engine made {found.id} of {size}",
            fix="remove it; report the engine's version with this message",
        )
    tag = parse_tag(found.description)
    words = tag.words if tag else ()
    is_verified = VERIFIED in words
    return DiskRef(found.id, spec.name, size, owner.text, spec.vm, is_verified, is_verified or SEALED in words)


def _upload(disk: DiskRef) -> transfers.Wish:
    return transfers.Wish(disk.id, _name(disk.vm, disk.name), RunId(disk.owner).digest, upload=True)


def _download(disk: DiskRef) -> transfers.Wish:
    return transfers.Wish(disk.id, _name(disk.vm, disk.name), RunId(disk.owner).digest)


def _name(vm: str, disk: str) -> str:
    return f"VM {vm!r}, disk {disk}"
