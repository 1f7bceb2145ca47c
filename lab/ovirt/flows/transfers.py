"""An image transfer: a ticket of the real imageio daemon over real bytes, and the phases around it.

The order of phases and what each of them does follows the engine's TransferDiskImageCommand.
"""

from __future__ import annotations

import time

from lab.ovirt.engine import Engine
from lab.ovirt.model import Disk, Transfer, Vm, new_id
from lab.ovirt.router import Refusal
from lab.ovirt.storage import StorageError
from lab.ovirt.tickets import TicketError

POLL_S = 0.3
CLEAN_S = 900.0
"""How long an ended transfer can still be seen."""
TICKET_S = 300
OVER = ("finished_success", "finished_failure", "finished_cleanup")
STARTED, STOPPED, SUCCEEDED, FAILED, CANCELLED, TIMEOUT = 1031, 1068, 1032, 1034, 1033, 1063


def is_open(transfer: Transfer) -> bool:
    """Whether a transfer still holds its disk."""
    return transfer.phase not in OVER


def start_transfer(engine: Engine, wish: Transfer) -> Transfer:
    """Check whether a transfer may begin, and let it begin."""
    disk = engine.disk(wish.disk)
    if wish.backup:
        _check_backup(engine, wish, disk)
    else:
        _check_disk(engine, wish, disk)
        disk.status = "locked"
    wish.ticket = new_id()
    wish.size = _size(engine, wish, disk)
    wish.job = engine.begin_job(f"Transferring disk {disk.name}")
    engine.inventory.transfers[wish.id] = wish
    delay_s = engine.delay("transfer.initializing")
    rule = engine.enter("transfer", wish, "initializing", delay_s, **_facts(wish))
    if rule is not None and rule.action == "wrong_size":
        wish.size += int(rule.value)
    return wish


def finalize_transfer(engine: Engine, transfer: Transfer) -> None:
    """Begin to end a transfer well."""
    _require(transfer, ("transferring", "paused_user", "paused_system", "resuming"), "finalize")
    engine.enter("transfer", transfer, "finalizing_success", engine.delay("transfer.finalizing"), **_facts(transfer))


def cancel_transfer(engine: Engine, transfer: Transfer) -> None:
    """Begin to end a transfer, and with an upload its disk."""
    if transfer.phase == "cancelled_user" or transfer.phase.startswith("finalizing"):
        return
    _require(transfer, ("initializing", "transferring", "paused_user", "paused_system", "resuming"), "cancel")
    engine.enter("transfer", transfer, "cancelled_user", engine.delay("transfer.finalizing"), **_facts(transfer))


def pause_transfer(engine: Engine, transfer: Transfer) -> None:
    """Pause it: the ticket stays, the clock does not count."""
    _require(transfer, ("transferring", "resuming"), "pause")
    transfer.phase, transfer.due = "paused_user", 0.0


def resume_transfer(engine: Engine, transfer: Transfer) -> None:
    """Let it go on."""
    _require(transfer, ("paused_user", "paused_system"), "resume")
    engine.enter("transfer", transfer, "resuming", engine.delay("transfer.resuming"), **_facts(transfer))


def extend_transfer(engine: Engine, transfer: Transfer) -> None:
    """Put the ticket's end off."""
    _require(transfer, ("transferring",), "extend")
    try:
        engine.tickets.extend(str(transfer.ticket), TICKET_S)
    except TicketError as error:
        raise Refusal(409, f"[Cannot extend image transfer session: {error}]") from None


def step_transfer(engine: Engine, transfer: Transfer) -> None:
    """Take a transfer to its next phase."""
    {
        "initializing": _open,
        "transferring": _poll,
        "resuming": _resume,
        "finalizing_success": _finish,
        "finalizing_failure": _clean_failed,
        "finalizing_cleanup": _clean_cancelled,
        "cancelled_user": _begin_cleanup,
        "cancelled_system": _begin_failure,
    }.get(transfer.phase, _rest)(engine, transfer)


