# SPDX-License-Identifier: Apache-2.0
"""Where deleted backups wait, so that a wrong policy can be undone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from vmferry.vault import sealed
from vmferry.vault.layout import QUARANTINE, Vault
from vmferry.vault.names import parse_stamp, stamp

KEPT_FOR = timedelta(hours=72)


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A deleted backup, still there."""

    path: Path
    vm_dir: str
    since: datetime

    @property
    def id(self) -> str:
        """Its id."""
        return self.path.name


def set_aside(backup_dir: Path, now: datetime | None = None) -> Path:
    """Move a backup or an unfinished point out of the VM's directory, in one rename."""
    moment = now or datetime.now(UTC)
    vm_dir = backup_dir.parent
    shelf = vm_dir.parent / QUARANTINE / vm_dir.name / stamp(moment)
    shelf.mkdir(parents=True, exist_ok=True)
    place = shelf / backup_dir.name
    number = 1
    while place.exists():
        number += 1
        place = shelf.with_name(f"{shelf.name}-{number}") / backup_dir.name
        place.parent.mkdir(exist_ok=True)
    backup_dir.rename(place)
    sealed.sync_dir(vm_dir)
    sealed.sync_dir(place.parent)
    return place


def list_quarantine(vault: Vault) -> Iterator[Quarantined]:
    """List what waits, oldest first."""
    for path in sorted(vault.quarantine.glob("*/*/*")):
        since = parse_stamp(path.parent.name.partition("-")[0])
        if since is not None and path.is_dir():
            yield Quarantined(path, path.parent.parent.name, since)


def purge(
    vault: Vault, vm_dir: str, *, kept_for: timedelta = KEPT_FOR, now: datetime | None = None
) -> list[Quarantined]:
    """Remove for good what has waited long enough."""
    oldest = (now or datetime.now(UTC)) - kept_for
    gone = [one for one in list_quarantine(vault) if one.vm_dir == vm_dir and one.since <= oldest]
    for one in gone:
        destroy(one.path)
    return gone


def destroy(place: Path) -> None:
    """Remove something from the quarantine for good, and the directories that are empty then."""
    shutil.rmtree(place)
    for parent in (place.parent, place.parent.parent, place.parent.parent.parent):
        if any(parent.iterdir()):
            return
        parent.rmdir()
