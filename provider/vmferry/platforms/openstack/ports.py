# SPDX-License-Identifier: Apache-2.0
"""Ports for new servers: made before any byte moves, so that addresses and MACs are known to be free."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vmferry.platforms.openstack import naming
from vmferry.platforms.openstack.naming import name_of
from vmferry.platforms.openstack.session import Session
from vmferry.platforms.runs import RunId, parse_tag


@dataclass(frozen=True, slots=True)
class PortSpec:
    """A port to find or to make."""

    part: str
    """What it is to the run, e.g. ``port-1``."""
    network: str
    """Its id."""
    addresses: tuple[tuple[str, str], ...] = ()
    """Subnet id and address; an address may be empty: any that is free. None at all: as the network gives."""
    mac: str = ""
    """Any when empty."""
    security_groups: tuple[str, ...] | None = None
    """Their ids; None: the project's default."""
    port_security: bool | None = None
    """None: as the network has it."""


@dataclass(frozen=True, slots=True)
class Port:
    """A port that a run made."""

    id: str
    name: str
    mac: str
    network: str
    addresses: tuple[str, ...]
    owner: str
    complete: bool
    server: str = ""


def ensure_port(session: Session, spec: PortSpec, owner: RunId) -> Port:
    """Find the run's port of this part or make one. May be called again."""
    name = name_of(owner, spec.part)
    made = session.make(
        f"making port {name} in network {spec.network}",
        lambda: _find(session, name, owner),
        lambda cloud: cloud.network.create_port(name=name, description=owner.tag(), **_attributes(spec)),
    )
    return _read(made)


def mark_complete(session: Session, port: Port, owner: RunId, name: str = "") -> Port:
    """Note that the run is done with it, and give it the name it is to have. May be called again."""
    changes = {"description": owner.tag(naming.COMPLETE), **({"name": name} if name else {})}
    what = f"port {port.name}: writing that it is complete"
    return _read(session.insist(what, lambda cloud: cloud.network.update_port(port.id, **changes)))


def delete_port(session: Session, port_id: str, name: str) -> bool:
    """Delete it; False when it was gone already. May be called again."""
    return session.remove(
        f"deleting port {name}", lambda cloud: cloud.network.delete_port(port_id, ignore_missing=False)
    )


def list_ports(session: Session) -> Iterator[Port]:
    """List the ports that runs made."""
    project = session.project_id
    listed = session.list("listing ports", lambda cloud: cloud.network.ports(project_id=project))
    return (_read(one) for one in listed if parse_tag(one.description) is not None)


def _attributes(spec: PortSpec) -> dict[str, Any]:
    fixed = [
        {"subnet_id": subnet, **({"ip_address": address} if address else {})} for subnet, address in spec.addresses
    ]
    made: dict[str, Any] = {"network_id": spec.network}
    made |= {"fixed_ips": fixed} if fixed else {}
    made |= {"mac_address": spec.mac} if spec.mac else {}
    if spec.port_security is not None:
        made["is_port_security_enabled"] = spec.port_security
    if spec.security_groups is not None and spec.port_security is not False:
        made["security_group_ids"] = list(spec.security_groups)
    return made


def _find(session: Session, name: str, owner: RunId) -> Any | None:
    listed = session.list(f"looking for port {name}", lambda cloud: cloud.network.ports(name=name))
    for one in listed:
        tag = parse_tag(one.description)
        if tag is not None and tag.is_of(owner):
            return one
    return None


def _read(found: Any) -> Port:
    tag = parse_tag(found.description)
    return Port(
        id=found.id,
        name=found.name or found.id,
        mac=found.mac_address,
        network=found.network_id,
        addresses=tuple(one["ip_address"] for one in found.fixed_ips or ()),
        owner=tag.run if tag else "",
        complete=tag is not None and naming.COMPLETE in tag.words,
        server=found.device_id or "",
    )
