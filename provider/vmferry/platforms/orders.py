# SPDX-License-Identifier: Apache-2.0
"""What a target is told to make, and what it made."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Ground:
    """Where new things go."""

    cluster: str
    storage: str


@dataclass(frozen=True, slots=True)
class DiskSpec:
    """A disk to make."""

    name: str
    """Its name in the backup: unique in the VM."""
    alias: str
    size_bytes: int
    storage: str
    id: str
    """Which id it gets; free, or already this run's."""
    used_bytes: int | None = None
    """How much of it will be written, where that is known: storage without thin disks reserves it at once."""
    track: bool = True
    """Write down changes, so that it can be backed up incrementally from the start."""
    vm: str = ""
    """For messages."""


@dataclass(frozen=True, slots=True)
class DiskRef:
    """A disk that a run made."""

    id: str
    name: str
    size_bytes: int
    """As the platform made it, never smaller than asked for."""
    owner: str
    vm: str = ""
    verified: bool = False
    """Its bytes were read back and are those of the backup."""
    sealed: bool = False
    """All of it was written, and the platform vouched for it: it need not be written again."""


class Removal(enum.Enum):
    """What became of a disk that was to be removed."""

    REMOVED = "removed"
    """It was there, and is gone."""
    NOTHING = "nothing"
    """There was none of this owner."""
    KEPT = "kept"
    """Its bytes are proven: a person has to decide."""


@dataclass(frozen=True, slots=True)
class DiskPlace:
    """How a disk hangs on a VM."""

    id: str
    interface: str
    bootable: bool
    name: str = ""
    """For messages."""


@dataclass(frozen=True, slots=True)
class VmSpec:
    """A VM to make."""

    name: str
    cluster: str
    document: str = field(repr=False)
    """The platform's own description, out of the backup."""
    clone: bool
    """The original's ids are taken: the platform gives new ones."""
    disks: tuple[DiskPlace, ...] = ()
    networks: Mapping[str, str | None] = field(default_factory=dict)
    """Network at the source → at the target; ``*`` for all others; None: none."""
    nics: Mapping[str, str | None] = field(default_factory=dict)
    """Card → its network at the source."""
    connect: bool = False
    """Plug the cards in."""


@dataclass(frozen=True, slots=True)
class VmRef:
    """A VM at a target."""

    id: str
    name: str
    status: str = ""
    owner: str | None = None
    """The run that made it, as its tag says; None: it is not ours."""
    marks: tuple[str, ...] = ()
    """What else its tag says."""


@dataclass(frozen=True, slots=True)
class Lease:
    """An external object that some run made and must give back."""

    kind: str
    """backup, transfer, snapshot, disk or vm; instance, volume, boot_volume or way."""
    id: str
    owner: str
    """The run, as its tag says."""
    parent: str = ""
    """What it belongs to (the VM of a backup)."""
    name: str = ""
    holds_verified_bytes: bool = False
    """Nobody but a person may let go of it."""
