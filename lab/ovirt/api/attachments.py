"""Disks on VMs."""

from __future__ import annotations

from lab.ovirt.api.disks import apply_disk, new_disk
from lab.ovirt.engine import Engine
from lab.ovirt.flows.disks import delete_disk
from lab.ovirt.model import Attachment, Vm
from lab.ovirt.router import Refusal, Reply, Request, not_found, route
from lab.ovirt.views import show_attachment, show_done
from lab.ovirt.xml import Element, flag_of, many, text_of

INTERFACES = ("virtio", "virtio_scsi", "sata", "ide", "spapr_vscsi")


@route("GET", "/vms/{}/diskattachments")
def list_attachments(engine: Engine, request: Request, id: str) -> Element:
    """List a VM's disks."""
    vm, deep = engine.vm(id), "disk" in request.query.get("follow", "").split(",")
    return many("disk_attachments", [show_attachment(engine, vm, one, deep=deep) for one in vm.attachments])


@route("GET", "/vms/{}/diskattachments/{}")
def get_attachment(engine: Engine, request: Request, id: str, disk: str) -> Element:
    """Show one."""
    vm = engine.vm(id)
    return show_attachment(engine, vm, _attachment(vm, disk))


@route("POST", "/vms/{}/diskattachments", permit="vm")
def add_attachment(engine: Engine, request: Request, id: str) -> Reply:
    """Attach a disk that exists, or make a new one on the VM."""
    vm, body = engine.vm(id), request.body
    given = body.find("disk")
    if given is None:
        raise Refusal(400, "DiskAttachment [disk] required for add", "Incomplete parameters")
    interface = text_of(body, "interface")
    if interface not in INTERFACES:
        raise Refusal(400, "DiskAttachment [interface] required for add", "Incomplete parameters")
    disk = given.get("id")
    if disk is None or (disk not in engine.inventory.disks and given.find("provisioned_size") is not None):
        disk = new_disk(engine, given, default_name=f"{vm.name}_Disk{len(vm.attachments) + 1}").id
    wish = Attachment(
        disk, interface, flag_of(body, "bootable"), flag_of(body, "active", True), flag_of(body, "read_only")
    )
    attach(engine, vm, wish, fresh=given.get("id") is None)
    engine.begin_job(f"Attaching disk to VM {vm.name}", ended=True)
    return Reply(show_attachment(engine, vm, wish), 201)


@route("PUT", "/vms/{}/diskattachments/{}", permit="vm")
def update_attachment(engine: Engine, request: Request, id: str, disk_id: str) -> Element:
    """Change how a disk is attached, or the disk."""
    vm, body = engine.vm(id), request.body
    one, disk = _attachment(vm, disk_id), engine.disk(disk_id)
    is_active = flag_of(body, "active", one.active)
    if is_active != one.active and not is_active:
        engine.require_no_backup(vm, "deactivate disk")
        engine.machine(vm).unplug(disk)
    one.active = is_active
    one.bootable = flag_of(body, "bootable", one.bootable)
    one.read_only = flag_of(body, "read_only", one.read_only)
    one.interface = text_of(body, "interface") or one.interface
    given = body.find("disk")
    if given is not None:
        apply_disk(engine, disk, given)
    return show_attachment(engine, vm, one)


@route("DELETE", "/vms/{}/diskattachments/{}", permit="vm")
def remove_attachment(engine: Engine, request: Request, id: str, disk_id: str) -> Element:
    """Detach a disk (`detach_only`, which is the default), or delete it too."""
    vm, disk = engine.vm(id), engine.disk(disk_id)
    one = _attachment(vm, disk_id)
    engine.require_no_backup(vm, "detach disk")
    if any(disk_id in snapshot.layers for snapshot in vm.snapshots):
        raise Refusal(409, f"[Cannot detach disk. Disk {disk.name} has snapshots.]")
    engine.machine(vm).unplug(disk)
    vm.attachments.remove(one)
    if request.query.get("detach_only", "true").lower() == "false":
        delete_disk(engine, disk)
    return show_done()


def attach(engine: Engine, vm: Vm, wish: Attachment, *, fresh: bool = False) -> None:
    """Attach a disk, as the rules allow."""
    disk = engine.disk(wish.disk)
    if vm.attachment(disk.id):
        raise Refusal(409, f"[Cannot attach Virtual Disk. The disk {disk.name} is already attached to VM {vm.name}.]")
    owner = engine.inventory.vm_of(disk.id)
    if owner is not None and not disk.shareable:
        raise Refusal(409, f"[Cannot attach Virtual Disk. The disk {disk.name} is attached to VM {owner.name}.]")
    if not fresh:
        engine.require_disk_ok(disk, "attach Virtual Disk")
    engine.require_no_backup(vm, "attach Virtual Disk")
    if wish.bootable and any(one.bootable for one in vm.attachments):
        raise Refusal(409, f"[Cannot attach Virtual Disk. VM {vm.name} can only have one bootable disk.]")
    if wish.read_only and wish.interface == "ide":
        raise Refusal(409, "[Cannot attach Virtual Disk. An IDE disk cannot be read-only.]")
    vm.attachments.append(wish)


def _attachment(vm: Vm, disk: str) -> Attachment:
    found = vm.attachment(disk)
    if found is None:
        raise not_found("DiskAttachment", disk)
    return found
