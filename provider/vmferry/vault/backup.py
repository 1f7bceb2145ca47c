# SPDX-License-Identifier: Apache-2.0
"""What point.json says, as values. See docs/format.md."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from vmferry.vault.errors import NewerFormat, TornPoint
from vmferry.vault.names import format_moment, id_moment, parse_moment

FORMAT_VERSION = 1
_HEX = re.compile(r"^[0-9a-f]{64}$")
_FILE_NAME = re.compile(r"^[A-Za-z0-9._%~-]+$")


class Mode(enum.Enum):
    """What a backup, or one disk in it, holds."""

    FULL = "full"
    """Every byte; stands on nothing."""
    INCREMENTAL = "incremental"
    """What changed since its parent."""


class Method(enum.Enum):
    """How a disk's bytes were found."""

    FULL = "full"
    """Everything was read and stored."""
    DIRTY = "dirty"
    """Only what a dirty bitmap named was read."""
    HEALED = "healed"
    """Everything was read and compared with the parent's proof; what differed was stored."""
    FOLDED = "folded"
    """Prune made it from several backups."""


class Consistency(enum.Enum):
    """What state the guest was in at the point."""

    APPLICATION = "application"
    """Applications were told to write everything down."""
    FILE_SYSTEM = "file-system"
    """The guest froze its file systems."""
    CRASH = "crash"
    """As after pulling the plug."""
    OFFLINE = "offline"
    """The VM was off."""
    UNKNOWN = "unknown"
    """Nobody said."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a backup."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class DiskInfo:
    """A disk as the platform describes it, before anything is read."""

    name: str
    """Unique in the VM."""
    size_bytes: int | None = None
    """What the guest sees; None: found out when the source is opened."""
    id: str | None = None
    alias: str | None = None
    interface: str | None = None
    bootable: bool | None = None


@dataclass(frozen=True, slots=True)
class BackupDisk:
    """One disk in a backup."""

    name: str
    id: str | None
    alias: str | None
    interface: str | None
    bootable: bool | None
    size_bytes: int
    """What the guest sees, exactly."""
    mode: Mode
    method: Method
    reason: str
    """Why it is full, or why it was healed; may be empty."""
    parent: str | None
    """Id of the backup this disk stands on."""
    parent_root: str | None
    from_checkpoint: str | None
    to_checkpoint: str | None
    root: str
    image: StoredFile
    backing: str | None
    proof: StoredFile
    read_bytes: int
    written_bytes: int
    zeroed_bytes: int
    changed_bytes: int
    resumed_bytes: int
    seconds: float
    changed_ratio: float
    compress_ratio: float | None


@dataclass(frozen=True, slots=True)
class Backup:
    """A point's bytes in the vault."""

    id: str
    vm: str
    """The true name, not the directory's."""
    vm_id: str | None
    site: str | None
    engine_version: str
    owner: str
    mode: Mode
    consistency: Consistency
    started: datetime
    finished: datetime
    disks: tuple[BackupDisk, ...]
    files: tuple[StoredFile, ...]
    folds: int = 0

    @property
    def moment(self) -> datetime:
        """The time in the id: what orders backups."""
        return id_moment(self.id)

    @property
    def parents(self) -> frozenset[str]:
        """Ids of all backups that a disk in it stands on."""
        return frozenset(disk.parent for disk in self.disks if disk.parent is not None)

    @property
    def parent(self) -> str | None:
        """The newest of them."""
        return max(self.parents, key=id_moment, default=None)

    @property
    def size_bytes(self) -> int:
        """What its files take up."""
        return sum(file.size_bytes for file in self.all_files())

    def all_files(self) -> tuple[StoredFile, ...]:
        """Every file but point.json."""
        return (*self.files, *(file for disk in self.disks for file in (disk.image, disk.proof)))

    def disk(self, name: str) -> BackupDisk | None:
        """Look a disk up by name."""
        return next((disk for disk in self.disks if disk.name == name), None)

    def to_json(self) -> dict[str, Any]:
        """Turn into what point.json holds (the checksum comes on top)."""
        return {
            "format_version": FORMAT_VERSION,
            "id": self.id,
            "vm": {"name": self.vm, "id": self.vm_id},
            "site": self.site,
            "engine_version": self.engine_version,
            "owner": self.owner,
            "mode": self.mode.value,
            "parent": self.parent,
            "consistency": self.consistency.value,
            "started": format_moment(self.started),
            "finished": format_moment(self.finished),
            "disks": [disk_to_json(disk) for disk in self.disks],
            "files": [_file_to_json(file) for file in self.files],
            "folds": self.folds,
        }


def backup_from_json(raw: Mapping[str, Any], name: str) -> Backup:
    """Read a checked point.json; raises `NewerFormat`, or `TornPoint` when it is not what the format says."""
    version = raw.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise NewerFormat(
            f"{name} has format version {version}, this vmferry reads up to {FORMAT_VERSION}",
            fix="upgrade vmferry on this machine (pip install --upgrade airflow-provider-vmferry)",
        )
    try:
        return _backup_from_json(raw)
    except (KeyError, TypeError, ValueError) as error:
        raise TornPoint(
            f"{name} is not a point.json: {type(error).__name__} {error}", fix="verify the vault"
        ) from error


def disk_to_json(disk: BackupDisk) -> dict[str, Any]:
    """Turn one disk into plain data."""
    raw: dict[str, Any] = {field.name: getattr(disk, field.name) for field in fields(disk)}
    raw.update(mode=disk.mode.value, method=disk.method.value)
    raw.update(image=_file_to_json(disk.image), proof=_file_to_json(disk.proof))
    return raw


def disk_from_json(raw: Mapping[str, Any]) -> BackupDisk:
    """Read what `disk_to_json` made; raises KeyError, TypeError or ValueError."""
    known = {field.name: raw[field.name] for field in fields(BackupDisk)}
    known.update(mode=Mode(raw["mode"]), method=Method(raw["method"]))
    known.update(image=_file_from_json(raw["image"]), proof=_file_from_json(raw["proof"]))
    known["size_bytes"] = _count(raw["size_bytes"])
    known["root"] = _digest(raw["root"])
    return BackupDisk(**known)


def _backup_from_json(raw: Mapping[str, Any]) -> Backup:
    return Backup(
        id=str(raw["id"]),
        vm=str(raw["vm"]["name"]),
        vm_id=raw["vm"]["id"],
        site=raw["site"],
        engine_version=str(raw["engine_version"]),
        owner=str(raw["owner"]),
        mode=Mode(raw["mode"]),
        consistency=Consistency(raw["consistency"]),
        started=parse_moment(raw["started"]),
        finished=parse_moment(raw["finished"]),
        disks=tuple(disk_from_json(disk) for disk in raw["disks"]),
        files=tuple(_file_from_json(file) for file in raw["files"]),
        folds=_count(raw["folds"]),
    )


def _file_to_json(file: StoredFile) -> dict[str, Any]:
    return {"name": file.name, "size_bytes": file.size_bytes, "sha256": file.sha256}


def _file_from_json(raw: Mapping[str, Any]) -> StoredFile:
    # A name out of a file that somebody else could have written must not lead out of the directory.
    if not _FILE_NAME.match(raw["name"]) or raw["name"].startswith("."):
        raise ValueError(f"{raw['name']!r} is not the name of a backup's file")
    return StoredFile(raw["name"], _count(raw["size_bytes"]), _digest(raw["sha256"]))


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r} is not a number of bytes")
    return value


def _digest(value: Any) -> str:
    if not isinstance(value, str) or not _HEX.match(value):
        raise ValueError(f"{value!r} is not a SHA-256")
    return value
