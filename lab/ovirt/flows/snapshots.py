"""A snapshot is locked while it is taken or merged; a real one: each disk of the VM gets a new volume."""

from __future__ import annotations

import time

from lab.ovirt.engine import Engine
from lab.ovirt.model import Disk, Snapshot, Vm, new_id
from lab.ovirt.qmp import QmpError
from lab.ovirt.router import Refusal
from lab.ovirt.storage import StorageError

CREATED, FAILED, REMOVED = 68, 69, 356


def take_snapshot(engine: Engine, vm: Vm, description: str, disks: list[str] | None) -> Snapshot:
    """Begin to take one; `disks` None means all that can be."""
    engine.require_unlocked(vm, "create Snapshot")
    engine.require_no_backup(vm, "create Snapshot")
    if vm.status not in ("up", "down", "paused"):
        raise Refusal(409, f"[Cannot create Snapshot. VM is {vm.status}.]")
    chosen = [one for one in engine.plugged(vm) if disks is None or one.id in disks]
    for disk in chosen:
        engine.require_disk_ok(disk, "create Snapshot")
    made = Snapshot(new_id(), description, time.time(), disks=[one.id for one in chosen])
    made.job = engine.begin_job(f"Creating VM snapshot {description} for VM {vm.name}")
    vm.snapshots.append(made)
    for disk in chosen:
        disk.status = "locked"
    engine.enter("snapshot", made, "locked", engine.delay("snapshot.locked"), vm=vm.id)
    return made


def remove_snapshot(engine: Engine, vm: Vm, snapshot: Snapshot) -> None:
    """Begin to merge one away."""
    engine.require_unlocked(vm, "remove Snapshot")
    engine.require_no_backup(vm, "remove Snapshot")
    for id in snapshot.layers:
        engine.require_disk_ok(engine.disk(id), "remove Snapshot")
        engine.disk(id).status = "locked"
    snapshot.job = engine.begin_job(f"Removing snapshot {snapshot.description} from VM {vm.name}")
    snapshot.type = "removing"
    engine.enter("snapshot", snapshot, "locked", engine.delay("snapshot.removing"), vm=vm.id)


def step_snapshot(engine: Engine, snapshot: Snapshot) -> None:
    """Take a snapshot to its next status."""
    vm = next(one for one in engine.inventory.vms.values() if snapshot in one.snapshots)
    if snapshot.status == "failed":  # a fault put it there
        _fail(engine, vm, snapshot, "simulated fault")
        return
    if snapshot.status != "locked":
        snapshot.due = 0.0
        return
    try:
        if snapshot.type == "removing":
            _merge(engine, vm, snapshot)
        else:
            _freeze(engine, vm, snapshot)
    except (QmpError, StorageError, RuntimeError) as error:
        _fail(engine, vm, snapshot, str(error))


def _freeze(engine: Engine, vm: Vm, snapshot: Snapshot) -> None:
    disks = [engine.disk(id) for id in snapshot.disks]
    engine.machine(vm).ensure(engine.plugged(vm))
    for disk in disks:
        if disk.id not in snapshot.fresh:
            snapshot.fresh[disk.id] = engine.storage.add_layer(disk)
    engine.save()
    if disks:
        engine.machine(vm).snapshot(disks, snapshot.fresh)
    with engine.lock:
        for disk in disks:
            snapshot.layers[disk.id] = disk.image_id
            disk.layers.append(snapshot.fresh.pop(disk.id))
            disk.status = "ok"
        engine.enter("snapshot", snapshot, "ok", -1, vm=vm.id)
        if snapshot.status == "failed":
            snapshot.status = "ok"
            _fail(engine, vm, snapshot, "simulated fault")
            return
        engine.end_job(snapshot.job)
        engine.tell(CREATED, f"Snapshot '{snapshot.description}' creation for VM '{vm.name}' has been completed.",
                    snapshot.id, vm=vm.id)  # fmt: skip
    _rest(engine, vm)


def _merge(engine: Engine, vm: Vm, snapshot: Snapshot) -> None:
    rule = engine.faults.take_phase("snapshot", {"phase": "merging", "id": snapshot.id, "vm": vm.id})
    if rule is not None and rule.action == "failed":
        snapshot.type = "regular"
        _fail(engine, vm, snapshot, "simulated fault: merging failed")
        return
    engine.machine(vm).ensure(engine.plugged(vm))
    for id, layer in list(snapshot.layers.items()):
        disk = engine.inventory.disks.get(id)
        if disk is not None:
            _merge_disk(engine, vm, disk, layer)
        del snapshot.layers[id]
        engine.save()
    with engine.lock:
        vm.snapshots.remove(snapshot)
        for id in snapshot.disks:
            if id in engine.inventory.disks:
                engine.inventory.disks[id].status = "ok"
        engine.end_job(snapshot.job)
        engine.tell(REMOVED, f"Snapshot '{snapshot.description}' deletion for VM '{vm.name}' has been completed.",
                    snapshot.id, vm=vm.id)  # fmt: skip
    _rest(engine, vm)


def _merge_disk(engine: Engine, vm: Vm, disk: Disk, layer_id: str) -> None:
    index = next((i for i, one in enumerate(disk.layers) if one.id == layer_id), -1)
    if index < 0 or index + 1 >= len(disk.layers):
        return
    engine.machine(vm).merge(disk, index)
    rule = engine.faults.take_phase("snapshot", {"phase": "merged", "disk": disk.id, "vm": vm.id})
    if rule is not None:
        engine.act(rule, vm)
    with engine.lock:
        gone = disk.layers.pop(index + 1)
        for other in vm.snapshots:  # whoever had frozen the volume that is gone now has the one it went into
            if other.layers.get(disk.id) == gone.id:
                other.layers[disk.id] = layer_id
    engine.storage.drop_layer(disk, gone)


def _fail(engine: Engine, vm: Vm, snapshot: Snapshot, why: str) -> None:
    with engine.lock:
        for id in snapshot.disks:
            if id in engine.inventory.disks:
                engine.inventory.disks[id].status = "ok"
        if snapshot.layers:
            snapshot.status, snapshot.type, snapshot.due = "ok", "regular", 0.0
        else:
            vm.snapshots.remove(snapshot)
        engine.end_job(snapshot.job, failed=True)
        text = f"Failed to complete snapshot '{snapshot.description}' for VM '{vm.name}': {why}"
        engine.tell(FAILED, text, snapshot.id, severity="error", vm=vm.id)


def _rest(engine: Engine, vm: Vm) -> None:
    if vm.status == "down" and not engine.active_backup(vm.id):
        engine.machine(vm).stop()
