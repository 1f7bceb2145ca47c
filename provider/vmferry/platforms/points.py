# SPDX-License-Identifier: Apache-2.0
"""Points: what is asked for, what one is, and how its bytes are reached."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from vmferry.engine.endpoint import EndpointSpec


class Frozen(enum.Enum):
    """What state the guest was in at the point; the same words as in a backup."""

    FILE_SYSTEM = "file-system"
    """The guest froze its file systems."""
    CRASH = "crash"
    """As after pulling the plug."""
    OFFLINE = "offline"
    """The VM was off."""


class PointKind(enum.Enum):
    """How a point is made."""

    CBT = "cbt"
    """The platform's backup with changed-block tracking."""
    SNAPSHOT = "snapshot"
    """A snapshot; says nothing about changes."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A moment from which on the platform has written down what changed."""

    id: str


@dataclass(frozen=True, slots=True)
class PointOrder:
    """What a point should be like."""

    disks: tuple[str, ...]
    """Ids of the disks in it."""
    since: Checkpoint | None = None
    """Where changes should begin; None: nobody needs them."""
    freeze: bool = False
    """Ask the guest to freeze its file systems; where it cannot, the point says so."""
    enable_tracking: bool = True
    """Let the platform begin to write down changes, where it does not yet and can."""


@dataclass(frozen=True, slots=True)
class PointDisk:
    """A disk in a point."""

    id: str
    changes: bool
    """The point knows what changed since its checkpoint."""
    snapshot_id: str | None = None
    """How the platform calls this disk at this moment, where it has its own name for it."""


@dataclass(frozen=True, slots=True)
class Point:
    """A frozen moment of a VM whose bytes can be read."""

    id: str
    kind: PointKind
    vm_id: str
    vm: str
    owner: str
    disks: tuple[PointDisk, ...]
    since: str | None = None
    """The checkpoint at which the changes begin."""
    checkpoint: str | None = None
    """The checkpoint this point is: the next one's changes may begin here."""
    frozen: Frozen = Frozen.CRASH
    notes: tuple[str, ...] = ()
    """What the reader should be told: a fallback and its reason."""

    def disk(self, disk_id: str) -> PointDisk | None:
        """Look a disk up."""
        return next((disk for disk in self.disks if disk.id == disk_id), None)


@dataclass(frozen=True, slots=True)
class Access:
    """A way to a disk's bytes. Only the spec may be written down anywhere."""

    spec: EndpointSpec
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What opens it, e.g. a URL that is a key."""
