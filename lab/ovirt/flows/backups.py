"""A VM backup: initializing, starting, ready; finalizing, succeeded; or failed. Its bytes are frozen by real qemu."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from lab.ovirt.engine import Engine
from lab.ovirt.flows.transfers import is_open
from lab.ovirt.machine import Freeze
from lab.ovirt.model import Backup, Checkpoint, Disk, Snapshot, Vm, new_id
from lab.ovirt.qmp import QmpError
from lab.ovirt.router import Refusal
from lab.ovirt.storage import StorageError

HYBRID = (4, 5)
"""Since this version a backup makes a snapshot, and full and incremental may be mixed."""
STARTED, FINALIZED, FAILED, FREEZE_FAILED = 10790, 10791, 10792, 10767


def start_backup(engine: Engine, vm: Vm, wish: Backup) -> Backup:
    """Check whether a backup may begin, and let it begin."""
    disks = [engine.disk(id) for id in wish.disks]
    _check_vm(engine, vm)
    _check_disks(engine, vm, disks)
    tracked = [disk for disk in disks if is_tracked(disk)]
    wish.modes = {disk.id: "full" for disk in disks}
    if wish.from_checkpoint:
        _plan_incremental(engine, vm, wish, disks)
    if tracked:
        wish.to_checkpoint = new_id()
    for disk in disks:
        disk.status = "locked"
    wish.job = engine.begin_job(f"Starting backup of VM {vm.name}")
    engine.inventory.backups[wish.id] = wish
    _enter(engine, wish, "initializing", engine.delay("backup.initializing"))
    return wish


def finalize_backup(engine: Engine, backup: Backup) -> None:
    """Begin to end a backup."""
    if any(one.backup == backup.id and is_open(one) for one in engine.inventory.transfers.values()):
        raise Refusal(409, "[Cannot stop VM backup. There are active image transfers for the backup.]")
    if backup.phase != "ready":
        raise Refusal(
            409, f"[Cannot stop VM backup. The VM backup is not in READY phase, backup phase is {backup.phase}]"
        )
    backup.job = engine.begin_job(f"Finalizing backup {backup.id}")
    _enter(engine, backup, "finalizing", engine.delay("backup.finalizing"))


def step_backup(engine: Engine, backup: Backup) -> None:
    """Take a backup to its next phase."""
    if backup.phase == "initializing":
        _enter(engine, backup, "starting", engine.delay("backup.starting"))
    elif backup.phase == "starting":
        _freeze(engine, backup)
    elif backup.phase == "finalizing":
        _release(engine, backup)
    else:  # a fault put it somewhere
        _settle(engine, backup)
    backup.modified = time.time()


def recover_backups(engine: Engine) -> None:
    """After a restart: what qemu still serves goes on, the rest has failed."""
    for backup in engine.inventory.backups.values():
        if backup.phase not in ("ready", "starting"):
            continue
        vm = engine.inventory.vms.get(backup.vm)
        if vm is None or not engine.machine(vm).is_running:
            if backup.phase == "ready":
                fail_backup(engine, backup, "the VM's qemu is gone")
        elif backup.phase == "starting":  # maybe half done
            engine.machine(vm).release(backup.id, _disks(engine, backup))
            engine.agent.ask("thaw", vm=vm.id)


def fail_backup(engine: Engine, backup: Backup, why: str) -> None:
    """Note that a backup has failed; what it holds is let go."""
    vm = engine.inventory.vms.get(backup.vm)
    if vm is not None:
        engine.machine(vm).release(backup.id, _disks(engine, backup))
    with engine.lock:
        backup.phase, backup.due = "failed", 0.0
        _unlock(engine, backup)
        name = vm.name if vm else backup.vm
        text = f"VM {name} backup {backup.id} failed: {why} (User: {backup.owner})."
        engine.tell(FAILED, text, backup.id, severity="error", vm=backup.vm)
        engine.end_job(backup.job, failed=True)


def is_tracked(disk: Disk) -> bool:
    """Whether qemu tracks what changes on a disk."""
    return disk.format == "cow" and disk.backup == "incremental"


def _check_vm(engine: Engine, vm: Vm) -> None:
    if vm.status not in ("up", "down"):
        raise Refusal(409, f"[Cannot backup VM. The VM {vm.name} should be in Up or Down status.]")
    if vm.status == "down" and engine.version < (4, 4, 5):
        raise Refusal(409, "[Cannot backup VM. The VM should be in Up status.]")
    engine.require_unlocked(vm, "backup VM")
    if engine.active_backup(vm.id):
        raise Refusal(409, "[Cannot backup VM. The VM is during a backup operation.]")


def _check_disks(engine: Engine, vm: Vm, disks: Sequence[Disk]) -> None:
    if not disks:
        raise Refusal(400, "Backup [disks] required for add", "Incomplete parameters")
    for disk in disks:
        attachment = vm.attachment(disk.id)
        if attachment is None:
            raise Refusal(409, f"[Cannot backup VM. The disk {disk.name} is not attached to VM {vm.name}.]")
        if disk.storage_type != "image" or disk.shareable:
            kind = "shareable" if disk.shareable else "a direct LUN"
            raise Refusal(409, f"[Cannot backup VM. Disk {disk.name} is {kind}, which cannot be backed up.]")
        if not attachment.active:
            raise Refusal(409, f"[Cannot backup VM. The following disks are not active: {disk.id}.]")
        engine.require_disk_ok(disk, "backup VM")


def _plan_incremental(engine: Engine, vm: Vm, wish: Backup, disks: Sequence[Disk]) -> None:
    start = next((one for one in vm.checkpoints if one.id == wish.from_checkpoint), None)
    if start is None:
        raise Refusal(409, f"[Cannot backup VM. The checkpoint ID {wish.from_checkpoint} does not exist.]")
    if start.state != "created":
        raise Refusal(409, f"[Cannot backup VM. The checkpoint {start.id} is invalid.]")
    for disk in disks:
        if is_tracked(disk) and disk.id in start.disks:
            wish.modes[disk.id] = "incremental"
        elif engine.version < HYBRID:
            text = f"The following disks are not in the checkpoint, mixed backups are not supported: {disk.id}"
            raise Refusal(409, f"[Cannot backup VM. {text}]")


def _freeze(engine: Engine, backup: Backup) -> None:
    vm, disks = engine.vm(backup.vm), _disks(engine, backup)
    if vm.status == "up" and not vm.agent and backup.consistency:
        engine.tell(FREEZE_FAILED, f"Failed to freeze guest filesystems on VM {vm.name}.", backup.id, severity="error")
        fail_backup(engine, backup, "guest file systems could not be frozen, and consistency was required")
        return
    rule = engine.faults.take_phase("backup", {"phase": "frozen", "id": backup.id, "vm": vm.id})
    slow = int(rule.value) if rule and rule.action == "slow" else 0
    is_broken = rule is not None and rule.action == "broken_bitmap"
    chains = {id: _chain(vm, backup, id) for id, mode in backup.modes.items() if mode == "incremental"}
    tracked = {disk.id for disk in disks if is_tracked(disk)}
    try:
        machine = engine.machine(vm)
        machine.ensure(engine.plugged(vm))
        _undo(engine, vm, backup)  # what a killed engine left half done
        with _quiet_guest(engine, vm):
            frozen = machine.freeze(Freeze(backup.id, disks, backup.to_checkpoint, tracked, chains, slow))
        _bear_witness(engine, backup, {id: one.url for id, one in frozen.items()})
    except (QmpError, StorageError, RuntimeError) as error:
        with contextlib.suppress(QmpError, RuntimeError):  # qemu may be what is gone
            _undo(engine, vm, backup)
        fail_backup(engine, backup, str(error))
        return
    with engine.lock:
        for disk in disks:
            backup.exports[disk.id] = frozen[disk.id].url
            backup.dirty[disk.id] = frozen[disk.id].dirty
            if frozen[disk.id].broken or ((disk.broken_bitmaps or is_broken) and disk.id in chains):
                backup.broken.append(disk.id)
        _note_checkpoint(engine, vm, backup, tracked)
        _note_snapshot(engine, vm, backup)
        _enter(engine, backup, "ready", -1)
        if backup.phase == "ready":
            engine.tell(STARTED, f"Backup {backup.id} for VM {vm.name} started.", backup.id, vm=vm.id)
            engine.end_job(backup.job)


def _bear_witness(engine: Engine, backup: Backup, urls: dict[str, str]) -> None:
    """Where the setting `witness` names a directory: keep what is frozen there, before anybody can read it over us."""
    where = str(engine.setting("witness"))
    for id, url in urls.items() if where else ():
        path = Path(where) / f"{backup.id}-{id}.raw"
        done = subprocess.run(
            ["qemu-img", "convert", "-f", "raw", "-O", "raw", url, str(path)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"no witness of disk {id}: {done.stderr}")


@contextlib.contextmanager
def _quiet_guest(engine: Engine, vm: Vm) -> Iterator[None]:
    """Have the guest's agent, if it has one, freeze the file systems for the length of a block."""
    if vm.status != "up" or not vm.agent:
        yield
        return
    engine.agent.ask("freeze", vm=vm.id)
    try:
        yield
    finally:
        engine.agent.ask("thaw", vm=vm.id)


