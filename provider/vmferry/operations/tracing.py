# SPDX-License-Identifier: Apache-2.0
"""Which backup a VM at a target is: noted on the VM itself, so that no list of our own can be wrong about it."""

from __future__ import annotations

from vmferry.operations.values import Json
from vmferry.platforms.contract import Target
from vmferry.platforms.orders import VmRef
from vmferry.policy.vm import RestoreRule
from vmferry.vault import Backup, Vault
from vmferry.vault.catalogue import list_shelves

_KEY = "backup="


def detect_new_backups(target: Target, vault: Vault, vm: str, rule: RestoreRule) -> Json:
    """Say which backups are newer than what the restored VM at the target is, oldest first.

    The newest of them is all that has to be restored: each restore is a whole VM.
    """
    (shelf,) = list_shelves(vault, vm)
    name = vm + rule.suffix
    restored = restored_moment(target.find_vm(name))
    new = [backup.id for backup in shelf.backups if restored is None or moment_of(backup.id) > restored]
    return {"vm": vm, "name": name, "restored": restored, "new": new, "latest": new[-1] if new else None}


def standing_restore(target: Target, vm: str, rule: RestoreRule) -> str | None:
    """Say which backup the VM is that a restore of ours left under its name; None when it is no such VM, or absent."""
    return restored_moment(target.find_vm(vm + rule.suffix))


def moment_of(backup_id: str) -> str:
    """Give the time in a backup's id: with the VM's name it says which one it is, and it always fits into a tag."""
    return backup_id.rsplit("_", 2)[1]


def restored_moment(vm: VmRef | None) -> str | None:
    """Say which backup a VM is; None when nobody noted it, or there is no VM."""
    marks = vm.marks if vm is not None else ()
    return next((mark.removeprefix(_KEY) for mark in marks if mark.startswith(_KEY)), None)


def newest(vault: Vault, vm: str, wanted: str) -> Backup:
    """Look a backup up: ``latest``, its id, or the beginning of its time."""
    (shelf,) = list_shelves(vault, vm)
    return shelf.find(wanted).require()
