"""Checkpoints: the moments from which changes of a VM's disks are known."""

from __future__ import annotations

from lab.ovirt.engine import Engine
from lab.ovirt.model import Checkpoint, Vm
from lab.ovirt.router import Refusal, Request, not_found, route
from lab.ovirt.views import show_checkpoint, show_disk, show_done
from lab.ovirt.xml import Element, many

SINCE = (4, 4)


@route("GET", "/vms/{}/checkpoints", since=SINCE)
def list_checkpoints(engine: Engine, request: Request, id: str) -> Element:
    """List a VM's, the oldest first."""
    vm = engine.vm(id)
    return many("checkpoints", [show_checkpoint(vm, one) for one in vm.checkpoints])


@route("GET", "/vms/{}/checkpoints/{}", since=SINCE)
def get_checkpoint(engine: Engine, request: Request, id: str, checkpoint: str) -> Element:
    """Show one."""
    vm = engine.vm(id)
    return show_checkpoint(vm, _checkpoint(vm, checkpoint))


@route("GET", "/vms/{}/checkpoints/{}/disks", since=SINCE)
def list_checkpoint_disks(engine: Engine, request: Request, id: str, checkpoint: str) -> Element:
    """Show its disks."""
    disks = [engine.inventory.disks[one] for one in _checkpoint(engine.vm(id), checkpoint).disks
             if one in engine.inventory.disks]  # fmt: skip
    return many("disks", [show_disk(engine, disk) for disk in disks])


@route("DELETE", "/vms/{}/checkpoints/{}", permit="backup", since=SINCE)
def remove_checkpoint(engine: Engine, request: Request, id: str, checkpoint: str) -> Element:
    """Forget one: its bitmaps are deleted. An engine 4.4 only forgets the oldest."""
    vm = engine.vm(id)
    one = _checkpoint(vm, checkpoint)
    engine.require_no_backup(vm, "remove VM checkpoint")
    engine.require_unlocked(vm, "remove VM checkpoint")
    index = vm.checkpoints.index(one)
    if index and engine.version < (4, 5):
        raise Refusal(409, "[Cannot remove VM checkpoint. Only the root checkpoint can be removed.]")
    disks = [
        engine.inventory.disks[disk] for disk in one.disks if disk in engine.inventory.disks and vm.attachment(disk)
    ]
    for disk in disks:
        engine.require_disk_ok(disk, "remove VM checkpoint")
    _forget(engine, vm, index)
    if index + 1 < len(vm.checkpoints):
        vm.checkpoints[index + 1].parent = one.parent
    vm.checkpoints.remove(one)
    engine.begin_job(f"Removing checkpoint {one.id} of VM {vm.name}", ended=True)
    return show_done()


def _forget(engine: Engine, vm: Vm, index: int) -> None:
    """Delete the bitmaps. One in the middle hands what it knows to the one before it, as libvirt does."""
    one = vm.checkpoints[index]
    machine = engine.machine(vm)
    machine.ensure(engine.plugged(vm))
    plugged = {disk.id: disk for disk in engine.plugged(vm)}
    disks = [plugged[disk] for disk in one.disks if disk in plugged]
    if index:
        machine.hand_over_bitmap(disks, one.id, vm.checkpoints[index - 1].id)
    machine.remove_bitmap(disks, one.id)
    if vm.status == "down":
        machine.stop()


def _checkpoint(vm: Vm, id: str) -> Checkpoint:
    found = next((one for one in vm.checkpoints if one.id == id), None)
    if found is None:
        raise not_found("Checkpoint", id)
    return found
