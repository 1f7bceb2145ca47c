# SPDX-License-Identifier: Apache-2.0
"""Objects in buckets: what was uploaded, and a way to read one of them that lives for a short time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import oci

from vmferry.platforms.errors import NotSupported, NotThere
from vmferry.platforms.oci.failures import ObjectChanged
from vmferry.platforms.oci.session import Session
from vmferry.platforms.runs import RunId, is_tag_of

_META = "opc-meta-"
_FIELDS = "name,size,etag,timeCreated"
_ARCHIVED = ("archived", "restoring")


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """One version of one object."""

    namespace: str
    bucket: str
    name: str
    etag: str

    @property
    def title(self) -> str:
        """What to call it in a message."""
        return f"object {self.name!r} in bucket {self.bucket}"


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """What an object says about itself."""

    ref: ObjectRef
    size_bytes: int
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What people wrote at it; names are in small letters."""


def namespace_of(session: Session) -> str:
    """Give the tenancy's namespace."""
    return str(session.ask("asking for the namespace", session.objectstorage.get_namespace).data)


def look(session: Session, ref: ObjectRef) -> ObjectFacts:
    """Look at an object. Raises `ObjectChanged` when it is another version, `NotThere` when it is gone."""
    client = session.objectstorage
    try:
        answer = session.ask(f"looking at {ref.title}", lambda: client.head_object(ref.namespace, ref.bucket, ref.name))
    except NotThere as failure:
        fix = "it was deleted, or the policies do not let us read this bucket (docs/oci.md)"
        raise NotThere(f"site {session.site}: {ref.title} is not there", fix=fix) from failure
    headers = {name.lower(): value for name, value in answer.headers.items()}
    etag = str(headers["etag"])
    if ref.etag and ref.etag != etag:
        raise ObjectChanged(
            f"{ref.title} is another version now: {etag}, not {ref.etag}",
            fix="nothing to do: the new version has an event, and so an import, of its own",
        )
    if str(headers.get("archival-state", "")).lower() in _ARCHIVED:
        raise NotSupported(f"{ref.title} is archived", fix="restore it in Object Storage, then import it again")
    metadata = {name.removeprefix(_META): str(text) for name, text in headers.items() if name.startswith(_META)}
    seen = ObjectRef(ref.namespace, ref.bucket, ref.name, etag)
    return ObjectFacts(seen, int(headers["content-length"]), metadata)


def list_uploads(session: Session, namespace: str, bucket: str, prefix: str = "") -> Iterator[tuple[ObjectRef, int]]:
    """List the objects of a bucket with their sizes, page by page."""
    client = session.objectstorage
    start: str | None = None
    more = {"prefix": prefix} if prefix else {}
    while True:
        answer = session.ask(
            f"listing bucket {bucket}",
            partial(client.list_objects, namespace, bucket, start=start, fields=_FIELDS, **more),
        )
        for one in answer.data.objects:
            yield ObjectRef(namespace, bucket, one.name, one.etag), int(one.size or 0)
        start = answer.data.next_start_with
        if not start:
            return


def open_way(session: Session, ref: ObjectRef, owner: RunId, *, hours: float) -> str:
    """Make an address that lets whoever has it read this one object for some hours. It is a secret."""
    client = session.objectstorage
    details = oci.object_storage.models.CreatePreauthenticatedRequestDetails(
        name=owner.tag("read"),  # it has no tags, and the janitor must know whose it is
        access_type="ObjectRead",
        object_name=ref.name,
        time_expires=datetime.now(UTC) + timedelta(hours=hours),
    )
    made = session.ask(
        f"opening a way to {ref.title}",
        lambda: client.create_preauthenticated_request(ref.namespace, ref.bucket, details),
    ).data
    return _address(session, made)


def close_ways(session: Session, namespace: str, bucket: str, owner: RunId) -> int:
    """Close every way that this run opened, and give how many. May be called again."""
    closed = 0
    for one in list_ways(session, namespace, bucket):
        if is_tag_of(one.name, owner):
            closed += close_way(session, namespace, bucket, one.id)
    return closed


def list_ways(session: Session, namespace: str, bucket: str) -> list[Any]:
    """List the ways to objects of a bucket; empty when the bucket is gone."""
    call = session.objectstorage.list_preauthenticated_requests
    try:
        return session.list(f"listing ways into bucket {bucket}", call, namespace, bucket)
    except NotThere:
        return []


def close_way(session: Session, namespace: str, bucket: str, way: str) -> bool:
    """Close one; False when it was closed already."""
    call = session.objectstorage.delete_preauthenticated_request
    return session.remove(f"closing a way into bucket {bucket}", lambda: call(namespace, bucket, way))


def rename(session: Session, ref: ObjectRef, name: str) -> None:
    """Give an object another name, unless it has it. Raises `ObjectChanged` when it is another version."""
    details = oci.object_storage.models.RenameObjectDetails(
        source_name=ref.name, new_name=name, src_obj_if_match_e_tag=ref.etag
    )
    call = session.objectstorage.rename_object
    if not session.remove(f"renaming {ref.title}", lambda: call(ref.namespace, ref.bucket, details)):
        look(session, ObjectRef(ref.namespace, ref.bucket, name, ""))  # a try before this one did it


def _address(session: Session, made: Any) -> str:
    """Join the way's path and the address of the service."""
    return f"{str(session.objectstorage.base_client.endpoint).rstrip('/')}{made.access_uri}"
