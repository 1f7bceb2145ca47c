"""Snapshots of VMs."""

from __future__ import annotations

from lab.ovirt.engine import Engine
from lab.ovirt.flows.snapshots import remove_snapshot, take_snapshot
from lab.ovirt.model import Snapshot, Vm
from lab.ovirt.router import Refusal, Reply, Request, not_found, route
from lab.ovirt.views import show_disk, show_done, show_snapshot, show_snapshots
from lab.ovirt.xml import Element, flag_of, many, text_of


@route("GET", "/vms/{}/snapshots")
def list_snapshots(engine: Engine, request: Request, id: str) -> Element:
    """List a VM's."""
    return many("snapshots", show_snapshots(engine.vm(id)))


@route("GET", "/vms/{}/snapshots/{}")
def get_snapshot(engine: Engine, request: Request, id: str, snapshot: str) -> Element:
    """Show one."""
    vm = engine.vm(id)
    return show_snapshot(vm, _snapshot(vm, snapshot))


@route("GET", "/vms/{}/snapshots/{}/disks")
def list_snapshot_disks(engine: Engine, request: Request, id: str, snapshot: str) -> Element:
    """Show the disks it froze; the id of the frozen volume is the disk's image id."""
    found, shown = _snapshot(engine.vm(id), snapshot), []
    for disk_id, layer in found.layers.items():
        one = show_disk(engine, engine.disk(disk_id))
        image = one.find("image_id")
        if image is not None:
            image.text = layer
        shown.append(one)
    return many("disks", shown)


@route("POST", "/vms/{}/snapshots", permit="snapshot")
def add_snapshot(engine: Engine, request: Request, id: str) -> Reply:
    """Take one."""
    vm, body = engine.vm(id), request.body
    if flag_of(body, "persist_memorystate"):
        raise Refusal(409, "[Cannot create Snapshot. The simulated VMs have no memory to keep.]")
    disks = [one.get("id") or "" for one in body.findall("disk_attachments/disk_attachment/disk")] or None
    made = take_snapshot(engine, vm, text_of(body, "description") or "", disks)
    return Reply(show_snapshot(vm, made), 201)


@route("DELETE", "/vms/{}/snapshots/{}", permit="snapshot")
def delete_snapshot(engine: Engine, request: Request, id: str, snapshot: str) -> Element:
    """Merge one away."""
    vm = engine.vm(id)
    remove_snapshot(engine, vm, _snapshot(vm, snapshot))
    return show_done()


def _snapshot(vm: Vm, id: str) -> Snapshot:
    found = next((one for one in vm.snapshots if one.id == id), None)
    if found is None:
        raise not_found("Snapshot", id)
    return found
