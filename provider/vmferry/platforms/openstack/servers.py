# SPDX-License-Identifier: Apache-2.0
"""Servers: stopped, started, made as planned, tagged, deleted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from vmferry.platforms.errors import BadState, NameTaken, NotThere
from vmferry.platforms.openstack import naming
from vmferry.platforms.openstack.failures import NoHost
from vmferry.platforms.openstack.naming import is_of, notes_of, tag_of, tags_of
from vmferry.platforms.openstack.session import Session
from vmferry.platforms.openstack.waits import (
    BROKEN,
    DEAD,
    SERVER_ACTIVE,
    SERVER_DOWN,
    SERVER_GONE,
    SERVER_SETTLED,
    state_of,
)
from vmferry.platforms.runs import RunId

PART = "server"


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """A server to find or to make."""

    name: str
    flavor: str
    """Its id."""
    volumes: tuple[str, ...] = ()
    """Ids, in the order of the disks; it boots from the first, unless there is an image."""
    image: str = ""
    """Id of the image that it boots from, on a disk of its flavor: for conversion hosts, never for a moved VM."""
    ports: tuple[str, ...] = ()
    """Ids, in the order of the cards."""
    zone: str = ""
    keypair: str = ""
    server_group: str = ""
    """Its id."""
    config_drive: bool = False
    user_data: str = field(default="", repr=False)
    """In base64, as nova keeps it."""
    description: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    part: str = PART
    """What it is to the run."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server."""

    id: str
    name: str
    state: str
    owner: str = ""
    """The run that made it, as its tag says; empty: it is not ours."""
    complete: bool = False
    addresses: tuple[str, ...] = ()


def ensure_server(session: Session, spec: ServerSpec, owner: RunId) -> Server:
    """Find the run's server of this part or make it, and wait until it is up. May be called again.

    One that ended as an error is deleted first; its volumes and ports stay. Raises `NameTaken`, and `NoHost` when no
    machine has room for it.
    """
    found = _find(session, spec, owner)
    if found is not None and state_of(found) in BROKEN:
        delete(session, found.id, spec.name)
    made = session.make(
        f"making server {spec.name}",
        lambda: _find(session, spec, owner),
        lambda cloud: cloud.compute.create_server(name=spec.name, **_attributes(spec, owner)),
    )
    return _wait_active(session, made.id, spec.name)


def look_at(session: Session, server_id: str) -> Server | None:
    """Read a server; None when it is gone."""
    found = session.find(f"looking at server {server_id}", lambda cloud: _get(cloud, server_id))
    return None if found is None or state_of(found) in DEAD else _read(found)


def stop(session: Session, server_id: str, name: str) -> bool:
    """Stop a server and wait; False when it was down already. May be called again.

    Nova presses the power button, and pulls the plug of a guest that does not listen for a minute.
    """
    if _settled(session, server_id, name) == "shutoff":
        return False
    session.insist(f"stopping server {name}", lambda cloud: cloud.compute.stop_server(server_id))
    session.wait(SERVER_DOWN, lambda cloud: _get(cloud, server_id), name=f"server {name}")
    return True


def start(session: Session, server_id: str, name: str) -> Server:
    """Start a server and wait until nova calls it active. May be called again."""
    if _settled(session, server_id, name) != "active":
        session.insist(f"starting server {name}", lambda cloud: cloud.compute.start_server(server_id))
    return _wait_active(session, server_id, name)


def mark_complete(session: Session, server: Server, owner: RunId) -> Server:
    """Note that the run is done with it. May be called again."""
    notes = {naming.TAG: owner.tag(naming.COMPLETE)}
    what = f"server {server.name}: writing that it is complete"
    session.insist(what, lambda cloud: cloud.compute.set_server_metadata(server.id, **notes))
    return _read(session.ask(f"looking at server {server.name}", lambda cloud: _get(cloud, server.id)))


def mark_moved(session: Session, server_id: str, name: str, owner: RunId, where: str) -> None:
    """Note at a source server that it was moved, and where to; nothing else is done to it. May be called again."""
    notes = {naming.MOVED: f"{owner.tag()} {where}"[:255]}
    what = f"server {name}: writing that it was moved"
    session.insist(what, lambda cloud: cloud.compute.set_server_metadata(server_id, **notes))


def read_moved(session: Session, server_id: str) -> str:
    """Read that note; empty when there is none."""
    found = session.find(f"looking at server {server_id}", lambda cloud: _get(cloud, server_id))
    return notes_of(found).get(naming.MOVED, "") if found is not None else ""


