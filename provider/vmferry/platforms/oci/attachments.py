# SPDX-License-Identifier: Apache-2.0
"""Volumes at workers: attached under a device that was free, found again by what they connect, detached."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import oci

from vmferry.platforms.errors import Conflict, NoRoom
from vmferry.platforms.oci.naming import name_of, retry_tokens
from vmferry.platforms.oci.session import Session
from vmferry.platforms.oci.volumes import Volume
from vmferry.platforms.oci.waits import ATTACHED, DETACHED
from vmferry.platforms.oci.workers import Worker
from vmferry.platforms.runs import RunId

PART = "attachment"
_OVER = frozenset({"DETACHED", "DETACHING"})


@dataclass(frozen=True, slots=True)
class Attachment:
    """A volume at a worker."""

    id: str
    device: str
    """The consistent path, which stays the same whatever else is attached."""
    state: str
    worker: str
    volume: str


def attach(session: Session, worker: Worker, volume: Volume, owner: RunId, *, iscsi: bool = False) -> Attachment:
    """Find the attachment or make it; does not wait. Raises `Conflict` when the volume is at another instance."""
    present = list(list_attachments(session, worker.compartment, volume=volume.id))
    for one in present:
        if one.worker == worker.id:
            return one
    if present:
        what = f"volume {volume.name} is attached to instance {present[0].worker}"
        raise Conflict(what, fix="it is detached when that worker ends; run it again then")
    device = _free_device(session, worker)
    kind = oci.core.models.AttachIScsiVolumeDetails if iscsi else oci.core.models.AttachParavirtualizedVolumeDetails
    more = {"is_agent_auto_iscsi_login_enabled": True} if iscsi else {}
    details = kind(instance_id=worker.id, volume_id=volume.id, device=device, display_name=name_of(owner, PART), **more)
    made = session.make(
        f"attaching volume {volume.name} to worker {worker.name}",
        partial(session.compute.attach_volume, details),
        retry_tokens(owner, PART, worker.id, volume.id, device),
    )
    return _read(made)


def wait_attached(session: Session, attachment: Attachment, *, name: str) -> Attachment:
    """Wait until the worker has it."""
    get = session.compute.get_volume_attachment
    session.wait(ATTACHED, lambda: get(attachment.id), name=name, fix="run it again: it is attached anew")
    return _read(session.ask(f"{name}: looking at the attachment", lambda: get(attachment.id)).data)


def detach(session: Session, attachment: Attachment, *, name: str) -> bool:
    """Detach and wait; False when it was detached already. May be called again."""
    compute = session.compute
    was_there = session.remove(f"{name}: detaching it", lambda: compute.detach_volume(attachment.id))
    if was_there:
        session.wait(DETACHED, lambda: compute.get_volume_attachment(attachment.id), name=name)
    return was_there


def list_attachments(
    session: Session, compartment: str, *, volume: str | None = None, worker: str | None = None
) -> Iterator[Attachment]:
    """List the attachments that are not over."""
    named = {name: value for name, value in (("volume_id", volume), ("instance_id", worker)) if value}
    found = session.list("listing attachments", session.compute.list_volume_attachments, compartment, **named)
    return (_read(one) for one in found if one.lifecycle_state not in _OVER)


def _free_device(session: Session, worker: Worker) -> str:
    found = session.list(
        f"worker {worker.name}: looking for a free device",
        session.compute.list_instance_devices,
        worker.id,
        is_available=True,
        sort_by="DISPLAYNAME",
        sort_order="ASC",
    )
    if not found:
        raise NoRoom(f"worker {worker.name} has no free device", fix="it can hold 32 volumes; detach some")
    return str(found[0].name)


def _read(found: Any) -> Attachment:
    return Attachment(found.id, found.device or "", found.lifecycle_state, found.instance_id, found.volume_id)
