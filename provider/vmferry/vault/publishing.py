# SPDX-License-Identifier: Apache-2.0
"""Ends a backup: publishes it, point.json last, or abandons it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from vmferry import __version__
from vmferry.engine.errors import BadInput
from vmferry.vault import sealed
from vmferry.vault.backup import Backup, BackupDisk, Consistency, StoredFile
from vmferry.vault.catalogue import read_entry, read_shelf
from vmferry.vault.errors import ChainBroken, PointUnfinished
from vmferry.vault.guide import build_checksums, build_guide
from vmferry.vault.layout import CHECKSUMS, GUIDE, POINT, VM_JSON, is_published
from vmferry.vault.links import check_links, first_fault
from vmferry.vault.lock import Hold, writing
from vmferry.vault.openpoint import OpenPoint
from vmferry.vault.quarantine import destroy, set_aside
from vmferry.vault.swap import clear_work

VM_OVF = "vm.ovf"


def publish(
    point: OpenPoint,
    *,
    consistency: Consistency = Consistency.UNKNOWN,
    hardware: Mapping[str, Any] | None = None,
    ovf: str | None = None,
) -> Backup:
    """Make the backup exist. May be called twice. Raises `PointUnfinished` when a disk is not there yet.

    `hardware` is what vm.json says about the VM, `ovf` the platform's own description.
    """
    with writing(point.dir.parent, Hold.EXCLUSIVE, f"publishing backup {point.id}", vm=point.vm):
        return publish_locked(point, consistency=consistency, hardware=hardware, ovf=ovf)


def publish_locked(
    point: OpenPoint, *, consistency: Consistency, hardware: Mapping[str, Any] | None, ovf: str | None
) -> Backup:
    """Publish; the caller holds the writers' lock."""
    if is_published(point.dir):
        clear_work(point.dir)
        return read_entry(point.dir).require()
    point.require_open()
    disks = _finished_disks(point)
    files = _write_papers(point, disks, hardware, ovf)
    backup = Backup(
        id=point.id,
        vm=point.vm,
        vm_id=point.vm_id,
        site=point.site,
        engine_version=__version__,
        owner=point.owner,
        mode=point.mode,
        consistency=consistency,
        started=point.started,
        finished=datetime.now(UTC).replace(microsecond=0),
        disks=disks,
        files=files,
    )
    _check_chains(point, backup)
    sealed.sync_dir(point.dir)
    sealed.write(point.dir / POINT, backup.to_json())
    clear_work(point.dir)
    return backup


def abandon(point: OpenPoint) -> None:
    """Remove an unfinished point for good. May be called twice; a published backup is left alone."""
    if not point.dir.exists() or is_published(point.dir):
        return
    with writing(point.dir.parent, Hold.EXCLUSIVE, f"abandoning backup {point.id}", vm=point.vm):
        if point.dir.exists() and not is_published(point.dir):
            destroy(set_aside(point.dir))


def _finished_disks(point: OpenPoint) -> tuple[BackupDisk, ...]:
    found = {disk.info.name: point.done(disk.info.name) for disk in point.disks}
    missing = [name for name, done in found.items() if done is None]
    if missing:
        raise PointUnfinished(
            f"VM {point.vm!r}: backup {point.id} has no disk {', '.join(missing)} yet", fix="add it, then publish again"
        )
    return tuple(done for done in found.values() if done is not None)


def _write_papers(
    point: OpenPoint, disks: tuple[BackupDisk, ...], hardware: Mapping[str, Any] | None, ovf: str | None
) -> tuple[StoredFile, ...]:
    described = {"name": point.vm, "id": point.vm_id, "disks": [disk.name for disk in disks], **(hardware or {})}
    if "checksum" in described:
        raise BadInput(
            f"VM {point.vm!r}: its description has a member 'checksum'", fix="leave it out: vm.json has its own"
        )
    papers = {VM_JSON: sealed.render(described), GUIDE: build_guide(point, disks, has_ovf=ovf is not None)}
    if ovf is not None:
        papers[VM_OVF] = ovf.encode()
    stored = [_write_paper(point, name, raw) for name, raw in papers.items()]
    listed = [*stored, *(file for disk in disks for file in (disk.image, disk.proof))]
    stored.append(_write_paper(point, CHECKSUMS, build_checksums(listed)))
    return tuple(stored)


def _write_paper(point: OpenPoint, name: str, raw: bytes) -> StoredFile:
    sealed.write_bytes(point.dir / name, raw)
    return stored_file(name, raw)


def stored_file(name: str, raw: bytes) -> StoredFile:
    """Describe a small file by its bytes."""
    return StoredFile(name, len(raw), hashlib.sha256(raw).hexdigest())


def _check_chains(point: OpenPoint, backup: Backup) -> None:
    """Make sure that what is about to exist can be read: its parents are still those it was written on."""
    shelf = read_shelf(point.dir.parent)
    shelf = shelf.with_entry(point.dir, backup)
    for disk in backup.disks:
        fault = first_fault(check_links(shelf.chain(backup, disk)))
        if fault is not None:
            raise ChainBroken(
                f"VM {point.vm!r}, backup {point.id}, disk {disk.name}: {fault.message}",
                fix="abandon this point and begin a new one: what it stands on is no longer there",
            )
