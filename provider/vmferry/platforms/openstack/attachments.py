# SPDX-License-Identifier: Apache-2.0
"""Volumes at servers: attached, found by what they connect, detached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vmferry.platforms.errors import Conflict
from vmferry.platforms.openstack.session import Session
from vmferry.platforms.openstack.waits import VOLUME_AVAILABLE, VOLUME_IN_USE

_SERIAL_LONGEST = 20
"""virtio-blk shows the guest so much of a volume's id."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A volume at a server."""

    server: str
    volume: str
    device: str
    """What nova believes; the guest decides."""

    @property
    def path(self) -> str:
        """Where a guest with udev finds it, whatever else is attached."""
        return path_of(self.volume)


def path_of(volume_id: str) -> str:
    """Give where a guest finds a volume by its serial."""
    return f"/dev/disk/by-id/virtio-{volume_id[:_SERIAL_LONGEST]}"


def attach(
    session: Session, server_id: str, volume_id: str, *, name: str, device: str = "", goes: bool = False
) -> Attachment:
    """Find the attachment or make it, and wait. May be called again. Raises `Conflict` when another server has it.

    `goes`: the volume is deleted with the server.
    """
    more = {**({"device": device} if device else {}), **({"delete_on_termination": True} if goes else {})}

    def look() -> Any | None:
        _check_free(session, server_id, volume_id, name)
        return _find(session, server_id, volume_id)

    session.make(
        f"attaching {name} to server {server_id}",
        look,
        lambda cloud: cloud.compute.create_volume_attachment(server_id, volume_id=volume_id, **more),
    )
    session.wait(VOLUME_IN_USE, lambda cloud: cloud.block_storage.get_volume(volume_id), name=name)
    found = _find(session, server_id, volume_id)
    if found is None:
        raise Conflict(f"{name} was taken off server {server_id} while we attached it", fix="run it again")
    return Attachment(server_id, volume_id, found.device or "")


def detach(session: Session, server_id: str, volume_id: str, *, name: str) -> bool:
    """Detach and wait; False when it was not there. May be called again."""
    if _find(session, server_id, volume_id) is None:
        return False

    def order(cloud: Any) -> None:
        cloud.compute.delete_volume_attachment(server_id, volume_id, ignore_missing=False)

    session.remove(f"detaching {name} from server {server_id}", order)
    session.wait(VOLUME_AVAILABLE, lambda cloud: cloud.block_storage.get_volume(volume_id), name=name)
    return True


def servers_of(session: Session, volume_id: str) -> tuple[str, ...]:
    """Give the ids of the servers that have a volume; none when it is gone."""
    found = session.find(f"looking at volume {volume_id}", lambda cloud: cloud.block_storage.get_volume(volume_id))
    return tuple(one["server_id"] for one in (found.attachments if found else ()) or () if one.get("server_id"))


def _check_free(session: Session, server_id: str, volume_id: str, name: str) -> None:
    others = [one for one in servers_of(session, volume_id) if one != server_id]
    if others:
        raise Conflict(f"{name} is attached to server {others[0]}", fix="it is tried again; detach it there")


def _find(session: Session, server_id: str, volume_id: str) -> Any | None:
    """Look in nova's list; a server that is gone has none."""
    what = f"listing the volumes of server {server_id}"
    listed = session.find(what, lambda cloud: [*cloud.compute.volume_attachments(server_id)])
    return next((one for one in listed or () if one.volume_id == volume_id), None)
