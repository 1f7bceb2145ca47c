# SPDX-License-Identifier: Apache-2.0
"""What is at a site, as values: VMs, their disks and network cards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class SiteFacts:
    """What a site says about itself."""

    name: str
    version: str
    methods: tuple[str, ...]
    """How points can be made here, the best first: cbt, snapshot."""


@dataclass(frozen=True, slots=True)
class VmSummary:
    """One line of the list of VMs."""

    id: str
    name: str
    status: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk of a VM."""

    id: str
    alias: str
    size_bytes: int
    """What the guest sees."""
    interface: str | None = None
    bootable: bool = False
    format: str = ""
    """As the platform calls it."""
    tracked: bool = False
    """The platform writes down what changes."""
    can_track: bool = False
    """It could."""
    status: str = "ok"
    storage: tuple[str, ...] = ()
    """Ids of the storage it is on."""
    skip: str = ""
    """Why it cannot be backed up; empty when it can."""
    used_bytes: int = 0
    """What it takes up on its storage."""


@dataclass(frozen=True, slots=True)
class Nic:
    """A network card."""

    id: str
    name: str
    mac: str = ""
    network: str | None = None
    profile: str | None = None
    interface: str | None = None
    plugged: bool = True
    linked: bool = True


@dataclass(frozen=True, slots=True)
class Vm:
    """A VM with all that has to be known to back it up and to make it again."""

    id: str
    name: str
    status: str
    is_down: bool
    disks: tuple[Disk, ...]
    nics: tuple[Nic, ...] = ()
    cluster: str | None = None
    has_agent: bool = False
    """An agent in the guest has answered lately."""
    document: str | None = field(default=None, repr=False)
    """The platform's own description (OVF), kept with each backup."""
    hardware: Mapping[str, Any] = field(default_factory=dict)
    """What people want to know: memory, processors, operating system."""

    @property
    def skipped(self) -> tuple[Disk, ...]:
        """The disks that cannot be backed up."""
        return tuple(disk for disk in self.disks if disk.skip)

    def disk(self, disk_id: str) -> Disk | None:
        """Look a disk up."""
        return next((disk for disk in self.disks if disk.id == disk_id), None)
