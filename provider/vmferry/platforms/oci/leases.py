# SPDX-License-Identifier: Apache-2.0
"""What runs of ours have made in OCI and not given back: found by tag, never by guess."""

from __future__ import annotations

from collections.abc import Iterator

from vmferry.platforms.errors import NotSupported
from vmferry.platforms.oci import attachments, naming, objects, volumes, workers
from vmferry.platforms.oci.naming import tag_of
from vmferry.platforms.oci.session import Session
from vmferry.platforms.orders import Lease
from vmferry.platforms.runs import parse_tag


def list_leases(session: Session) -> Iterator[Lease]:
    """List workers, volumes that are not finished, and ways to objects. Attachments go with their worker."""
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
    for place in session.settings.buckets:
        yield from _list_ways(session, place)


def release(session: Session, lease: Lease) -> None:
    """Give one thing back; what holds verified bytes is left alone."""
    if lease.holds_verified_bytes:
        raise NotSupported(
            f"{lease.kind} {lease.name or lease.id} of run {lease.owner} holds verified bytes",
            fix="a person has to decide: tag it as your own, or delete it in OCI",
        )
    if lease.kind == "way":
        namespace, _, bucket = lease.parent.partition("/")
        objects.close_way(session, namespace, bucket, lease.id)
    elif lease.kind == "instance":
        workers.end_worker(session, lease.id, name=lease.name)
    else:
        _release_volume(session, lease)


def _list_ways(session: Session, place: str) -> Iterator[Lease]:
    given, _, bucket = place.rpartition("/")
    namespace = given or objects.namespace_of(session)
    for one in objects.list_ways(session, namespace, bucket):
        tag = parse_tag(one.name)
        if tag is not None:
            yield Lease("way", one.id, tag.run, parent=f"{namespace}/{bucket}", name=one.object_name or "")


def _release_volume(session: Session, lease: Lease) -> None:
    found = next((one for one in volumes.list_volumes(session, lease.parent) if one.id == lease.id), None)
    tag = parse_tag(found.tags.get(naming.TAG)) if found is not None else None
    if found is None or tag is None or found.verified or naming.COMPLETE in tag.words:
        return
    for compartment in session.settings.compartments:
        for one in attachments.list_attachments(session, compartment, volume=lease.id):
            attachments.detach(session, one, name=f"volume {lease.name}")
    volumes.delete(session, found)
