"""A disk is locked while it is made or changed, and then ok."""

from __future__ import annotations

from lab.ovirt.engine import Engine
from lab.ovirt.model import Disk, Layer, new_id
from lab.ovirt.router import Refusal
from lab.ovirt.storage import StorageError

ADDED, FAILED, REMOVED = 2021, 2022, 2042


def create_disk(engine: Engine, disk: Disk, layer_format: str) -> Disk:
    """Check whether there is room, and begin to make a disk."""
    if disk.id in engine.inventory.disks:
        raise Refusal(409, "[Cannot add Virtual Disk. A disk with this ID already exists.]")
    if disk.size <= 0:
        raise Refusal(400, "Disk [provisionedSize] required for add", "Incomplete parameters")
    _check_room(engine, disk)
    disk.layers = [Layer(new_id(), layer_format)]
    disk.job = engine.begin_job(f"Adding disk {disk.name}")
    engine.inventory.disks[disk.id] = disk
    engine.enter("disk", disk, "locked", engine.delay("disk.locked"))
    return disk


def delete_disk(engine: Engine, disk: Disk) -> None:
    """Delete a disk that nobody uses."""
    engine.require_disk_ok(disk, "remove Virtual Disk") if disk.status != "illegal" else None
    vm = engine.inventory.vm_of(disk.id)
    if vm is not None and vm.status != "down":
        raise Refusal(409, f"[Cannot remove Virtual Disk. Disk {disk.name} is plugged to a running VM {vm.name}.]")
    if vm is not None:
        engine.require_no_backup(vm, "remove Virtual Disk")
        engine.machine(vm).stop()
        vm.attachments = [one for one in vm.attachments if one.disk != disk.id]
    del engine.inventory.disks[disk.id]
    engine.storage.delete(disk)
    engine.begin_job(f"Removing disk {disk.name}", ended=True)
    engine.tell(REMOVED, f"Disk {disk.name} was successfully removed.", disk.id)


def used_bytes(engine: Engine, domain: str) -> int:
    """Bytes that are taken on a storage domain."""
    return sum(engine.storage.allocated(one) for one in engine.inventory.disks.values() if one.domain == domain)


def step_disk(engine: Engine, disk: Disk) -> None:
    """Take a disk to its next status."""
    if disk.status != "locked":  # a fault put it somewhere
        disk.due = 0.0
        return
    try:
        engine.storage.create(disk)
    except StorageError as error:
        engine.tell(FAILED, f"Add-Disk operation failed for {disk.name}: {error}", disk.id, severity="error")
        disk.status, disk.due = "illegal", 0.0
        engine.end_job(disk.job, failed=True)
        return
    rule = engine.enter("disk", disk, "ok", -1)
    if rule is not None and rule.action == "wrong_size":
        disk.reported_size = disk.size + int(rule.value)
    if disk.status == "failed":  # what a fault calls so is illegal to an engine
        disk.status = "illegal"
    engine.end_job(disk.job, failed=disk.status != "ok")
    engine.tell(ADDED, f"The disk {disk.name} was successfully added.", disk.id)


def _check_room(engine: Engine, disk: Disk) -> None:
    domain = engine.find("domains", disk.domain)
    if domain.status != "active":
        raise Refusal(409, f"[Cannot add Virtual Disk. The relevant Storage Domain {domain.name} is {domain.status}.]")
    disks = [one for one in engine.inventory.disks.values() if one.domain == domain.id]
    needed = disk.initial_size if disk.sparse else disk.size
    if domain.size - used_bytes(engine, domain.id) < needed + int(engine.setting("critical_space")):
        raise Refusal(409, f"[Cannot add Virtual Disk. Low disk space on Storage Domain {domain.name}.]")
    if domain.quota is not None and sum(one.size for one in disks) + disk.size > domain.quota:
        raise Refusal(409, "[Cannot add Virtual Disk. Quota has insufficient storage resources.]")
