# SPDX-License-Identifier: Apache-2.0
"""What is in a vault: reads point.json files and nothing else, so that a list is quick whatever the disks hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmferry.engine.errors import EngineError
from vmferry.vault import sealed
from vmferry.vault.backup import Backup, BackupDisk, backup_from_json
from vmferry.vault.errors import ChainBroken, NewerFormat, NoSuchBackup, TornPoint
from vmferry.vault.layout import HOLD, NEXT, POINT, POINT_NEXT, Vault, backup_dirs, is_published, misplaced_dirs
from vmferry.vault.names import decode_name, id_moment, id_place, is_id


@dataclass(frozen=True, slots=True)
class Entry:
    """One backup's place in the vault, readable or not."""

    dir: Path
    backup: Backup | None
    error: EngineError | None
    swapping: bool = False
    """A fold is between its two generations; see "Files are written once" in docs/format.md."""
    checksum: str = ""
    """Of point.json: changes when the backup is folded."""

    @property
    def id(self) -> str:
        """The backup's id, also when point.json cannot be read."""
        return self.dir.name

    @property
    def vm(self) -> str:
        """The VM's name."""
        return self.backup.vm if self.backup else decode_name(self.dir.parent.name)

    @property
    def held(self) -> bool:
        """Tell whether prune has to leave it alone."""
        return (self.dir / HOLD).exists()

    def path(self, name: str) -> Path:
        """Say where a file of the valid generation is."""
        coming = self.dir / (name + NEXT)
        return coming if self.swapping and coming.exists() else self.dir / name

    def require(self) -> Backup:
        """Give the backup, or raise what is wrong with it."""
        if self.backup is None:
            raise self.error or TornPoint(f"{self.dir} cannot be read", fix="verify the vault")
        return self.backup


@dataclass(frozen=True, slots=True)
class Link:
    """One layer of a disk's chain."""

    entry: Entry
    disk: BackupDisk

    @property
    def image(self) -> Path:
        """The qcow2."""
        return self.entry.path(self.disk.image.name)

    @property
    def proof(self) -> Path:
        """The proof file."""
        return self.entry.path(self.disk.proof.name)


@dataclass(frozen=True, slots=True)
class Shelf:
    """All backups of one VM, oldest first."""

    dir: Path
    entries: tuple[Entry, ...]
    misplaced: tuple[Entry, ...] = ()
    """Backups in it that are none of this VM by their names: shown and complained of, never used."""

    @property
    def vm(self) -> str:
        """The VM's true name."""
        named = next((entry.vm for entry in self.entries if entry.backup), None)
        return named if named is not None else decode_name(self.dir.name)

    @property
    def backups(self) -> tuple[Backup, ...]:
        """Those that can be read."""
        return tuple(entry.backup for entry in self.entries if entry.backup)

    def entry(self, backup_id: str) -> Entry | None:
        """Look one up by its whole id."""
        return next((entry for entry in self.entries if entry.id == backup_id), None)

    def find(self, wanted: str) -> Entry:
        """Look one up by ``latest``, its id, or the beginning of its id or of its time."""
        if wanted == "latest":
            if not self.entries:
                raise self._none()
            return self.entries[-1]
        stem = self.dir.name + "_"
        found = [entry for entry in self.entries if entry.id == wanted] or [
            entry
            for entry in self.entries
            if wanted and (entry.id.startswith(wanted) or entry.id[len(stem) :].startswith(wanted))
        ]
        if len(found) == 1:
            return found[0]
        what = f"fits {len(found)} backups" if found else "is no backup"
        raise NoSuchBackup(f"{wanted!r} {what} of VM {self.vm!r}", fix="vmferry vault ls shows their ids")

    def _none(self) -> EngineError:
        strange = next((entry.error for entry in self.misplaced if entry.error), None)
        fix = f"{strange.what}; {strange.fix}" if strange else "vmferry vault add makes one"
        return NoSuchBackup(f"VM {self.vm!r} has no backup", fix=fix)

    def with_entry(self, backup_dir: Path, backup: Backup) -> Shelf:
        """Add a backup that is about to exist."""
        return Shelf(self.dir, (*self.entries, Entry(backup_dir, backup, None)))

    def chain(self, backup: Backup, disk: BackupDisk) -> tuple[Link, ...]:
        """Give the layers of a disk, oldest first; raises `ChainBroken` where one is missing."""
        return build_chain({entry.id: entry for entry in self.entries}, backup.id, disk)

    def disk_chain(self, backup: Backup, name: str) -> tuple[Link, ...]:
        """Give the layers of the disk of that name."""
        disk = backup.disk(name)
        if disk is None:
            names = ", ".join(one.name for one in backup.disks)
            raise NoSuchBackup(f"backup {backup.id} has no disk {name!r}", fix=f"it has {names}")
        return self.chain(backup, disk)

    def dependants(self, broken: Iterable[str]) -> dict[str, str]:
        """Name every backup that stands on one of these, however far up, and which one it is."""
        standing: dict[str, str] = {bad: bad for bad in broken}
        for backup in self.backups:
            on = next((standing[parent] for parent in sorted(backup.parents) if parent in standing), None)
            if on is not None and backup.id not in standing:
                standing[backup.id] = on
        return {dependant: on for dependant, on in standing.items() if dependant != on}


