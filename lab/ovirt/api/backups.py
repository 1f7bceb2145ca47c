"""Backups of VMs."""

from __future__ import annotations

import time

from lab.ovirt.engine import Engine
from lab.ovirt.flows.backups import finalize_backup, start_backup
from lab.ovirt.model import Backup, new_id
from lab.ovirt.router import Refusal, Reply, Request, not_found, route
from lab.ovirt.views import show_backup, show_disk, show_done
from lab.ovirt.xml import Element, many, text_of

SINCE = (4, 4)


@route("GET", "/vms/{}/backups", since=SINCE)
def list_backups(engine: Engine, request: Request, id: str) -> Element:
    """List a VM's."""
    vm = engine.vm(id)
    return many("backups", [show_backup(engine, one) for one in engine.inventory.backups.values() if one.vm == vm.id])


@route("GET", "/vms/{}/backups/{}", since=SINCE)
def get_backup(engine: Engine, request: Request, id: str, backup: str) -> Element:
    """Show one."""
    return show_backup(engine, _backup(engine, id, backup))


@route("GET", "/vms/{}/backups/{}/disks", since=SINCE)
def list_backup_disks(engine: Engine, request: Request, id: str, backup: str) -> Element:
    """Show its disks, each with its mode."""
    one = _backup(engine, id, backup)
    disks = [engine.inventory.disks[disk] for disk in one.disks if disk in engine.inventory.disks]
    return many("disks", [show_disk(engine, disk, mode=one.modes.get(disk.id, "full")) for disk in disks])


@route("POST", "/vms/{}/backups", permit="backup", since=SINCE)
def add_backup(engine: Engine, request: Request, id: str) -> Reply:
    """Start one; the caller may choose its id."""
    vm, body, now = engine.vm(id), request.body, time.time()
    backup_id = body.get("id") or new_id()
    if backup_id in engine.inventory.backups:
        raise Refusal(409, f"[Cannot backup VM. A backup with the ID {backup_id} already exists.]")
    disks = [one.get("id") or "" for one in body.findall("disks/disk")]
    wish = Backup(backup_id, vm.id, "initializing", now, now, disks, {}, text_of(body, "description") or "")
    wish.from_checkpoint = text_of(body, "from_checkpoint_id")
    wish.consistency = request.is_set("require_consistency")
    wish.owner = request.user
    return Reply(show_backup(engine, start_backup(engine, vm, wish)), 201)


@route("POST", "/vms/{}/backups/{}/finalize", permit="backup", since=SINCE)
def finalize(engine: Engine, request: Request, id: str, backup: str) -> Element:
    """End one."""
    finalize_backup(engine, _backup(engine, id, backup))
    return show_done()


def _backup(engine: Engine, vm: str, backup: str) -> Backup:
    found = engine.inventory.backups.get(backup)
    if found is None or found.vm != engine.vm(vm).id:
        raise not_found("Backup", backup)
    return found