def delete(session: Session, server_id: str, name: str) -> bool:
    """Delete a server and wait; False when it was gone already. May be called again. Volumes stay."""

    def order(cloud: Any) -> None:
        cloud.compute.delete_server(server_id, ignore_missing=False)

    if not session.remove(f"deleting server {name}", order):
        return False
    session.wait(SERVER_GONE, lambda cloud: _get(cloud, server_id), name=f"server {name}")
    return True


def read_console(session: Session, server_id: str) -> str:
    """Read what the guest printed; empty for a server that is stopped, or has just begun."""
    what = f"reading the console of server {server_id}"
    found = session.find(what, lambda cloud: cloud.compute.get_server_console_output(server_id))
    return str((found or {}).get("output") or "")


def list_servers(session: Session) -> Iterator[Any]:
    """List the servers that runs made, as the SDK shows them."""
    listed = session.list("listing servers", lambda cloud: cloud.compute.servers(details=True))
    return (one for one in listed if tag_of(one) is not None and state_of(one) not in DEAD)


def _wait_active(session: Session, server_id: str, name: str) -> Server:
    try:
        session.wait(SERVER_ACTIVE, lambda cloud: _get(cloud, server_id), name=f"server {name}")
    except BadState as error:
        raise _explained(session, server_id, error) from error
    return _read(session.ask(f"looking at server {name}", lambda cloud: _get(cloud, server_id)))


def _explained(session: Session, server_id: str, error: BadState) -> BadState | NoHost:
    """Add what nova says about it."""
    found = session.find(f"looking at server {server_id}", lambda cloud: _get(cloud, server_id))
    fault = str((found.fault or {}).get("message") or "") if found is not None else ""
    if not fault:
        return error
    what = f"{error.what}: {fault[:300]}"
    if "no valid host" in fault.lower():
        return NoHost(what, fix="free a machine, or use a smaller flavor or another zone; it is tried again")
    explained = type(error)(what, fix=error.fix)
    explained.state = error.state
    return explained


def _settled(session: Session, server_id: str, name: str) -> str:
    state = session.wait(SERVER_SETTLED, lambda cloud: _get(cloud, server_id), name=f"server {name}")
    if state == "gone":
        raise NotThere(f"site {session.site} has no server {name}", fix="was it deleted?")
    return state


def _find(session: Session, spec: ServerSpec, owner: RunId) -> Any | None:
    exactly = f"^{re.escape(spec.name)}$"
    listed = session.list(f"looking for server {spec.name}", lambda cloud: cloud.compute.servers(name=exactly))
    living = [one for one in listed if one.name == spec.name and state_of(one) not in DEAD]
    ours = [one for one in living if is_of(one, owner, spec.part)]
    if living and not ours:
        fix = "name the new server otherwise, or rename the one that is there"
        raise NameTaken(f"site {session.site} has a server {spec.name!r} already ({living[0].id})", fix=fix)
    return min(ours, key=lambda one: one.created_at, default=None)


def _attributes(spec: ServerSpec, owner: RunId) -> dict[str, Any]:
    disks = [
        {
            "boot_index": number if not spec.image and number == 0 else -1,
            "uuid": volume,
            "source_type": "volume",
            "destination_type": "volume",
            "delete_on_termination": False,
        }
        for number, volume in enumerate(spec.volumes)
    ]
    if spec.image:
        first = {"boot_index": 0, "uuid": spec.image, "source_type": "image", "destination_type": "local"}
        disks.insert(0, {**first, "delete_on_termination": True})
    wanted: dict[str, Any] = {
        "image_id": spec.image,
        "availability_zone": spec.zone,
        "key_name": spec.keypair,
        "user_data": spec.user_data,
        "description": spec.description,
        "scheduler_hints": {"group": spec.server_group} if spec.server_group else None,
        "config_drive": spec.config_drive or None,
        "tags": list(spec.tags),
    }
    return {
        "flavor_id": spec.flavor,
        "networks": [{"port": port} for port in spec.ports] or "none",
        "block_device_mapping": disks,
        "metadata": tags_of(owner, spec.part, more=spec.metadata),
        **{name: value for name, value in wanted.items() if value},
    }


def _get(cloud: Any, server_id: str) -> Any:
    return cloud.compute.get_server(server_id)


def _read(found: Any) -> Server:
    tag = tag_of(found)
    listed = [one for each in (found.addresses or {}).values() for one in each]
    return Server(
        id=found.id,
        name=found.name,
        state=state_of(found),
        owner=tag.run if tag else "",
        complete=tag is not None and naming.COMPLETE in tag.words,
        addresses=tuple(one["addr"] for one in listed),
    )
