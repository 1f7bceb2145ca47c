# SPDX-License-Identifier: Apache-2.0
"""The three promises of a platform's driver: it can be read, it can be written, and it knows what it owes.

All calls are blocking, have a deadline of their own, and ask again through outages of the site. "May be called again"
means: by another process too, after the first one was killed at any point.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

from vmferry.platforms.inventory import SiteFacts, Vm, VmSummary
from vmferry.platforms.orders import DiskRef, DiskSpec, Ground, Lease, Removal, VmRef, VmSpec
from vmferry.platforms.points import Access, Checkpoint, Point, PointOrder
from vmferry.platforms.runs import RunId


@runtime_checkable
class Source(Protocol):
    """A platform that can be read."""

    @property
    def site(self) -> str:
        """The site's name."""

    def check(self) -> SiteFacts:
        """Log in and look around; raises what is wrong with address, certificate or password."""

    def list_vms(self, query: str | None = None) -> Iterator[VmSummary]:
        """List VMs with ONE light call, whatever the size of the site."""

    def describe(self, vm: str) -> Vm:
        """Describe a VM by id or name, with disks that cannot be backed up and why. Raises `NotThere`."""

    def check_free(self, vm: Vm, owner: RunId) -> None:
        """Raise `VmBusy` when the VM or a disk is locked, or another run has a point of it open; changes nothing."""

    def open_owners(self, vm_id: str) -> tuple[str, ...]:
        """List the runs of ours that have a point of this VM open."""

    def known_checkpoints(self, vm: Vm) -> tuple[Checkpoint, ...]:
        """List the moments whose changes are known, oldest first."""

    def open_point(self, vm: Vm, owner: RunId, order: PointOrder) -> Point:
        """Freeze the VM. May be called again: the owner gets the point that is open.

        Raises `NoRoom` before anything is made. A point whose changes turn out to be lost opens without them.
        """

    def readable(self, point: Point, disk: str) -> Access:
        """Say where the bytes of a disk can be read. May be called again: an open way is found, not opened twice.

        Raises `BitmapBroken` when the point has to be opened again without knowledge of changes.
        """

    def end_reading(self, point: Point, disk: str) -> None:
        """Give the way back. May be called again."""

    def close_point(self, vm_id: str, owner: RunId) -> tuple[str, ...]:
        """Give back every point of this owner on the VM, and the ways to its bytes. May be called again, and also when
        `open_point` never returned. Says what was given back.
        """

    def forget_checkpoints(self, vm_id: str, keep: Iterable[str]) -> tuple[str, ...]:
        """Remove checkpoints of ours that no backup needs; those that cannot go yet stay. May be called again."""


@runtime_checkable
class Target(Protocol):
    """A platform that can be written."""

    @property
    def site(self) -> str:
        """The site's name."""

    def check(self) -> SiteFacts:
        """Log in and look around; raises what is wrong with address, certificate or password."""

    def check_ground(self, ground: Ground, size_bytes: int) -> None:
        """Raise `NotThere` or `NoRoom` when the cluster or the storage is missing or too full; changes nothing."""

    def find_vm(self, name: str) -> VmRef | None:
        """Look a VM up by its name."""

    def is_vm_id_free(self, vm_id: str) -> bool:
        """Tell whether a new VM could have this id."""

    def is_disk_id_free(self, disk_id: str, owner: RunId) -> bool:
        """Tell whether a new disk could have this id, or this owner's has it already."""

    def create_disk(self, spec: DiskSpec, owner: RunId) -> DiskRef:
        """Make a disk. May be called again: the owner gets the one that is there."""

    def writable(self, disk: DiskRef, host: Any | None = None) -> Access:
        """Say where a disk can be written (`host`: attached to that machine, where a platform needs one).

        May be called again. The endpoint says truly whether old bytes could show through.
        """

    def seal_disk(self, disk: DiskRef) -> None:
        """End the writing; afterwards the platform vouches for the disk. May be called again."""

    def rereadable(self, disk: DiskRef) -> Access:
        """Say where a sealed disk can be read back. May be called again."""

    def end_rereading(self, disk: DiskRef) -> None:
        """Give that way back. May be called again."""

    def mark_verified(self, disk: DiskRef, root: str) -> DiskRef:
        """Note at the disk that its bytes are proven: from now on only a person removes it. May be called again."""

    def create_vm(self, spec: VmSpec, owner: RunId) -> VmRef:
        """Make a VM with exactly these disks, each as ordered, and its network cards as ordered. May be called again.

        Raises `NotAsOrdered` when the platform says yes and made something else.
        """

    def mark_complete(self, vm: VmRef, owner: RunId, backup: str) -> VmRef:
        """Note at the VM that it is proven and which backup it is. May be called again."""

    def rename_vm(self, vm: VmRef, name: str) -> VmRef:
        """Give a VM another name. May be called again."""

    def start_vm(self, vm: VmRef, *, timeout_s: float, wait_for_agent: bool = False) -> VmRef:
        """Start a VM and wait until it is up. May be called again."""

    def stop_vm(self, vm: VmRef, *, timeout_s: float) -> VmRef:
        """Shut a VM down, and pull its plug when it does not listen. May be called again."""

    def remove_vm(self, vm: VmRef, *, keep_disks: bool) -> None:
        """Remove a VM that is down. May be called again."""

    def remove_disk(self, disk_id: str, owner: RunId) -> Removal:
        """Remove a disk of this owner, unless its bytes are proven. May be called again."""


@runtime_checkable
class Leases(Protocol):
    """What the janitor asks each platform."""

    def leases(self) -> Iterator[Lease]:
        """List everything at the site that carries a tag of ours and is not finished; nothing of anybody else."""

    def release(self, lease: Lease) -> None:
        """Give it back. May be called again. Never touches what holds verified bytes."""
