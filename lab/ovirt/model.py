"""What the simulated engine knows: plain records that survive it in one JSON file."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from typing import Any


def new_id() -> str:
    """Make an id as the engine does."""
    return str(uuid.uuid4())


@dataclass
class Layer:
    """One volume of a disk; the last one of a disk is what the guest writes."""

    id: str
    format: str
    """qcow2 or raw."""


@dataclass
class Disk:
    """A disk, attached or floating."""

    id: str
    name: str
    size: int
    domain: str
    layers: list[Layer] = field(default_factory=list)
    sparse: bool = True
    backup: str = "none"
    """incremental: changes are tracked."""
    status: str = "ok"
    content_type: str = "data"
    description: str = ""
    shareable: bool = False
    storage_type: str = "image"
    """lun: a direct LUN, which no backup reaches."""
    wipe_after_delete: bool = False
    initial_size: int = 0
    due: float = 0.0
    """When the step after this status comes."""
    job: str | None = None
    reported_size: int | None = None
    """A lie of a fault: what the engine says the size is."""
    broken_bitmaps: bool = False
    """A fault: the next incremental finds no usable bitmap."""

    @property
    def format(self) -> str:
        """As the API names it."""
        return "cow" if self.layers and self.layers[-1].format == "qcow2" else "raw"

    @property
    def image_id(self) -> str:
        """Id of the active volume."""
        return self.layers[-1].id if self.layers else ""


@dataclass
class Attachment:
    """A disk on a VM."""

    disk: str
    interface: str = "virtio_scsi"
    bootable: bool = False
    active: bool = True
    read_only: bool = False


@dataclass
class Nic:
    """A network card."""

    id: str
    name: str
    mac: str
    profile: str | None
    interface: str = "virtio"
    linked: bool = True
    plugged: bool = True


@dataclass
class Snapshot:
    """A snapshot of a VM; `layers` maps each disk to the volume it froze."""

    id: str
    description: str
    created: float
    type: str = "regular"
    status: str = "ok"
    layers: dict[str, str] = field(default_factory=dict)
    disks: list[str] = field(default_factory=list)
    fresh: dict[str, Layer] = field(default_factory=dict)
    """Per disk: the volume that is to be written from then on; known before qemu is told."""
    due: float = 0.0
    job: str | None = None


@dataclass
class Checkpoint:
    """A moment from which changes are known: a persistent dirty bitmap of this name on each of its disks."""

    id: str
    parent: str | None
    created: float
    disks: list[str]
    description: str = ""
    state: str = "created"


@dataclass
class Vm:
    """A virtual machine."""

    id: str
    name: str
    cluster: str
    status: str = "down"
    memory: int = 1 << 30
    cores: int = 1
    sockets: int = 1
    threads: int = 1
    bios: str = "q35_sea_bios"
    os: str = "other_linux"
    type: str = "server"
    description: str = ""
    comment: str = ""
    created: float = field(default_factory=time.time)
    host: str | None = None
    tags: list[str] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    nics: list[Nic] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)
    fqdn: str = ""
    """What the guest agent will say once the VM is up; "" for no agent."""
    ips: list[str] = field(default_factory=list)
    agent: bool = False
    """The guest agent answers now."""
    due: float = 0.0
    locked: bool = False
    delete_protected: bool = False
    job: str | None = None

    def attachment(self, disk: str) -> Attachment | None:
        """Find a disk's attachment."""
        return next((one for one in self.attachments if one.disk == disk), None)


@dataclass
class Backup:
    """A VM backup."""

    id: str
    vm: str
    phase: str
    created: float
    modified: float
    disks: list[str]
    modes: dict[str, str]
    description: str = ""
    from_checkpoint: str | None = None
    to_checkpoint: str | None = None
    due: float = 0.0
    exports: dict[str, str] = field(default_factory=dict)
    """Per disk: where its frozen bytes are, as imageio names it."""
    dirty: dict[str, bool] = field(default_factory=dict)
    """Per disk: its export has a dirty bitmap."""
    broken: list[str] = field(default_factory=list)
    """Disks whose bitmap could not be merged: their transfer cannot begin."""
    snapshot: str | None = None
    consistency: bool = False
    owner: str = ""
    job: str | None = None


@dataclass
class Transfer:
    """An image transfer."""

    id: str
    disk: str
    direction: str
    format: str
    phase: str
    backup: str | None = None
    snapshot: str | None = None
    """Id of a disk snapshot: a volume."""
    shallow: bool = False
    policy: str = "legacy"
    inactivity_s: int = 60
    ticket: str | None = None
    due: float = 0.0
    ended: float = 0.0
    transferred: int = 0
    active: bool = False
    size: int = 0
    nbd: str | None = None
    """Name of the qemu-nbd that serves it; None where the backup's qemu does."""
    owner: str = ""
    job: str | None = None


@dataclass
class Domain:
    """A storage domain."""

    id: str
    name: str
    size: int
    type: str = "data"
    storage: str = "nfs"
    status: str = "active"
    quota: int | None = None
    """Bytes that disks on it may be large in sum."""


@dataclass
class Named:
    """Something that has only an id, a name and perhaps a parent: cluster, network, vnic profile, host, tag."""

    id: str
    name: str
    parent: str | None = None
    status: str = ""


@dataclass
class Job:
    """What a request set going, found by its correlation id."""

    id: str
    correlation: str
    description: str
    status: str
    started: float
    ended: float = 0.0


@dataclass
class Event:
    """A line of the audit log."""

    id: int
    code: int
    severity: str
    description: str
    time: float
    correlation: str = ""
    about: list[str] = field(default_factory=list)
    """Ids it is about, for the search."""
    vm: str | None = None


@dataclass
class User:
    """Who may log in, and what for."""

    name: str
    password: str
    permits: list[str]
    vms: list[str] | None = None
    """Names of the VMs that the user sees; None: all."""


@dataclass
class Inventory:
    """All of it."""

    vms: dict[str, Vm] = field(default_factory=dict)
    disks: dict[str, Disk] = field(default_factory=dict)
    backups: dict[str, Backup] = field(default_factory=dict)
    transfers: dict[str, Transfer] = field(default_factory=dict)
    domains: dict[str, Domain] = field(default_factory=dict)
    clusters: dict[str, Named] = field(default_factory=dict)
    datacenters: dict[str, Named] = field(default_factory=dict)
    hosts: dict[str, Named] = field(default_factory=dict)
    networks: dict[str, Named] = field(default_factory=dict)
    profiles: dict[str, Named] = field(default_factory=dict)
    tags: dict[str, Named] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    users: dict[str, User] = field(default_factory=dict)
    macs: int = 0
    settings: dict[str, Any] = field(default_factory=dict)

    def vm_of(self, disk: str) -> Vm | None:
        """Find the VM a disk is attached to."""
        return next((vm for vm in self.vms.values() if vm.attachment(disk)), None)

    def snapshot_of(self, layer: str) -> tuple[Disk, Layer] | None:
        """Find a volume by its id."""
        for disk in self.disks.values():
            for one in disk.layers:
                if one.id == layer:
                    return disk, one
        return None
