# SPDX-License-Identifier: Apache-2.0
"""Block volumes and boot volumes: found by the tag of the run that made them, or made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import oci

from vmferry.engine.units import GiB
from vmferry.platforms.errors import NotThere
from vmferry.platforms.oci import naming
from vmferry.platforms.oci.naming import ROOT, clean_tags, is_of, retry_tokens, tag_of, tags_of
from vmferry.platforms.oci.session import Session
from vmferry.platforms.oci.waits import VOLUME_AVAILABLE, VOLUME_GONE
from vmferry.platforms.orders import Removal
from vmferry.platforms.runs import RunId, parse_tag

PART = "volume"
SMALLEST_GB = 50
LARGEST_GB = 32 * 1024
_NAME_LONGEST = 255


@dataclass(frozen=True, slots=True)
class VolumeSpec:
    """A volume to find or to make."""

    name: str
    compartment: str
    domain: str
    size_gb: int
    vpus_per_gb: int = 20
    """While it is written."""
    boot: bool = False
    cloned_from: str = ""
    """Boot volumes can only be made from one that is there."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """What people wrote."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """What we write ourselves."""


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume that a run made."""

    id: str
    name: str
    domain: str
    size_gb: int
    vpus_per_gb: int
    state: str
    boot: bool
    verified: bool
    tags: Mapping[str, str] = field(default_factory=dict)


