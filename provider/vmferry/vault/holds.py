# SPDX-License-Identifier: Apache-2.0
"""Keeps single backups from prune, whatever the policy says."""

from __future__ import annotations

from vmferry.engine.errors import BadInput
from vmferry.vault import records
from vmferry.vault.catalogue import Entry, read_shelf
from vmferry.vault.layout import Vault


def hold_backup(vault: Vault, vm: str, backup: str, reason: str) -> str:
    """Keep a backup, and what it stands on, until it is released; gives its id. May be called twice."""
    if not reason.strip():
        raise BadInput("a hold needs a reason", fix="say why, for the one who finds it in a year")
    entry = _entry(vault, vm, backup)
    records.hold(entry, reason)
    return entry.id


def release_backup(vault: Vault, vm: str, backup: str) -> str:
    """Let prune decide about a backup again; gives its id. May be called twice."""
    entry = _entry(vault, vm, backup)
    records.release(entry)
    return entry.id


def _entry(vault: Vault, vm: str, backup: str) -> Entry:
    (vm_dir,) = vault.vm_dirs(vm)
    return read_shelf(vm_dir).find(backup)
