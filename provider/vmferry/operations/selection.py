# SPDX-License-Identifier: Apache-2.0
"""Which disks of a VM are backed up, and what they are called in the vault."""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Mapping, Sequence

from vmferry.engine.errors import EngineError
from vmferry.operations.values import Skipped
from vmferry.platforms.errors import NotSupported
from vmferry.platforms.inventory import Disk, Vm
from vmferry.vault import Vault
from vmferry.vault.catalogue import Shelf, list_shelves


def choose_disks(vm: Vm, exclude: Sequence[str]) -> tuple[tuple[Disk, ...], tuple[Skipped, ...]]:
    """Say which disks are backed up and which are not, each with its reason."""
    chosen, skipped = [], []
    for disk in vm.disks:
        pattern = next((one for one in exclude if _is_named(disk, one)), None)
        reason = disk.skip or (f"excluded by the policy ({pattern})" if pattern else "")
        if reason:
            skipped.append(Skipped(disk.alias, disk.id, reason))
        else:
            chosen.append(disk)
    if not chosen:
        why = "; ".join(f"{one.disk}: {one.reason}" for one in skipped) or "it has none"
        raise NotSupported(
            f"VM {vm.name!r}: there is no disk to back up ({why})", fix="see disks.exclude in the policy"
        )
    return tuple(chosen), tuple(skipped)


def name_disks(vault: Vault, vm: str, disks: Sequence[Disk]) -> Mapping[str, str]:
    """Name each disk, by its id: as in the newest backup that has it, else by its alias.

    So a disk that was renamed, or two of one alias, go on with the chain they have.
    """
    known = _known_names(vault, vm)
    counts = Counter(disk.alias for disk in disks)
    names: dict[str, str] = {}
    taken = {known[disk.id] for disk in disks if disk.id in known}
    for disk in disks:
        alias = disk.alias if counts[disk.alias] == 1 and disk.alias not in taken else f"{disk.alias}-{disk.id[:8]}"
        names[disk.id] = known.get(disk.id, alias)
    return names


def _known_names(vault: Vault, vm: str) -> dict[str, str]:
    shelf = read_vm_shelf(vault, vm)
    return {
        disk.id: disk.name
        for backup in (shelf.backups if shelf else ())
        for disk in backup.disks
        if disk.id is not None
    }


def read_vm_shelf(vault: Vault, vm: str) -> Shelf | None:
    """Read what the vault has of a VM; None when there is nothing."""
    if not vault.vm_dir(vm).is_dir():
        return None
    try:
        (shelf,) = list_shelves(vault, vm)
    except EngineError:
        # Another operation says what is wrong with it, in its own words.
        return None
    return shelf


def _is_named(disk: Disk, pattern: str) -> bool:
    return disk.id == pattern or fnmatch.fnmatchcase(disk.alias, pattern)