def _enter(engine: Engine, backup: Backup, phase: str, delay_s: float) -> None:
    """Put it into a phase. Whoever sees that it has failed finds its disks unlocked."""
    with engine.lock:
        rule = engine.enter("backup", backup, phase, delay_s, vm=backup.vm)
        if backup.phase == "failed":
            fail_backup(engine, backup, rule.detail if rule else "")


def _undo(engine: Engine, vm: Vm, backup: Backup) -> None:
    """Let the moment go again. What changed since then is put down to the checkpoint before, which goes on."""
    machine, disks = engine.machine(vm), _disks(engine, backup)
    machine.release(backup.id, disks)
    for disk in disks if backup.to_checkpoint else []:
        older = [one.id for one in vm.checkpoints if disk.id in one.disks]
        if older:
            machine.hand_over_bitmap([disk], str(backup.to_checkpoint), older[-1])
        machine.remove_bitmap([disk], str(backup.to_checkpoint))


def _note_checkpoint(engine: Engine, vm: Vm, backup: Backup, tracked: set[str]) -> None:
    if backup.to_checkpoint:
        parent = vm.checkpoints[-1].id if vm.checkpoints else None
        ids = [id for id in backup.disks if id in tracked]
        made = Checkpoint(backup.to_checkpoint, parent, time.time(), ids, backup.description)
        vm.checkpoints.append(made)


