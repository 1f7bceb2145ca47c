# SPDX-License-Identifier: Apache-2.0
"""Finds the VMs whose newest backup is older than their RPO. By names alone: no file of the vault is opened."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from vmferry.operations.values import Carried
from vmferry.policy.vm import VmPolicy
from vmferry.vault import Vault
from vmferry.vault.layout import backup_dirs, is_published
from vmferry.vault.names import id_moment


@dataclass(frozen=True, slots=True)
class Late(Carried):
    """A VM that needs a backup."""

    vm: str
    site: str
    dag_id: str
    rpo_s: int
    newest: str | None
    """Id of its newest backup; None when it has none."""


def list_late(vault: Vault, vms: Iterable[VmPolicy], now: datetime, *, known_since: datetime) -> Iterator[Late]:
    """Say which VMs are late. One without any backup is late once the policy has been as it is for its RPO."""
    for vm in vms:
        if vm.rpo_s is None:
            continue
        newest = newest_backup(vault, vm.name)
        since = id_moment(newest) if newest else known_since
        if (now - since).total_seconds() > vm.rpo_s:
            yield Late(vm.name, vm.site, vm.dag_id, vm.rpo_s, newest)


def newest_backup(vault: Vault, vm: str) -> str | None:
    """Give the id of a VM's newest published backup."""
    vm_dir = vault.vm_dir(vm)
    if not vm_dir.is_dir():
        return None
    return next((path.name for path in reversed(backup_dirs(vm_dir)) if is_published(path)), None)