def stop_by_system(engine: Engine, transfer: Transfer, why: str) -> None:
    """Do what the engine does when a transfer cannot go on: an upload may be resumed, a download is over."""
    text = f"Transfer {transfer.id} was stopped by system. Reason: {why}."
    phase = "paused_system" if transfer.direction == "upload" else "cancelled_system"
    delay = -1.0 if phase == "paused_system" else engine.delay("transfer.finalizing")
    with engine.lock:
        if transfer.phase not in ("initializing", "transferring", "resuming"):  # someone ended it meanwhile
            return
        engine.tell(STOPPED, text, transfer.id, transfer.disk, transfer.backup or "", severity="error")
        engine.enter("transfer", transfer, phase, delay, **_facts(transfer))


def _check_backup(engine: Engine, wish: Transfer, disk: Disk) -> None:
    backup = engine.find("backups", str(wish.backup))
    if backup.phase != "ready":
        text = f"The VM backup is not in READY phase, backup phase is {backup.phase}"
        raise Refusal(409, f"[Cannot transfer Virtual Disk. {text}]")
    if disk.id not in backup.disks:
        raise Refusal(409, f"[Cannot transfer Virtual Disk. Disk {disk.id} is not part of the backup.]")
    if wish.format == "cow":
        raise Refusal(409, "[Cannot transfer Virtual Disk. The format is not applicable for backup.]")
    busy = [one for one in engine.inventory.transfers.values() if one.backup == backup.id and one.disk == disk.id]
    if any(is_open(one) for one in busy):
        raise Refusal(409, f"[Cannot transfer Virtual Disk: Disk {disk.name} is being transferred.]")


def _check_disk(engine: Engine, wish: Transfer, disk: Disk) -> None:
    if disk.storage_type != "image":
        raise Refusal(409, "[Cannot transfer Virtual Disk. Direct LUN disks cannot be transferred.]")
    engine.require_disk_ok(disk, "transfer Virtual Disk")
    vm = engine.inventory.vm_of(disk.id)
    if wish.snapshot and wish.snapshot != disk.image_id:
        return  # a volume under the active one: nobody writes it
    if vm is not None and vm.status != "down" and _is_plugged(vm, disk):
        raise Refusal(409, f"[Cannot transfer Virtual Disk: The disk {disk.name} is attached to running VM {vm.name}.]")
    if vm is not None:
        engine.require_no_backup(vm, "transfer Virtual Disk")


def _is_plugged(vm: Vm, disk: Disk) -> bool:
    attachment = vm.attachment(disk.id)
    return attachment is not None and attachment.active


def _size(engine: Engine, wish: Transfer, disk: Disk) -> int:
    if wish.format == "raw" or disk.format == "raw":
        return disk.size
    if wish.direction == "upload":  # as the engine: a fully allocated qcow2 has to fit
        return int(disk.size * 1.1) + (1 << 20)
    engine.storage.create(disk)
    return engine.storage.path(disk, disk.layers[_level(disk, wish)]).stat().st_size


def _level(disk: Disk, transfer: Transfer) -> int:
    if not transfer.snapshot:
        return len(disk.layers) - 1
    return next((i for i, one in enumerate(disk.layers) if one.id == transfer.snapshot), len(disk.layers) - 1)


def _open(engine: Engine, transfer: Transfer) -> None:
    disk = engine.inventory.disks.get(transfer.disk)
    backup = engine.inventory.backups.get(transfer.backup or "")
    if disk is None or (backup and disk.id in backup.broken):
        why = "failed to create a signed image ticket"
        if backup:
            disk_name = disk.name if disk else transfer.disk
            engine.tell(
                STOPPED, f"Bitmap does not exist: {backup.from_checkpoint} on disk {disk_name}", backup.id,
                transfer.disk, severity="error", vm=backup.vm,
            )  # fmt: skip
        stop_by_system(engine, transfer, why)
        return
    try:
        url = backup.exports[disk.id] if backup else _serve(engine, transfer, disk)
        engine.tickets.add(_ticket(engine, transfer, url, bool(backup and backup.dirty.get(disk.id))))
    except (StorageError, TicketError, RuntimeError) as error:
        _unserve(engine, transfer)
        stop_by_system(engine, transfer, f"failed to add image ticket to the host's daemon ({error})")
        return
    with engine.lock:
        if transfer.phase != "initializing":  # someone cancelled it meanwhile
            return
        engine.tell(STARTED, f"Image {transfer.direction} with disk {disk.name} was initiated.", transfer.id, disk.id)
        engine.enter("transfer", transfer, "transferring", POLL_S, **_facts(transfer))