def _note_snapshot(engine: Engine, vm: Vm, backup: Backup) -> None:
    if engine.version >= HYBRID:  # shown as the engine shows it; the bytes are kept by copy-before-write
        text = f"Auto-generated for Backup VM {vm.name}"
        vm.snapshots.append(Snapshot(new_id(), text, time.time(), disks=list(backup.disks)))
        backup.snapshot = vm.snapshots[-1].id


def _chain(vm: Vm, backup: Backup, disk: str) -> list[str]:
    ids = [one.id for one in vm.checkpoints]
    since = vm.checkpoints[ids.index(str(backup.from_checkpoint)) :]
    return [one.id for one in since if disk in one.disks]


def _release(engine: Engine, backup: Backup) -> None:
    vm = engine.inventory.vms.get(backup.vm)
    if vm is not None:
        engine.machine(vm).release(backup.id, _disks(engine, backup))
    with engine.lock:
        _enter(engine, backup, "succeeded", -1)
        if backup.phase == "succeeded":
            _settle(engine, backup)


def _settle(engine: Engine, backup: Backup) -> None:
    vm = engine.inventory.vms.get(backup.vm)
    with engine.lock:
        backup.due = 0.0
        if backup.phase != "succeeded":
            return
        _unlock(engine, backup)
        engine.tell(FINALIZED, f"Backup {backup.id} for VM {vm.name if vm else ''} finalized.", backup.id, vm=backup.vm)
        engine.end_job(backup.job)
        if engine.version < (4, 4, 7):  # these forgot a backup as soon as it was over
            engine.inventory.backups.pop(backup.id, None)
    if vm is not None and vm.status == "down":
        engine.machine(vm).stop()


def _unlock(engine: Engine, backup: Backup) -> None:
    for disk in _disks(engine, backup):
        if disk.status == "locked":
            disk.status = "ok"
    vm = engine.inventory.vms.get(backup.vm)
    if vm is not None:
        vm.snapshots = [one for one in vm.snapshots if one.id != backup.snapshot]
    backup.exports.clear()


def _disks(engine: Engine, backup: Backup) -> list[Disk]:
    return [engine.inventory.disks[id] for id in backup.disks if id in engine.inventory.disks]
