# SPDX-License-Identifier: Apache-2.0
"""One project of an OpenStack cloud: the calls of a migration's steps, each of which may be made again."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType

from vmferry.platforms.inventory import SiteFacts, VmSummary
from vmferry.platforms.openstack import (
    attachments,
    images,
    inventory,
    leases,
    loans,
    ports,
    servers,
    snapshots,
    volumes,
)
from vmferry.platforms.openstack.attachments import Attachment
from vmferry.platforms.openstack.facts import ServerFacts, VolumeFacts
from vmferry.platforms.openstack.images import Image
from vmferry.platforms.openstack.loans import Loan
from vmferry.platforms.openstack.ports import Port, PortSpec
from vmferry.platforms.openstack.servers import Server, ServerSpec
from vmferry.platforms.openstack.session import Session
from vmferry.platforms.openstack.settings import OpenstackSettings
from vmferry.platforms.openstack.snapshots import Snapshot
from vmferry.platforms.openstack.volumes import Volume, VolumeSpec
from vmferry.platforms.orders import Lease, Removal
from vmferry.platforms.runs import RunId


class OpenstackSite:
    """One project of one cloud; a context manager. It keeps the promise of `Leases`."""

    def __init__(self, settings: OpenstackSettings) -> None:
        self.settings = settings
        self._session = Session(settings)

    @property
    def site(self) -> str:
        """The site's name."""
        return self.settings.site

    def check(self) -> SiteFacts:
        """Log in and ask each service that a migration needs; raises what is wrong with address, trust or rights."""
        return inventory.check(self._session)

    # What is there

    def list_vms(self, query: str | None = None) -> Iterator[VmSummary]:
        """List servers with one light call a thousand; `query`: ``tag=NAME`` or a regular expression."""
        return inventory.list_servers(self._session, query)

    def describe(self, vm: str) -> ServerFacts:
        """Describe a server by id or name, and what of it cannot be moved. Raises `NotThere`."""
        return inventory.describe(self._session, vm)

    # Bytes of the source

    def ensure_snapshot(self, volume_id: str, owner: RunId, part: str) -> Snapshot:
        """Find the run's snapshot of a volume or make one, also while a server writes to it."""
        return snapshots.ensure_snapshot(self._session, volume_id, owner, part)

    def delete_snapshot(self, snapshot: Snapshot) -> bool:
        """Delete it and wait until nobody works on its volume; False when it was gone already."""
        was_there = snapshots.delete_snapshot(self._session, snapshot.id, snapshot.name)
        snapshots.wait_volume(self._session, snapshot.volume)
        return was_there

    def ensure_server_image(self, server_id: str, owner: RunId, part: str) -> Image:
        """Find the run's image of a server's disk or make one: for servers that boot from an image."""
        return images.ensure_server_image(self._session, server_id, owner, part)

    def delete_image(self, image: Image) -> bool:
        """Delete it; False when it was gone already."""
        return images.delete_image(self._session, image.id, image.name)

    def borrow(self, server: ServerFacts, volume: VolumeFacts, owner: RunId) -> Loan:
        """Take a volume off its server; the volume itself remembers where it belongs."""
        return loans.borrow(self._session, server, volume, owner)

    def give_back(self, volume_id: str) -> bool:
        """Give a borrowed volume back to its server; False when nobody had borrowed it."""
        return loans.give_back(self._session, volume_id)

    # Volumes of ours

    def ensure_volume(self, spec: VolumeSpec, owner: RunId) -> Volume:
        """Find the run's volume or make one, and wait until it can be used."""
        return volumes.ensure_volume(self._session, spec, owner)

    def find_volume(self, spec: VolumeSpec, owner: RunId) -> Volume | None:
        """Look the run's volume up."""
        return volumes.find_volume(self._session, spec, owner)

    def mark_verified(self, volume: Volume, owner: RunId, root: str) -> Volume:
        """Note that its bytes are proven: from now on only a person removes it."""
        return volumes.mark_verified(self._session, volume, owner, root)

    def remove_volume(self, volume: Volume, owner: RunId) -> Removal:
        """Delete a volume of this run, unless its bytes are proven."""
        return volumes.remove(self._session, volume, owner)

    def attach(self, server_id: str, volume_id: str, *, name: str = "") -> Attachment:
        """Find the attachment or make it, and wait."""
        return attachments.attach(self._session, server_id, volume_id, name=f"volume {name or volume_id}")

    def detach(self, server_id: str, volume_id: str, *, name: str = "") -> bool:
        """Detach and wait; False when it was not there."""
        return attachments.detach(self._session, server_id, volume_id, name=f"volume {name or volume_id}")

    # Servers and ports

    def stop_server(self, server_id: str, name: str) -> bool:
        """Stop a server and wait; False when it was down already."""
        return servers.stop(self._session, server_id, name)

    def start_server(self, server_id: str, name: str) -> Server:
        """Start a server and wait until it is active."""
        return servers.start(self._session, server_id, name)

    def ensure_port(self, spec: PortSpec, owner: RunId) -> Port:
        """Find the run's port or make one."""
        return ports.ensure_port(self._session, spec, owner)

    def ensure_server(self, spec: ServerSpec, owner: RunId) -> Server:
        """Find the run's server or make it, and wait until it is active."""
        return servers.ensure_server(self._session, spec, owner)

    def find_server(self, server_id: str) -> Server | None:
        """Look a server up by its id."""
        return servers.look_at(self._session, server_id)

    def read_console(self, server_id: str) -> str:
        """Read what a guest printed on its console."""
        return servers.read_console(self._session, server_id)

    def delete_server(self, server: Server) -> bool:
        """Delete a server and wait; its volumes stay. False when it was gone already."""
        return servers.delete(self._session, server.id, server.name)

    def mark_complete(
        self, server: Server, owner: RunId, made: tuple[Volume, ...] = (), cards: tuple[Port, ...] = ()
    ) -> Server:
        """Note at a server, its volumes and its ports that the run is done with them: they are a person's now."""
        for volume in made:
            volumes.mark_complete(self._session, volume, owner)
        for port in cards:
            ports.mark_complete(self._session, port, owner)
        return servers.mark_complete(self._session, server, owner)

    def mark_moved(self, server: ServerFacts, owner: RunId, where: str) -> None:
        """Note at a source server that it was moved, and where to."""
        servers.mark_moved(self._session, server.id, server.name, owner, where)

    # Leases

    def leases(self) -> Iterator[Lease]:
        """See `Leases.leases`."""
        return leases.list_leases(self._session)

    def release(self, lease: Lease) -> None:
        """See `Leases.release`."""
        leases.release(self._session, lease)

    def close(self) -> None:
        """Close the connections. May be called twice."""
        self._session.close()

    def __enter__(self) -> OpenstackSite:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
