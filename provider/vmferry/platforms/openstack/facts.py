# SPDX-License-Identifier: Apache-2.0
"""What a server is, as values: all that has to be known to make it again in another project."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class FlavorFacts:
    """What a server has of the machine it runs on."""

    name: str
    vcpus: int
    ram_mib: int
    disk_gib: int
    """Of the disk it boots from, when that is no volume."""
    ephemeral_gib: int = 0
    swap_mib: int = 0
    extra_specs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AddressFacts:
    """A fixed address of a port."""

    address: str
    subnet_id: str
    subnet: str = ""
    """Its name."""


@dataclass(frozen=True, slots=True)
class PortFacts:
    """A network card of a server."""

    id: str
    name: str
    mac: str
    network_id: str
    network: str = ""
    """Its name."""
    addresses: tuple[AddressFacts, ...] = ()
    security_groups: tuple[str, ...] = ()
    """Their names."""
    port_security: bool = True
    """Only packets of its own addresses get through."""
    kind: str = "normal"
    """As neutron calls it: normal, direct (a piece of real hardware), baremetal …"""
    is_trunk: bool = False
    """It carries other networks as VLANs."""


@dataclass(frozen=True, slots=True)
class VolumeFacts:
    """A volume of a server, in the order of the server's disks."""

    id: str
    name: str
    size_gib: int
    status: str
    device: str = ""
    """What nova believes the guest calls it; guests do as they like, see `attachments.path_of`."""
    type: str = ""
    boots: bool = False
    """The server boots from it."""
    bootable: bool = False
    multiattach: bool = False
    encrypted: bool = False
    delete_on_termination: bool = False
    zone: str = ""
    attached_to: tuple[str, ...] = ()
    """Ids of all servers that have it."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    image_properties: Mapping[str, str] = field(default_factory=dict)
    """What its image said about how to run it: firmware, disk bus …"""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Something of a server that cannot be moved, or not as it is."""

    what: str
    """The volume, port or property."""
    reason: str
    fix: str
    stops: bool = True
    """The server cannot be moved at all; else it is moved without this."""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """A server with all that hangs on it."""

    id: str
    name: str
    status: str
    """In small letters, as nova calls it."""
    flavor: FlavorFacts
    task: str = ""
    """What nova does with it just now."""
    description: str = ""
    image_id: str = ""
    """It boots from a disk made of this image; empty: from a volume."""
    image: str = ""
    """The image's name; empty when it is gone or hidden."""
    zone: str = ""
    keypair: str = ""
    server_group: str = ""
    """Its id."""
    config_drive: bool = False
    locked: bool = False
    user_data: str | None = field(default=None, repr=False)
    """As nova keeps it (base64); None where it is not shown: by default only admins may see it."""
    ports: tuple[PortFacts, ...] = ()
    volumes: tuple[VolumeFacts, ...] = ()
    floating_addresses: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    obstacles: tuple[Obstacle, ...] = ()

    @property
    def is_down(self) -> bool:
        """It does not run."""
        return self.status == "shutoff"

    @property
    def boots_from_volume(self) -> bool:
        """Its first disk is a volume."""
        return not self.image_id

    def volume(self, volume_id: str) -> VolumeFacts | None:
        """Look one of its volumes up."""
        return next((one for one in self.volumes if one.id == volume_id), None)
