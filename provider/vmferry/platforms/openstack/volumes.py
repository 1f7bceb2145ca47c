# SPDX-License-Identifier: Apache-2.0
"""Volumes of runs: found by the tag of the run that made them, or made: empty, or of a snapshot or an image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from vmferry.engine.units import GiB
from vmferry.platforms.openstack import naming
from vmferry.platforms.openstack.naming import ROOT, is_of, name_of, tag_of, tags_of
from vmferry.platforms.openstack.session import Session
from vmferry.platforms.openstack.waits import BROKEN, DEAD, VOLUME_AVAILABLE, VOLUME_GONE, state_of
from vmferry.platforms.orders import Removal
from vmferry.platforms.runs import RunId

_BOOT_PROPERTIES = ("hw_", "os_", "img_hv_")
"""What of an image's properties says how to run a guest; the rest says which image it was."""


@dataclass(frozen=True, slots=True)
class VolumeSpec:
    """A volume to find or to make."""

    part: str
    """What it is to the run, e.g. ``data-2``."""
    size_gib: int
    name: str = ""
    """Of its own when empty."""
    type: str = ""
    """The cloud's default when empty."""
    zone: str = ""
    snapshot: str = ""
    """Id of a snapshot that it is made of."""
    image: str = ""
    """Or of an image."""
    bootable: bool = False
    """Servers boot from it; one that is made of something bootable is so by itself."""
    image_properties: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What people wrote at the original."""


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume that a run made."""

    id: str
    name: str
    part: str
    size_gib: int
    state: str
    type: str
    owner: str
    bootable: bool = False
    verified: bool = False
    root: str = ""
    """The root of the bytes that are proven to be in it."""
    servers: tuple[str, ...] = ()
    """Ids of the servers that have it."""
    metadata: Mapping[str, str] = field(default_factory=dict)