def _serve(engine: Engine, transfer: Transfer, disk: Disk) -> str:
    """Start what imageio reads from or writes to; the VM's own qemu must not hold the disk then."""
    level, is_upload = _level(disk, transfer), transfer.direction == "upload"
    vm = engine.inventory.vm_of(disk.id)
    if vm is not None and vm.status == "down":
        engine.machine(vm).stop()
    engine.storage.create(disk)
    if transfer.format != "raw":
        return f"file://{engine.storage.path(disk, disk.layers[level])}"
    transfer.nbd = f"t{transfer.id.replace('-', '')}"
    slow = engine.faults.take_phase("transfer", {**_facts(transfer), "phase": "served", "id": transfer.id})
    bytes_per_s = int(slow.value) if slow and slow.action == "slow" else 0
    return engine.storage.serve(
        transfer.nbd, disk, level, read_only=not is_upload, shallow=transfer.shallow, bytes_per_s=bytes_per_s
    )


def _ticket(engine: Engine, transfer: Transfer, url: str, dirty: bool) -> dict[str, object]:
    return {
        "uuid": transfer.ticket, "size": transfer.size, "url": url, "timeout": TICKET_S,
        "inactivity_timeout": transfer.inactivity_s, "sparse": True, "dirty": dirty, "transfer_id": transfer.id,
        "ops": ["read"] if transfer.direction == "download" else ["write"],
    }  # fmt: skip


def _poll(engine: Engine, transfer: Transfer) -> None:
    try:
        found = engine.tickets.get(str(transfer.ticket))
        if found["expires"] < time.monotonic() + TICKET_S / 2:
            engine.tickets.extend(str(transfer.ticket), TICKET_S)
    except TicketError as error:
        if error.status == 0 and engine.setting("tolerate_silent_imageio"):
            _again(engine, transfer)
            return
        stop_by_system(engine, transfer, f"missing transfer ticket ({error})")
        return
    with engine.lock:
        if transfer.phase != "transferring":  # someone ended it meanwhile
            return
        transfer.transferred = found.get("transferred") or 0
        transfer.active = bool(found["active"])
        if found["idle_time"] > transfer.inactivity_s > 0 and not transfer.active:
            _time_out(engine, transfer)
        else:
            _again(engine, transfer)


def _again(engine: Engine, transfer: Transfer) -> None:
    transfer.due = time.time() + POLL_S


def _time_out(engine: Engine, transfer: Transfer) -> None:
    engine.tell(TIMEOUT, f"Transfer {transfer.id} was stopped: no client activity.", transfer.id, severity="warning")
    keeps = transfer.policy == "pause" or (transfer.policy == "legacy" and transfer.direction == "upload")
    phase = "paused_system" if keeps else "cancelled_system"
    engine.enter("transfer", transfer, phase, -1 if keeps else engine.delay("transfer.finalizing"), **_facts(transfer))


def _resume(engine: Engine, transfer: Transfer) -> None:
    try:
        engine.tickets.get(str(transfer.ticket))
        engine.tickets.extend(str(transfer.ticket), TICKET_S)
    except TicketError as error:
        stop_by_system(engine, transfer, f"failed to renew the ticket ({error})")
        return
    with engine.lock:
        if transfer.phase == "resuming":
            engine.enter("transfer", transfer, "transferring", POLL_S, **_facts(transfer))


