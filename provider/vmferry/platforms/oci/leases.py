# SPDX-License-Identifier: Apache-2.0
"""What runs of ours have made in OCI and not given back: found by tag, never by guess."""

from __future__ import annotations

from collections.abc import Iterator

from vmferry.platforms.errors import NotSupported
from vmferry.platforms.oci import attachments, naming, volumes, workers
from vmferry.platforms.oci.naming import tag_of
from vmferry.platforms.oci.session import Session
from vmferry.platforms.orders import Lease
from vmferry.platforms.runs import parse_tag


def list_leases(session: Session) -> Iterator[Lease]:
    """List workers, and volumes that are not finished. Attachments go with their worker."""
    for compartment in session.settings.compartments:
        for instance in workers.list_workers(session, compartment):
            tag = tag_of(instance)
            if tag is not None:
                yield Lease("instance", instance.id, tag.run, parent=compartment, name=instance.display_name)
        for volume in volumes.list_volumes(session, compartment):
            tag = parse_tag(volume.tags.get(naming.TAG))
            if tag is not None and naming.COMPLETE not in tag.words:
                kind = "boot_volume" if volume.boot else "volume"
                yield Lease(
                    kind, volume.id, tag.run, parent=compartment, name=volume.name, holds_verified_bytes=volume.verified
                )


def release(session: Session, lease: Lease) -> None:
    """Give one thing back; what holds verified bytes is left alone."""
    if lease.holds_verified_bytes:
        raise NotSupported(
            f"{lease.kind} {lease.name or lease.id} of run {lease.owner} holds verified bytes",
            fix="a person has to decide: tag it as your own, or delete it in OCI",
        )
    if lease.kind == "instance":
        workers.end_worker(session, lease.id, name=lease.name)
    else:
        _release_volume(session, lease)


def _release_volume(session: Session, lease: Lease) -> None:
    found = next((one for one in volumes.list_volumes(session, lease.parent) if one.id == lease.id), None)
    tag = parse_tag(found.tags.get(naming.TAG)) if found is not None else None
    if found is None or tag is None or found.verified or naming.COMPLETE in tag.words:
        return
    for compartment in session.settings.compartments:
        for one in attachments.list_attachments(session, compartment, volume=lease.id):
            attachments.detach(session, one, name=f"volume {lease.name}")
    volumes.delete(session, found)