def size_for(virtual_bytes: int) -> int:
    """Give the size of the volume that a disk needs, in what OCI calls GB."""
    return max(SMALLEST_GB, -(-virtual_bytes // GiB))


def ensure_volume(session: Session, spec: VolumeSpec, owner: RunId) -> Volume:
    """Find the run's volume or make one; does not wait for it. One that went faulty is removed first."""
    living, lost = _find(session, spec, owner)
    if living is not None and living.lifecycle_state == "FAULTY":
        remove(session, _read(living, boot=spec.boot), owner)
        lost, living = lost + 1, None
    if living is not None:
        return _read(living, boot=spec.boot)
    tokens = retry_tokens(owner, PART, spec.domain, str(spec.size_gb), lost=lost)
    made = session.make(
        f"making volume {spec.name}",
        partial(_create, session, spec, owner),
        tokens,
        lambda: _find(session, spec, owner)[0],
    )
    return _read(made, boot=spec.boot)


def find_volume(session: Session, spec: VolumeSpec, owner: RunId) -> Volume | None:
    """Look the run's volume up."""
    living, _ = _find(session, spec, owner)
    return _read(living, boot=spec.boot) if living is not None else None


def wait_available(session: Session, volume: Volume) -> Volume:
    """Wait until it can be attached; raises `BadState` when it never can."""
    state = session.wait(
        VOLUME_AVAILABLE,
        lambda: _get(session, volume),
        name=f"volume {volume.name}",
        fix="run it again: another volume is made",
    )
    return replace(volume, state=state)


def mark(session: Session, volume: Volume, owner: RunId, *words: str, more: Mapping[str, str]) -> Volume:
    """Write the run's state and findings into the volume's tags. May be called again."""
    now = _get_data(session, volume)
    kept = {name: text for name, text in (now.freeform_tags or {}).items() if name not in tags_of(owner, PART)}
    tags = tags_of(owner, PART, *words, more={**kept, **more})
    return _update(session, volume, freeform_tags=tags)


def mark_verified(session: Session, volume: Volume, owner: RunId, root: str, more: Mapping[str, str]) -> Volume:
    """Note that its bytes are proven: from now on only a person removes it."""
    return mark(session, volume, owner, naming.VERIFIED, more={**more, ROOT: root})


def set_performance(session: Session, volume: Volume, vpus_per_gb: int) -> Volume:
    """Give it the performance that it is to have from now on. May be called again."""
    if _get_data(session, volume).vpus_per_gb == vpus_per_gb:
        return volume
    changed = _update(session, volume, vpus_per_gb=vpus_per_gb)
    return wait_available(session, changed)


def set_backup_policy(session: Session, volume: Volume, policy: str, compartment: str) -> str:
    """Assign a backup policy by name or OCID, and give its OCID. May be called again."""
    policy_id = policy if policy.startswith("ocid1.") else _find_policy(session, policy, compartment)
    client = session.blockstorage
    what = f"volume {volume.name}: backup policy {policy}"
    present = session.list(what, client.get_volume_backup_policy_asset_assignment, volume.id)
    if any(one.policy_id == policy_id for one in present):
        return policy_id
    details = oci.core.models.CreateVolumeBackupPolicyAssignmentDetails(asset_id=volume.id, policy_id=policy_id)
    session.insist(what, lambda: client.create_volume_backup_policy_assignment(details))
    return policy_id


def remove(session: Session, volume: Volume, owner: RunId) -> Removal:
    """Delete a volume of this run, unless its bytes are proven. May be called again."""
    found = session.find(f"volume {volume.name}: looking at it", lambda: _get(session, volume))
    if found is None or found.data.lifecycle_state in ("TERMINATED", "TERMINATING"):
        return Removal.NOTHING
    tag = tag_of(found.data)
    if tag is None or not tag.is_of(owner):
        return Removal.NOTHING
    if naming.VERIFIED in tag.words or naming.COMPLETE in tag.words:
        return Removal.KEPT
    delete(session, volume)
    return Removal.REMOVED


def delete(session: Session, volume: Volume) -> None:
    """Delete it, whatever it holds, and wait. May be called again."""
    client = session.blockstorage
    call = client.delete_boot_volume if volume.boot else client.delete_volume
    if session.remove(f"volume {volume.name}: deleting it", lambda: call(volume.id)):
        session.wait(VOLUME_GONE, lambda: _get(session, volume), name=f"volume {volume.name}")


def list_volumes(session: Session, compartment: str) -> Iterator[Volume]:
    """List the volumes of a compartment that live, boot volumes too."""
    client = session.blockstorage
    for boot, call in ((False, client.list_volumes), (True, client.list_boot_volumes)):
        for one in session.list("listing volumes", call, compartment_id=compartment):
            if one.lifecycle_state not in ("TERMINATED", "TERMINATING"):
                yield _read(one, boot=boot)


def finished_etags(session: Session, compartments: Iterable[str]) -> frozenset[str]:
    """Give the versions of objects that are finished volumes."""
    found: set[str] = set()
    for compartment in sorted(set(compartments) - {""}):
        for volume in list_volumes(session, compartment):
            tag = parse_tag(volume.tags.get(naming.TAG))
            if tag is not None and naming.COMPLETE in tag.words:
                found.add(volume.tags.get(naming.ETAG, ""))
    return frozenset(found)


def _find(session: Session, spec: VolumeSpec, owner: RunId) -> tuple[Any | None, int]:
    client = session.blockstorage
    call = client.list_boot_volumes if spec.boot else client.list_volumes
    named: dict[str, Any] = {"compartment_id": spec.compartment}
    if not spec.boot:
        named["display_name"] = _name(spec)
    found = session.list(f"looking for volume {spec.name}", call, **named)
    ours = [one for one in found if is_of(one, owner, PART)]
    living = [one for one in ours if one.lifecycle_state not in ("TERMINATED", "TERMINATING")]
    return (living[0] if living else None), len(ours) - len(living)


def _create(session: Session, spec: VolumeSpec, owner: RunId, opc_retry_token: str) -> Any:
    models, client = oci.core.models, session.blockstorage
    common: dict[str, Any] = {
        "compartment_id": spec.compartment,
        "availability_domain": spec.domain,
        "display_name": _name(spec),
        "size_in_gbs": spec.size_gb,
        "vpus_per_gb": spec.vpus_per_gb,
        "freeform_tags": tags_of(owner, PART, more={**clean_tags(spec.tags), **spec.notes}),
    }
    if not spec.boot:
        return client.create_volume(models.CreateVolumeDetails(**common), opc_retry_token=opc_retry_token)
    source = models.BootVolumeSourceFromBootVolumeDetails(id=spec.cloned_from)
    details = models.CreateBootVolumeDetails(source_details=source, **common)
    return client.create_boot_volume(details, opc_retry_token=opc_retry_token)


def _update(session: Session, volume: Volume, **changes: Any) -> Volume:
    models, client = oci.core.models, session.blockstorage
    what = f"volume {volume.name}: changing {', '.join(changes)}"
    if volume.boot:
        details = models.UpdateBootVolumeDetails(**changes)
        return _read(session.insist(what, lambda: client.update_boot_volume(volume.id, details)).data, boot=True)
    plain = models.UpdateVolumeDetails(**changes)
    return _read(session.insist(what, lambda: client.update_volume(volume.id, plain)).data, boot=False)


def _get(session: Session, volume: Volume) -> Any:
    client = session.blockstorage
    return client.get_boot_volume(volume.id) if volume.boot else client.get_volume(volume.id)


def _get_data(session: Session, volume: Volume) -> Any:
    return session.ask(f"volume {volume.name}: looking at it", lambda: _get(session, volume)).data


def _find_policy(session: Session, name: str, compartment: str) -> str:
    client = session.blockstorage
    what = f"looking for backup policy {name}"
    own = session.list(what, client.list_volume_backup_policies, compartment_id=compartment)
    for one in [*own, *session.list(what, client.list_volume_backup_policies)]:
        if str(one.display_name).lower() == name.lower():
            return str(one.id)
    fix = "use gold, silver, bronze, or the name or OCID of a policy of yours"
    raise NotThere(f"site {session.site}: there is no volume backup policy {name!r}", fix=fix)


def _name(spec: VolumeSpec) -> str:
    return spec.name[:_NAME_LONGEST]


def _read(found: Any, *, boot: bool) -> Volume:
    tag = tag_of(found)
    return Volume(
        id=found.id,
        name=found.display_name or found.id,
        domain=found.availability_domain,
        size_gb=int(found.size_in_gbs),
        vpus_per_gb=int(found.vpus_per_gb or 0),
        state=found.lifecycle_state,
        boot=boot,
        verified=tag is not None and naming.VERIFIED in tag.words,
        tags=dict(found.freeform_tags or {}),
    )