def _finish(engine: Engine, transfer: Transfer) -> None:
    if not _stop_session(engine, transfer):
        return
    disk = engine.inventory.disks.get(transfer.disk)
    wrong = engine.storage.check(disk) if disk and transfer.direction == "upload" else None
    if wrong:
        engine.tell(
            FAILED, f"Transfer {transfer.id}: verifying the image failed: {wrong}.", transfer.id, severity="error"
        )
        engine.enter("transfer", transfer, "finalizing_failure", 0.01, **_facts(transfer))
        return
    engine.enter("transfer", transfer, "finished_success", CLEAN_S, **_facts(transfer))
    if transfer.phase != "finished_success":
        return
    with engine.lock:
        if disk and not transfer.backup:
            disk.status = "ok"
        _end(engine, transfer)
        engine.tell(SUCCEEDED, f"Image {transfer.direction} with disk {transfer.disk} succeeded.", transfer.id)
    if engine.version < (4, 4, 7):  # these forgot a transfer as soon as it was over
        with engine.lock:
            engine.inventory.transfers.pop(transfer.id, None)


def _begin_cleanup(engine: Engine, transfer: Transfer) -> None:
    engine.enter("transfer", transfer, "finalizing_cleanup", 0.01, **_facts(transfer))


def _begin_failure(engine: Engine, transfer: Transfer) -> None:
    engine.enter("transfer", transfer, "finalizing_failure", 0.01, **_facts(transfer))


def _clean_cancelled(engine: Engine, transfer: Transfer) -> None:
    _clean(engine, transfer, "finished_cleanup", CANCELLED)


def _clean_failed(engine: Engine, transfer: Transfer) -> None:
    _clean(engine, transfer, "finished_failure", FAILED)


def _clean(engine: Engine, transfer: Transfer, phase: str, code: int) -> None:
    if not _stop_session(engine, transfer):
        return
    disk = engine.inventory.disks.get(transfer.disk)
    with engine.lock:
        engine.enter("transfer", transfer, phase, CLEAN_S, **_facts(transfer))
        if disk and transfer.direction == "upload":
            vm = engine.inventory.vm_of(disk.id)
            if vm is not None:
                vm.attachments = [one for one in vm.attachments if one.disk != disk.id]
            engine.inventory.disks.pop(disk.id, None)
        elif disk and not transfer.backup:
            disk.status = "ok"
        _end(engine, transfer, failed=True)
        engine.tell(code, f"Image {transfer.direction} with disk {transfer.disk} ended: {phase}.", transfer.id)
    if disk and transfer.direction == "upload":
        engine.storage.delete(disk)


def _stop_session(engine: Engine, transfer: Transfer) -> bool:
    """Remove the ticket; False while a client stays connected, and the phase stays what it is, as on an engine."""
    try:
        engine.tickets.remove(str(transfer.ticket))
    except TicketError as error:
        if error.status == 409:
            transfer.due = time.time() + POLL_S
            return False
        if error.status not in (0, 404):  # 0: the daemon is not there, and its tickets went with it
            raise
    _unserve(engine, transfer)
    return True


def _unserve(engine: Engine, transfer: Transfer) -> None:
    if transfer.nbd:
        engine.storage.unserve(transfer.nbd)
        transfer.nbd = None


def _end(engine: Engine, transfer: Transfer, *, failed: bool = False) -> None:
    transfer.active, transfer.ended = False, time.time()
    engine.end_job(transfer.job, failed=failed)


def _rest(engine: Engine, transfer: Transfer) -> None:
    """A finished one is forgotten after a while; a paused one waits for its client."""
    with engine.lock:
        transfer.due = 0.0
        if not is_open(transfer) and transfer.ended and time.time() - transfer.ended >= CLEAN_S:
            engine.inventory.transfers.pop(transfer.id, None)
        elif not is_open(transfer) and not transfer.ended:  # a fault ended it
            transfer.phase, transfer.due = "finalizing_failure", time.time()


def _require(transfer: Transfer, phases: tuple[str, ...], doing: str) -> None:
    if transfer.phase not in phases:
        raise Refusal(409, f"[Cannot {doing} image transfer: its phase is {transfer.phase}.]")


def _facts(transfer: Transfer) -> dict[str, str]:
    return {"direction": transfer.direction, "disk": transfer.disk, "backup": transfer.backup or ""}