def size_for(virtual_bytes: int) -> int:
    """Give the size of the volume that a disk needs, in GiB."""
    return max(1, -(-virtual_bytes // GiB))


def ensure_volume(session: Session, spec: VolumeSpec, owner: RunId) -> Volume:
    """Find the run's volume of this part or make one, and wait until it can be used. May be called again.

    One that ended as an error is removed first, unless its bytes are proven.
    """
    name = _name(spec, owner)
    broken = _find(session, name, owner, spec.part)
    if broken is not None and state_of(broken) in BROKEN:
        remove(session, _read(broken), owner)
    made = session.make(
        f"making volume {name}",
        lambda: _find(session, name, owner, spec.part),
        lambda cloud: cloud.block_storage.create_volume(name=name, **_attributes(spec, owner)),
    )
    if not made.attachments:
        session.wait(VOLUME_AVAILABLE, lambda cloud: _get(cloud, made.id), name=f"volume {name}")
    return _finish(session, spec, made.id)


def find_volume(session: Session, spec: VolumeSpec, owner: RunId) -> Volume | None:
    """Look the run's volume of this part up."""
    found = _find(session, _name(spec, owner), owner, spec.part)
    return None if found is None else _read(found)


def look_at(session: Session, volume_id: str) -> Volume | None:
    """Read a volume that a run made; None when it is gone, or nobody's of ours."""
    found = session.find(f"looking at volume {volume_id}", lambda cloud: _get(cloud, volume_id))
    return None if found is None or tag_of(found) is None else _read(found)


def mark(session: Session, volume: Volume, owner: RunId, *words: str, more: Mapping[str, str] | None = None) -> Volume:
    """Write the run's state into the volume's metadata; other metadata stays. May be called again."""
    notes = {naming.TAG: owner.tag(*words), naming.PART: volume.part, **(more or {})}
    what = f"volume {volume.name}: writing {', '.join(words) or 'its tag'}"
    session.insist(what, lambda cloud: cloud.block_storage.set_volume_metadata(volume.id, **notes))
    return _read(session.ask(f"looking at volume {volume.name}", lambda cloud: _get(cloud, volume.id)))


def mark_verified(session: Session, volume: Volume, owner: RunId, root: str) -> Volume:
    """Note that its bytes are proven: from now on only a person removes it. May be called again."""
    return mark(session, volume, owner, naming.VERIFIED, more={ROOT: root})


def mark_complete(session: Session, volume: Volume, owner: RunId) -> Volume:
    """Note that the run is done with it. May be called again."""
    words = (naming.VERIFIED, naming.COMPLETE) if volume.verified else (naming.COMPLETE,)
    return mark(session, volume, owner, *words)


def remove(session: Session, volume: Volume, owner: RunId) -> Removal:
    """Delete a volume of this run, unless its bytes are proven. May be called again."""
    found = session.find(f"looking at volume {volume.name}", lambda cloud: _get(cloud, volume.id))
    tag = tag_of(found) if found is not None else None
    if tag is None or not tag.is_of(owner):
        return Removal.NOTHING
    if naming.VERIFIED in tag.words or naming.COMPLETE in tag.words:
        return Removal.KEPT
    delete(session, volume.id, volume.name)
    return Removal.REMOVED


def delete(session: Session, volume_id: str, name: str) -> bool:
    """Delete it, whatever it holds, and wait; False when it was gone already. May be called again."""

    def order(cloud: Any) -> None:
        cloud.block_storage.delete_volume(volume_id, ignore_missing=False)

    if not session.remove(f"deleting volume {name}", order):
        return False
    session.wait(VOLUME_GONE, lambda cloud: _get(cloud, volume_id), name=f"volume {name}")
    return True


def list_volumes(session: Session) -> Iterator[Volume]:
    """List the volumes that runs made and that live."""
    for one in list_all(session):
        if tag_of(one) is not None and state_of(one) not in DEAD:
            yield _read(one)


def list_all(session: Session) -> list[Any]:
    """List all volumes of the project, as the SDK shows them."""
    return session.list("listing volumes", lambda cloud: cloud.block_storage.volumes(details=True))


def _finish(session: Session, spec: VolumeSpec, volume_id: str) -> Volume:
    """Make it bootable and say how its guest is run, where it does not know that from what it is made of."""
    found = session.ask(f"looking at volume {volume_id}", lambda cloud: _get(cloud, volume_id))
    if spec.bootable and not found.is_bootable:
        what = f"volume {found.name}: making it bootable"
        session.insist(what, lambda cloud: cloud.block_storage.set_volume_bootable_status(volume_id, True))
    present = found.volume_image_metadata or {}
    wanted = {name: value for name, value in spec.image_properties.items() if name.startswith(_BOOT_PROPERTIES)}
    missing = {name: value for name, value in wanted.items() if present.get(name) != value}
    if missing:
        what = f"volume {found.name}: writing how its guest is run"
        session.insist(what, lambda cloud: cloud.block_storage.set_volume_image_metadata(volume_id, **missing))
    return _read(session.ask(f"looking at volume {found.name}", lambda cloud: _get(cloud, volume_id)))


def _attributes(spec: VolumeSpec, owner: RunId) -> dict[str, Any]:
    wanted: dict[str, Any] = {
        "volume_type": spec.type,
        "availability_zone": spec.zone,
        "snapshot_id": spec.snapshot,
        "image_id": spec.image,
    }
    notes = tags_of(owner, spec.part, more=spec.metadata)
    return {"size": spec.size_gib, "metadata": notes, **{name: value for name, value in wanted.items() if value}}


def _find(session: Session, name: str, owner: RunId, part: str) -> Any | None:
    listed = session.list(f"looking for volume {name}", lambda cloud: cloud.block_storage.volumes(name=name))
    living = [one for one in listed if is_of(one, owner, part) and state_of(one) not in DEAD]
    return min(living, key=lambda one: one.created_at, default=None)


def _get(cloud: Any, volume_id: str) -> Any:
    return cloud.block_storage.get_volume(volume_id)


def _name(spec: VolumeSpec, owner: RunId) -> str:
    return (spec.name or name_of(owner, spec.part))[:255]


def _read(found: Any) -> Volume:
    tag = tag_of(found)
    notes = dict(found.metadata or {})
    return Volume(
        id=found.id,
        name=found.name or found.id,
        part=notes.get(naming.PART, ""),
        size_gib=int(found.size),
        state=state_of(found),
        type=found.volume_type or "",
        owner=tag.run if tag else "",
        bootable=bool(found.is_bootable),
        verified=tag is not None and naming.VERIFIED in tag.words,
        root=notes.get(ROOT, ""),
        servers=tuple(one["server_id"] for one in found.attachments or () if one.get("server_id")),
        metadata=notes,
    )