def build_chain(entries: Mapping[str, Entry], backup_id: str, disk: BackupDisk) -> tuple[Link, ...]:
    """Walk from a disk down to its full backup."""
    links: list[Link] = []
    where, wanted = backup_id, disk
    while True:
        links.append(Link(entries[where], wanted))
        if wanted.parent is None:
            return tuple(reversed(links))
        parent = entries.get(wanted.parent)
        found = parent.backup.disk(disk.name) if parent and parent.backup else None
        if found is None or id_moment(wanted.parent) >= id_moment(where):
            raise ChainBroken(
                f"backup {backup_id}, disk {disk.name}: {where} stands on {wanted.parent}, "
                + ("which cannot be read" if parent and parent.error else "which is not there or has no such disk"),
                fix="bring it back from the quarantine or from a copy of the vault",
            )
        where, wanted = wanted.parent, found


def read_shelf(vm_dir: Path) -> Shelf:
    """Read all point.json files of one VM."""
    entries = tuple(read_entry(path) for path in backup_dirs(vm_dir) if is_published(path))
    return Shelf(vm_dir, entries, tuple(_misplaced(path) for path in misplaced_dirs(vm_dir)))


def _misplaced(path: Path) -> Entry:
    place = id_place(path.name)
    fix = f"move it back into a directory {place}" if place else "give it back its name, which is the id in point.json"
    return Entry(path, None, TornPoint(f"{path} is a backup, but not where it belongs", fix=fix))


def read_entry(backup_dir: Path) -> Entry:
    """Read one point.json; what is wrong with it becomes part of the entry."""
    swapping = (backup_dir / POINT_NEXT).exists()
    path = backup_dir / (POINT_NEXT if swapping else POINT)
    try:
        raw = sealed.read_bytes(path)
        backup = backup_from_json(sealed.parse(raw, str(path)), str(path))
        _check_place(backup, backup_dir)
    except EngineError as error:
        return Entry(backup_dir, None, error, swapping)
    return Entry(backup_dir, backup, None, swapping, sealed.checksum_of(raw) or "")


def list_shelves(vault: Vault, vm: str | None = None) -> tuple[Shelf, ...]:
    """Read what the vault holds; raises `NewerFormat`, while torn backups are in the list with their error."""
    shelves = tuple(read_shelf(path) for path in vault.vm_dirs(vm))
    for shelf in shelves:
        require_known(shelf.entries)
    return shelves


def require_known(entries: Sequence[Entry]) -> None:
    """Stop at a backup of a newer format: what it means for the others is not ours to guess."""
    for entry in entries:
        if isinstance(entry.error, NewerFormat):
            raise entry.error


def _check_place(backup: Backup, backup_dir: Path) -> None:
    vm_dir = backup_dir.parent.name
    strange = [parent for parent in backup.parents if not is_id(parent, vm_dir)]
    if backup.id != backup_dir.name or strange:
        what = f"it calls itself {backup.id}" if backup.id != backup_dir.name else f"it stands on {strange[0]!r}"
        raise TornPoint(f"{backup_dir / POINT} does not belong here: {what}", fix="bring it back from a copy")
