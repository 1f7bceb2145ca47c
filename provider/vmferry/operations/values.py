# SPDX-License-Identifier: Apache-2.0
"""What goes from one step to the next. Each value turns into JSON and back (`platforms.plain`) and holds no secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from vmferry.platforms.orders import Ground, VmRef
from vmferry.platforms.plain import from_plain, to_plain
from vmferry.platforms.points import Point

Json = dict[str, Any]


class Carried:
    """Turns into JSON and back."""

    __slots__ = ()

    def to_json(self) -> Json:
        """Give plain JSON that `from_json` reads."""
        raw: Json = to_plain(self)
        return raw

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Self:
        """Make it again."""
        return from_plain(cls, raw)


@dataclass(frozen=True, slots=True)
class Skipped(Carried):
    """A disk that is not backed up, and why; part of every report."""

    disk: str
    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class VmInfo(Carried):
    """A VM as it is now."""

    id: str
    name: str
    site: str
    status: str
    disks: tuple[str, ...]
    """Names of those that are backed up."""
    size_bytes: int
    """Of these disks."""
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenDisk(Carried):
    """A disk of an open backup."""

    name: str
    """In the vault: unique in the VM."""
    id: str
    size_bytes: int
    changes: bool
    """The point knows what changed since the backup it stands on."""
    checkpoint: str | None = None
    """The checkpoint at which the next backup's changes may begin."""


@dataclass(frozen=True, slots=True)
class OpenBackup(Carried):
    """A backup between its point's opening and its publishing."""

    run: str
    vm: str
    vm_id: str
    site: str
    vault: str
    backup: str
    """Its id in the vault."""
    point: Point | None
    """None: it was published by an earlier try."""
    disks: tuple[OpenDisk, ...]
    skipped: tuple[Skipped, ...] = ()
    full_because: str = ""
    """Why it is full; empty when it is incremental."""
    notes: tuple[str, ...] = ()

    def disk(self, name: str) -> OpenDisk:
        """Look a disk up by its name."""
        return next(disk for disk in self.disks if disk.name == name)


@dataclass(frozen=True, slots=True)
class PlannedDisk(Carried):
    """A disk that is going to be restored."""

    name: str
    id: str
    """What it is going to be at the target."""
    source_id: str
    """What it was."""
    alias: str
    size_bytes: int
    interface: str
    bootable: bool
    root: str
    used_bytes: int


@dataclass(frozen=True, slots=True)
class RestorePlan(Carried):
    """How a VM is going to be restored; decided once, then kept."""

    run: str
    vault: str
    vm: str
    backup: str
    site: str
    ground: Ground
    name: str
    """What the VM is called in the end."""
    working_name: str
    """What it is called until it is proven: another name when it replaces a VM."""
    clone: bool
    """It gets another id than it had."""
    disks: tuple[PlannedDisk, ...]
    nics: Mapping[str, str | None] = field(default_factory=dict)
    networks: Mapping[str, str | None] = field(default_factory=dict)
    connect: bool = False
    start: bool = False
    timeout_s: float = 3600.0
    old: VmRef | None = None
    """The VM it replaces."""
    old_name: str = ""
    """What that one is called afterwards."""
    keep_old: bool = True
    source_vm_id: str = ""
    """What it was; where another restore was faster it gets another id all the same."""

    def disk(self, name: str) -> PlannedDisk:
        """Look a disk up by its name."""
        return next(disk for disk in self.disks if disk.name == name)


@dataclass(frozen=True, slots=True)
class Restored(Carried):
    """A restored, proven VM."""

    vm: str
    vm_id: str
    site: str
    backup: str
    status: str
    roots: Mapping[str, str]
    """By disk: read back from the target, and equal to the backup's."""
    replaced: str = ""
    """The name the old VM has now; empty when none was replaced or it was removed."""
