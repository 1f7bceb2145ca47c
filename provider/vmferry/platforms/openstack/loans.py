# SPDX-License-Identifier: Apache-2.0
"""Volumes that a run borrows from somebody's server, and always gives back, whoever is killed in between.

The volume itself remembers: before it is taken off, the run, the server, the device and what becomes of the volume with
the server are written into its metadata. Whoever finds that note can give it back; the note goes last.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vmferry.platforms.errors import VmBusy
from vmferry.platforms.openstack.attachments import attach, detach, servers_of
from vmferry.platforms.openstack.facts import ServerFacts, VolumeFacts
from vmferry.platforms.openstack.naming import HOME, LOAN, notes_of
from vmferry.platforms.openstack.session import Session
from vmferry.platforms.openstack.volumes import list_all
from vmferry.platforms.runs import RunId, parse_tag


@dataclass(frozen=True, slots=True)
class Loan:
    """A volume that is away from its server, or about to be."""

    volume: str
    name: str
    owner: str
    """The run, as its tag says."""
    server: str
    device: str
    goes: bool
    """The volume is deleted with the server."""


def borrow(session: Session, server: ServerFacts, volume: VolumeFacts, owner: RunId) -> Loan:
    """Write down where the volume belongs and take it off its server. May be called again.

    Raises `VmBusy` when another run has borrowed it.
    """
    name = f"volume {volume.name or volume.id} of {server.name}"
    present = find_loan(session, volume.id)
    if present is None:
        home = {"server": server.id, "device": volume.device, "goes": volume.delete_on_termination}
        notes = {HOME: json.dumps(home), LOAN: owner.tag()}
        what = f"{name}: writing down where it belongs"
        session.insist(what, lambda cloud: cloud.block_storage.set_volume_metadata(volume.id, **notes))
        present = find_loan(session, volume.id)
    tag = parse_tag(f"vmferry:{present.owner}") if present else None
    if present is None or tag is None or not tag.is_of(owner):
        whose = present.owner if present else "nobody"
        raise VmBusy(f"{name} is borrowed by run {whose}", fix="let that run end, or give it back with the janitor")
    detach(session, present.server, volume.id, name=name)
    return present


def give_back(session: Session, volume_id: str) -> bool:
    """Take it off wherever it is and give it back to its server; False when nobody borrowed it. May be called again."""
    loan = find_loan(session, volume_id)
    if loan is None:
        return False
    name = f"volume {loan.name}"
    for server in servers_of(session, volume_id):
        if server != loan.server:
            detach(session, server, volume_id, name=name)
    home = session.find(f"looking at server {loan.server}", lambda cloud: cloud.compute.get_server(loan.server))
    if home is not None:
        attach(session, loan.server, volume_id, name=name, device=loan.device, goes=loan.goes)
    # A volume whose server was deleted meanwhile stays, free: nobody told us to delete it.
    what = f"{name}: removing the note of the loan"
    session.insist(what, lambda cloud: cloud.block_storage.delete_volume_metadata(volume_id, [LOAN, HOME]))
    return True


def find_loan(session: Session, volume_id: str) -> Loan | None:
    """Read the note at a volume."""
    found = session.find(f"looking at volume {volume_id}", lambda cloud: cloud.block_storage.get_volume(volume_id))
    return None if found is None else _read(found)


def list_loans(session: Session) -> Iterator[Loan]:
    """List the volumes that are borrowed."""
    return (loan for loan in map(_read, list_all(session)) if loan is not None)


def _read(found: Any) -> Loan | None:
    notes = notes_of(found)
    tag = parse_tag(notes.get(LOAN))
    if tag is None or HOME not in notes:
        return None
    home = json.loads(notes[HOME])
    return Loan(found.id, found.name or found.id, tag.run, home["server"], home["device"], home["goes"])
