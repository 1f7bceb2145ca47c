# SPDX-License-Identifier: Apache-2.0
"""Images of servers: how the disk of one that boots from an image gets out, as no service reads that disk directly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vmferry.platforms.openstack.naming import is_of, name_of, tag_of, tags_of
from vmferry.platforms.openstack.session import Session
from vmferry.platforms.openstack.waits import DEAD, IMAGE_ACTIVE, SERVER_SETTLED, state_of
from vmferry.platforms.runs import RunId


@dataclass(frozen=True, slots=True)
class Image:
    """An image that a run made of a server."""

    id: str
    name: str
    size_bytes: int
    min_disk_gib: int
    """A volume made of it has at least this."""
    owner: str


def ensure_server_image(session: Session, server_id: str, owner: RunId, part: str) -> Image:
    """Find the run's image of this part or make one of the server's disk, and wait for it. May be called again."""
    name = name_of(owner, part)
    made = session.make(
        f"making image {name} of server {server_id}",
        lambda: _find(session, owner, part),
        lambda cloud: cloud.compute.create_server_image(server_id, name=name, metadata=tags_of(owner, part)),
    )
    session.wait(IMAGE_ACTIVE, lambda cloud: cloud.image.get_image(made.id), name=f"image {name}")
    # The image is active a little before nova lets the server go, and until then refuses what comes next.
    session.wait(SERVER_SETTLED, lambda cloud: cloud.compute.get_server(server_id), name=f"server {server_id}")
    return _read(session.ask(f"looking at image {name}", lambda cloud: cloud.image.get_image(made.id)))


def find_image(session: Session, owner: RunId, part: str) -> Image | None:
    """Look the run's image of this part up."""
    found = _find(session, owner, part)
    return None if found is None else _read(found)


def delete_image(session: Session, image_id: str, name: str) -> bool:
    """Delete it; False when it was gone already. May be called again."""
    return session.remove(
        f"deleting image {name}", lambda cloud: cloud.image.delete_image(image_id, ignore_missing=False)
    )


def list_images(session: Session) -> Iterator[Any]:
    """List the project's images that carry a tag of ours."""
    project = session.project_id
    listed = session.list("listing images", lambda cloud: cloud.image.images(owner=project))
    return (one for one in listed if tag_of(one) is not None and state_of(one) not in DEAD)


def _find(session: Session, owner: RunId, part: str) -> Any | None:
    name = name_of(owner, part)
    listed = session.list(f"looking for image {name}", lambda cloud: cloud.image.images(name=name))
    living = [one for one in listed if is_of(one, owner, part) and state_of(one) not in DEAD]
    return min(living, key=lambda one: one.created_at, default=None)


def _read(found: Any) -> Image:
    tag = tag_of(found)
    return Image(found.id, found.name, int(found.size or 0), int(found.min_disk or 0), tag.run if tag else "")
