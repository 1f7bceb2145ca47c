# SPDX-License-Identifier: Apache-2.0
"""What `vault ls` and `vault show` tell about each backup."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from vmferry.engine.errors import EngineError
from vmferry.vault.backup import Backup
from vmferry.vault.catalogue import Entry, Shelf, list_shelves
from vmferry.vault.layout import Vault
from vmferry.vault.records import Verified, read_record


@dataclass(frozen=True, slots=True)
class DiskSummary:
    """One disk of a backup."""

    name: str
    mode: str
    method: str
    reason: str
    size_bytes: int
    """What the guest sees."""
    stored_bytes: int
    """What its files take up in this backup."""
    chain_length: int | None
    """Layers it is read from, its own included; None: the chain is broken."""
    root: str


@dataclass(frozen=True, slots=True)
class Summary:
    """One backup."""

    vm: str
    id: str
    path: str
    time: str | None
    mode: str | None
    consistency: str | None
    parent: str | None
    chain_length: int | None
    """The longest of its disks' chains; None: a chain is broken."""
    size_bytes: int | None
    disks: tuple[DiskSummary, ...]
    held: bool
    verified: Verified | None
    """The last verification of this generation of its files."""
    error: str | None
    """Why it cannot be read."""

    def to_json(self) -> dict[str, Any]:
        """Turn into plain data."""
        return asdict(self)


def list_backups(vault: Vault, vm: str | None = None) -> tuple[Summary, ...]:
    """Tell about all backups, oldest first per VM; reads point.json files only. Raises `NewerFormat`."""
    return tuple(summary for shelf in list_shelves(vault, vm) for summary in _summaries(shelf))


def show_backup(vault: Vault, vm: str, backup: str = "latest") -> Summary:
    """Tell about one backup."""
    (shelf,) = list_shelves(vault, vm)
    return _summarize(shelf, shelf.find(backup))


def _summaries(shelf: Shelf) -> Iterator[Summary]:
    for entry in (*shelf.entries, *shelf.misplaced):
        yield _summarize(shelf, entry)


def _summarize(shelf: Shelf, entry: Entry) -> Summary:
    backup = entry.backup
    if backup is None:
        return Summary(
            entry.vm,
            entry.id,
            str(entry.dir),
            None,
            None,
            None,
            None,
            None,
            None,
            (),
            entry.held,
            None,
            str(entry.error),
        )
    disks = tuple(_disks(shelf, backup))
    lengths = [disk.chain_length for disk in disks]
    return Summary(
        vm=backup.vm,
        id=backup.id,
        path=str(entry.dir),
        time=backup.to_json()["started"],
        mode=backup.mode.value,
        consistency=backup.consistency.value,
        parent=backup.parent,
        chain_length=None if None in lengths else max((one for one in lengths if one is not None), default=0),
        size_bytes=backup.size_bytes,
        disks=disks,
        held=entry.held,
        verified=read_record(entry),
        error=None,
    )


def _disks(shelf: Shelf, backup: Backup) -> Iterator[DiskSummary]:
    for disk in backup.disks:
        try:
            length: int | None = len(shelf.chain(backup, disk))
        except EngineError:
            length = None
        stored = disk.image.size_bytes + disk.proof.size_bytes
        yield DiskSummary(
            disk.name, disk.mode.value, disk.method.value, disk.reason, disk.size_bytes, stored, length, disk.root
        )
