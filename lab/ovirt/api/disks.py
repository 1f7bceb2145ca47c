"""Disks and the volumes they are made of."""

from __future__ import annotations

from lab.ovirt.engine import Engine
from lab.ovirt.flows.disks import create_disk, delete_disk
from lab.ovirt.model import Disk, new_id
from lab.ovirt.router import Refusal, Reply, Request, not_found, route
from lab.ovirt.search import search
from lab.ovirt.views import show_disk, show_disk_snapshot, show_done
from lab.ovirt.xml import Element, flag_of, int_of, many, text_of


@route("GET", "/disks")
def list_disks(engine: Engine, request: Request) -> Element:
    """List disks."""

    def fields(disk: Disk) -> dict[str, object]:
        vms = [vm.name for vm in engine.inventory.vms.values() if vm.attachment(disk.id)]
        return {
            "name": disk.name, "alias": disk.name, "id": disk.id, "status": disk.status, "vm_names": vms,
            "description": disk.description, "disk_type": disk.storage_type, "number_of_vms": len(vms),
            "provisioned_size": disk.size,
        }  # fmt: skip

    return many(
        "disks", [show_disk(engine, one) for one in search(engine.inventory.disks.values(), fields, request.query)]
    )


@route("GET", "/disks/{}")
def get_disk(engine: Engine, request: Request, id: str) -> Element:
    """Show one."""
    return show_disk(engine, engine.disk(id))


@route("POST", "/disks", permit="disk")
def add_disk(engine: Engine, request: Request) -> Reply:
    """Make a disk."""
    return Reply(show_disk(engine, new_disk(engine, request.body)), 202)


@route("PUT", "/disks/{}", permit="disk", since=(4, 4))
def update_disk(engine: Engine, request: Request, id: str) -> Element:
    """Change one, e.g. track its changes from now on."""
    disk = engine.disk(id)
    engine.require_disk_ok(disk, "edit Virtual Disk")
    apply_disk(engine, disk, request.body)
    return show_disk(engine, disk)


@route("DELETE", "/disks/{}", permit="disk")
def remove_disk(engine: Engine, request: Request, id: str) -> Element:
    """Delete one."""
    delete_disk(engine, engine.disk(id))
    return show_done()


@route("GET", "/disks/{}/disksnapshots")
def list_volumes(engine: Engine, request: Request, id: str) -> Element:
    """List the volumes of a disk."""
    disk = engine.disk(id)
    return many("disk_snapshots", [show_disk_snapshot(engine, disk, layer) for layer in disk.layers])


@route("GET", "/storagedomains/{}/disksnapshots")
def list_domain_volumes(engine: Engine, request: Request, id: str) -> Element:
    """List the volumes of a storage domain."""
    disks = [one for one in engine.inventory.disks.values() if one.domain == engine.find("domains", id).id]
    return many("disk_snapshots", [show_disk_snapshot(engine, disk, layer) for disk in disks for layer in disk.layers])


@route("GET", "/storagedomains/{}/disksnapshots/{}")
def get_volume(engine: Engine, request: Request, id: str, layer_id: str) -> Element:
    """Show one volume."""
    found = engine.inventory.snapshot_of(layer_id)
    if found is None:
        raise not_found("DiskSnapshot", layer_id)
    return show_disk_snapshot(engine, *found)


@route("GET", "/storagedomains/{}/disks")
def list_domain_disks(engine: Engine, request: Request, id: str) -> Element:
    """List the disks of a storage domain."""
    disks = [one for one in engine.inventory.disks.values() if one.domain == engine.find("domains", id).id]
    return many("disks", [show_disk(engine, one) for one in disks])


def new_disk(engine: Engine, body: Element, default_name: str = "") -> Disk:
    """Make a disk as described."""
    domain = engine.find_named("domains", body.find("storage_domains/storage_domain"), "StorageDomain")
    if domain is None:
        raise Refusal(400, "Disk [storageDomains.id|name] required for add", "Incomplete parameters")
    name = text_of(body, "name") or text_of(body, "alias") or default_name
    disk = Disk(body.get("id") or new_id(), name, int_of(body, "provisioned_size"), domain.id)
    layer_format = {"cow": "qcow2", "raw": "raw"}.get(text_of(body, "format") or "raw")
    if layer_format is None:
        raise Refusal(400, "Disk [format] is not valid", "Invalid value")
    disk.sparse = flag_of(body, "sparse", layer_format == "qcow2")
    if layer_format == "qcow2" and not disk.sparse:
        raise Refusal(409, "[Cannot add Virtual Disk. Disk configuration (COW Preallocated) is incompatible.]")
    disk.initial_size = int_of(body, "initial_size")
    disk.description = text_of(body, "description") or ""
    disk.content_type = text_of(body, "content_type") or "data"
    disk.shareable = flag_of(body, "shareable")
    disk.wipe_after_delete = flag_of(body, "wipe_after_delete")
    disk.backup = text_of(body, "backup") or "none"
    if disk.backup == "incremental" and layer_format == "raw":
        raise Refusal(409, "[Cannot add Virtual Disk. Incremental backup is supported for QCOW2 format only.]")
    return create_disk(engine, disk, layer_format)


def apply_disk(engine: Engine, disk: Disk, body: Element) -> None:
    """Change what an element says."""
    backup = text_of(body, "backup")
    if backup == "incremental" and disk.format != "cow":
        raise Refusal(409, "[Cannot edit Virtual Disk. Incremental backup is supported for QCOW2 format only.]")
    disk.backup = backup or disk.backup
    disk.name = text_of(body, "name") or text_of(body, "alias") or disk.name
    if body.find("description") is not None:
        disk.description = text_of(body, "description") or ""
    size = int_of(body, "provisioned_size", disk.size)
    if size < disk.size:
        raise Refusal(409, "[Cannot edit Virtual Disk. New disk size must be larger than the current disk size.]")
    if size > disk.size:
        _extend(engine, disk, size)


def _extend(engine: Engine, disk: Disk, size: int) -> None:
    vm = engine.inventory.vm_of(disk.id)
    if vm is None:
        raise Refusal(409, "[Cannot extend disk. It is not attached to a VM.]")  # the lab has no use for it
    engine.require_no_backup(vm, "extend disk")
    machine = engine.machine(vm)
    machine.ensure(engine.plugged(vm))
    machine.resize(disk, size)
    disk.size = size
