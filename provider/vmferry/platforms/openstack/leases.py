# SPDX-License-Identifier: Apache-2.0
"""What runs of ours have made in a project and not given back: found by tag, never by guess."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from vmferry.platforms.errors import NotSupported
from vmferry.platforms.openstack import attachments, images, loans, naming, ports, servers, snapshots, volumes
from vmferry.platforms.openstack.naming import tag_of
from vmferry.platforms.openstack.session import Session
from vmferry.platforms.orders import Lease
from vmferry.platforms.runs import parse_tag


def list_leases(session: Session) -> Iterator[Lease]:
    """List all that is tagged by us and not finished, what stands on other things first."""
    for loan in loans.list_loans(session):
        yield Lease("loan", loan.volume, loan.owner, parent=loan.server, name=loan.name)
    for server in servers.list_servers(session):
        tag = tag_of(server)
        if tag is not None and naming.COMPLETE not in tag.words:
            yield Lease("server", server.id, tag.run, name=server.name)
    for port in ports.list_ports(session):
        if not port.complete:
            yield Lease("port", port.id, port.owner, parent=port.server, name=port.name)
    for volume in volumes.list_volumes(session):
        found = parse_tag(volume.metadata.get(naming.TAG))
        if found is not None and naming.COMPLETE not in found.words:
            yield Lease("volume", volume.id, found.run, name=volume.name, holds_verified_bytes=volume.verified)
    for image in images.list_images(session):
        yield Lease("image", image.id, _run_of(image), name=image.name)
    for snapshot in snapshots.list_snapshots(session):
        yield Lease("volume_snapshot", snapshot.id, _run_of(snapshot), parent=snapshot.volume_id, name=snapshot.name)


def release(session: Session, lease: Lease) -> None:
    """Give one thing back; what holds verified bytes is left alone."""
    if lease.holds_verified_bytes:
        raise NotSupported(
            f"{lease.kind} {lease.name or lease.id} of run {lease.owner} holds verified bytes",
            fix="a person has to decide: remove its metadata `vmferry`, or delete it",
        )
    _RELEASES[lease.kind](session, lease)


def _release_loan(session: Session, lease: Lease) -> None:
    loans.give_back(session, lease.id)


def _release_server(session: Session, lease: Lease) -> None:
    found = servers.look_at(session, lease.id)
    if found is not None and found.owner == lease.owner and not found.complete:
        servers.delete(session, lease.id, lease.name)


def _release_port(session: Session, lease: Lease) -> None:
    ports.delete_port(session, lease.id, lease.name)


def _release_volume(session: Session, lease: Lease) -> None:
    """Look again: it may have been proven since it was listed."""
    found = volumes.look_at(session, lease.id)
    tag = parse_tag(found.metadata.get(naming.TAG)) if found is not None else None
    if found is None or tag is None or tag.run != lease.owner or found.verified or naming.COMPLETE in tag.words:
        return
    for server in found.servers:
        attachments.detach(session, server, lease.id, name=f"volume {lease.name}")
    volumes.delete(session, lease.id, lease.name)


def _release_image(session: Session, lease: Lease) -> None:
    images.delete_image(session, lease.id, lease.name)


def _release_snapshot(session: Session, lease: Lease) -> None:
    snapshots.delete_snapshot(session, lease.id, lease.name)


def _run_of(thing: object) -> str:
    tag = tag_of(thing)
    return tag.run if tag is not None else ""


_RELEASES: dict[str, Callable[[Session, Lease], None]] = {
    "loan": _release_loan,
    "server": _release_server,
    "port": _release_port,
    "volume": _release_volume,
    "image": _release_image,
    "volume_snapshot": _release_snapshot,
}
