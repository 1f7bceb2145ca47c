# SPDX-License-Identifier: Apache-2.0
"""Snapshots of volumes: a frozen moment that other volumes are made of, also while a server writes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vmferry.platforms.openstack.naming import is_of, name_of, tag_of, tags_of
from vmferry.platforms.openstack.session import Session
from vmferry.platforms.openstack.waits import BROKEN, DEAD, SNAPSHOT_AVAILABLE, SNAPSHOT_GONE, VOLUME_SETTLED, state_of
from vmferry.platforms.runs import RunId


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot that a run made."""

    id: str
    name: str
    volume: str
    size_gib: int
    owner: str


def ensure_snapshot(session: Session, volume_id: str, owner: RunId, part: str) -> Snapshot:
    """Find the run's snapshot of this part or make one, and wait for it. May be called again.

    `is_forced`: a volume that is attached is snapshotted while its server writes, which is what a crash would leave.
    """
    name = name_of(owner, part)
    broken = _find(session, owner, part)
    if broken is not None and state_of(broken) in BROKEN:
        delete_snapshot(session, broken.id, name)
    made = session.make(
        f"making snapshot {name} of volume {volume_id}",
        lambda: _find(session, owner, part),
        lambda cloud: cloud.block_storage.create_snapshot(
            volume_id=volume_id, name=name, is_forced=True, metadata=tags_of(owner, part)
        ),
    )
    session.wait(SNAPSHOT_AVAILABLE, lambda cloud: cloud.block_storage.get_snapshot(made.id), name=f"snapshot {name}")
    return _read(made)


def find_snapshot(session: Session, owner: RunId, part: str) -> Snapshot | None:
    """Look the run's snapshot of this part up."""
    found = _find(session, owner, part)
    return None if found is None else _read(found)


def delete_snapshot(session: Session, snapshot_id: str, name: str) -> bool:
    """Delete it and wait; False when it was gone already. May be called again."""

    def delete(cloud: Any) -> None:
        cloud.block_storage.delete_snapshot(snapshot_id, ignore_missing=False)

    if not session.remove(f"deleting snapshot {name}", delete):
        return False
    session.wait(SNAPSHOT_GONE, lambda cloud: cloud.block_storage.get_snapshot(snapshot_id), name=f"snapshot {name}")
    return True


def wait_volume(session: Session, volume_id: str) -> None:
    """Wait until nobody works on a volume: the end of an online snapshot is a while behind its disappearance."""
    look = lambda cloud: cloud.block_storage.get_volume(volume_id)  # noqa: E731
    session.wait(VOLUME_SETTLED, look, name=f"volume {volume_id}")


def list_snapshots(session: Session) -> Iterator[Any]:
    """List the snapshots that carry a tag of ours."""
    listed = session.list("listing snapshots", lambda cloud: cloud.block_storage.snapshots(details=True))
    return (one for one in listed if tag_of(one) is not None and state_of(one) not in DEAD)


def _find(session: Session, owner: RunId, part: str) -> Any | None:
    name = name_of(owner, part)
    listed = session.list(f"looking for snapshot {name}", lambda cloud: cloud.block_storage.snapshots(name=name))
    living = [one for one in listed if is_of(one, owner, part) and state_of(one) not in DEAD]
    return min(living, key=lambda one: one.created_at, default=None)


def _read(found: Any) -> Snapshot:
    tag = tag_of(found)
    return Snapshot(found.id, found.name, found.volume_id, int(found.size), tag.run if tag else "")
