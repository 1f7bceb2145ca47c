# SPDX-License-Identifier: Apache-2.0
"""Gives back what dead runs left at a platform. Never anything of a living run, of somebody else, or proven bytes."""

from __future__ import annotations

from collections.abc import Callable

from vmferry.engine.errors import EngineError
from vmferry.operations.values import Json
from vmferry.platforms.contract import Leases
from vmferry.platforms.orders import Lease
from vmferry.platforms.plain import to_plain
from vmferry.vault import Vault, abandon
from vmferry.vault.openpoint import unfinished_points

_ORDER = (
    "way", "transfer", "backup", "snapshot", "vm", "disk", "instance",
    "loan", "server", "port", "volume", "boot_volume", "image", "volume_snapshot",
)  # fmt: skip
"""What stands on other things goes first."""


def list_leftovers(site: Leases, is_dead: Callable[[str], bool]) -> list[Json]:
    """List all leases, and which of them would be released."""
    return [{**to_plain(lease), "released": _may_go(lease, is_dead)} for lease in _in_order(site)]


def sweep(site: Leases, is_dead: Callable[[str], bool], *, vault: Vault | None = None) -> Json:
    """Release the leases of dead runs and drop their unfinished backups. May be called again; a failure stops nothing.

    `is_dead` gets a run as its tag says it (very long ones are cut, see `platforms.runs`).
    """
    released, kept, failed = [], [], []
    for lease in _in_order(site):
        label = f"{lease.kind} {lease.name or lease.id} of {lease.owner}"
        if not _may_go(lease, is_dead):
            why = "proven bytes" if lease.holds_verified_bytes else "nobody says that its run is dead"
            kept.append(f"{label}: {why}")
            continue
        try:
            site.release(lease)
        except EngineError as error:
            failed.append(f"{label}: {error}")
        else:
            released.append(label)
    dropped = _drop_unfinished(vault, is_dead) if vault is not None else []
    return {"released": released, "kept": kept, "failed": failed, "dropped": dropped}


def _may_go(lease: Lease, is_dead: Callable[[str], bool]) -> bool:
    return not lease.holds_verified_bytes and is_dead(lease.owner)


def _in_order(site: Leases) -> list[Lease]:
    return sorted(site.leases(), key=lambda lease: _ORDER.index(lease.kind))


def _drop_unfinished(vault: Vault, is_dead: Callable[[str], bool]) -> list[str]:
    dropped = []
    for vm_dir in vault.vm_dirs() if vault.path.is_dir() else ():
        for point in unfinished_points(vm_dir):
            if is_dead(point.owner):
                abandon(point)
                dropped.append(point.id)
    return dropped
