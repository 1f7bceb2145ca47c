# SPDX-License-Identifier: Apache-2.0
"""oVirt and OLVM as source, target and place of leases: each promise, by the module that keeps it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any

from vmferry.platforms.errors import NotThere
from vmferry.platforms.inventory import SiteFacts, Vm, VmSummary
from vmferry.platforms.orders import DiskRef, DiskSpec, Ground, Lease, Removal, VmRef, VmSpec
from vmferry.platforms.ovirt import disks, inventory, leases, points, space, surroundings, vms
from vmferry.platforms.ovirt.session import Session
from vmferry.platforms.ovirt.settings import OvirtSettings
from vmferry.platforms.ovirt.trust import check_engine, find_ca_file
from vmferry.platforms.points import Access, Checkpoint, Point, PointOrder
from vmferry.platforms.runs import RunId


class OvirtSite:
    """One engine. See `platforms.contract` for what each method promises. Close it to log out."""

    def __init__(self, settings: OvirtSettings) -> None:
        self.settings = settings
        self._session = Session(settings)

    @property
    def site(self) -> str:
        """The site's name."""
        return self.settings.site

    def check(self) -> SiteFacts:
        """Log in and look around; an engine that does not answer is told at once."""
        check_engine(self.settings, find_ca_file(self.settings))
        version, numbers = inventory.read_version(self._session)
        methods = ("cbt", "snapshot") if numbers >= inventory.CBT_VERSION else ("snapshot",)
        return SiteFacts(self.site, version, methods)

    # For people

    def storage(self) -> tuple[surroundings.StorageFacts, ...]:
        """List the data domains and their room."""
        return surroundings.list_storage(self._session)

    def clusters(self) -> tuple[str, ...]:
        """List the clusters."""
        return surroundings.list_clusters(self._session)

    def permits(self) -> frozenset[str] | None:
        """List what the user may do; None when the engine does not tell."""
        return surroundings.list_permits(self._session)

    # Source

    def list_vms(self, query: str | None = None) -> Iterator[VmSummary]:
        """List VMs; `query` is a search of the engine, e.g. ``tag=gold``."""
        return inventory.list_vms(self._session, query)

    def describe(self, vm: str) -> Vm:
        """Describe a VM by id or name."""
        return inventory.describe(self._session, vm)

    def check_free(self, vm: Vm, owner: RunId) -> None:
        """Raise `VmBusy` when a backup could not begin."""
        points.check_free(self._session, vm, owner)

    def open_owners(self, vm_id: str) -> tuple[str, ...]:
        """List the runs of ours that have a point of this VM open."""
        return points.open_owners(self._session, vm_id)

    def known_checkpoints(self, vm: Vm) -> tuple[Checkpoint, ...]:
        """List the checkpoints whose changes are known."""
        return points.known_checkpoints(self._session, vm)

    def open_point(self, vm: Vm, owner: RunId, order: PointOrder) -> Point:
        """Freeze the VM."""
        return points.open_point(self._session, vm, owner, order)

    def readable(self, point: Point, disk: str) -> Access:
        """Say where a disk can be read."""
        return points.readable(self._session, point, disk)

    def end_reading(self, point: Point, disk: str) -> None:
        """Give the way back."""
        points.end_reading(self._session, point, disk)

    def close_point(self, vm_id: str, owner: RunId) -> tuple[str, ...]:
        """Give back all points of this owner on the VM."""
        return points.close_point(self._session, vm_id, owner)

    def forget_checkpoints(self, vm_id: str, keep: Iterable[str]) -> tuple[str, ...]:
        """Remove checkpoints of ours that no backup needs."""
        return points.forget_checkpoints(self._session, vm_id, keep)

    # Target

    def check_ground(self, ground: Ground, size_bytes: int) -> None:
        """Look whether cluster and storage domain are there and have room."""
        listed = self._session.ask("listing clusters", lambda api: api.clusters_service().list())
        if not any(cluster.name == ground.cluster for cluster in listed):
            raise NotThere(
                f"site {self.site} has no cluster {ground.cluster!r}", fix="correct target_cluster_name in the policy"
            )
        space.check_disk_room(self._session, ground.storage, size_bytes)

    def find_vm(self, name: str) -> VmRef | None:
        """Look a VM up by its name."""
        return vms.find_vm(self._session, name)

    def is_vm_id_free(self, vm_id: str) -> bool:
        """Tell whether a new VM could have this id."""
        return inventory.find_by_id(self._session, vm_id) is None

    def is_disk_id_free(self, disk_id: str, owner: RunId) -> bool:
        """Tell whether a new disk of this owner could have this id."""
        return disks.is_id_free(self._session, disk_id, owner)

    def create_disk(self, spec: DiskSpec, owner: RunId) -> DiskRef:
        """Make a disk."""
        return disks.create_disk(self._session, spec, owner)

    def writable(self, disk: DiskRef, host: Any | None = None) -> Access:
        """Say where a disk can be written; no host is needed."""
        return disks.writable(self._session, disk)

    def seal_disk(self, disk: DiskRef) -> None:
        """End the writing."""
        disks.seal_disk(self._session, disk)

    def rereadable(self, disk: DiskRef) -> Access:
        """Say where a sealed disk can be read back."""
        return disks.rereadable(self._session, disk)

    def end_rereading(self, disk: DiskRef) -> None:
        """Give that way back."""
        disks.end_rereading(self._session, disk)

    def mark_verified(self, disk: DiskRef, root: str) -> DiskRef:
        """Note at the disk that its bytes are proven."""
        return disks.mark_verified(self._session, disk, root)

    def create_vm(self, spec: VmSpec, owner: RunId) -> VmRef:
        """Make a VM from its OVF."""
        return vms.create_vm(self._session, spec, owner)

    def mark_complete(self, vm: VmRef, owner: RunId, backup: str) -> VmRef:
        """Note at the VM, and at its disks, that they are proven and together."""
        disks.mark_complete(self._session, vm, owner)
        return vms.mark_complete(self._session, vm, owner, backup)

    def rename_vm(self, vm: VmRef, name: str) -> VmRef:
        """Give a VM another name."""
        return vms.rename_vm(self._session, vm, name)

    def start_vm(self, vm: VmRef, *, timeout_s: float, wait_for_agent: bool = False) -> VmRef:
        """Start a VM and wait until it is up."""
        return vms.start_vm(self._session, vm, timeout_s=timeout_s, wait_for_agent=wait_for_agent)

    def stop_vm(self, vm: VmRef, *, timeout_s: float) -> VmRef:
        """Shut a VM down."""
        return vms.stop_vm(self._session, vm, timeout_s=timeout_s)

    def remove_vm(self, vm: VmRef, *, keep_disks: bool) -> None:
        """Remove a VM that is down."""
        vms.remove_vm(self._session, vm, keep_disks=keep_disks)

    def remove_disk(self, disk_id: str, owner: RunId) -> Removal:
        """Remove a disk of this owner, unless its bytes are proven."""
        return disks.remove_disk(self._session, disk_id, owner)

    # Leases

    def leases(self) -> Iterator[Lease]:
        """List what our runs have not given back."""
        return leases.list_leases(self._session)

    def release(self, lease: Lease) -> None:
        """Give one thing back."""
        leases.release(self._session, lease)

    def close(self) -> None:
        """Log out. May be called twice."""
        self._session.close()

    def __enter__(self) -> OvirtSite:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
