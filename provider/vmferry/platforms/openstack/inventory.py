# SPDX-License-Identifier: Apache-2.0
"""Reads what a project has: the list of servers, and one server with all that hangs on it."""

from __future__ import annotations

import functools
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from vmferry.engine.errors import BadInput
from vmferry.platforms.errors import NotThere
from vmferry.platforms.inventory import SiteFacts, VmSummary
from vmferry.platforms.openstack.facts import AddressFacts, FlavorFacts, PortFacts, ServerFacts, VolumeFacts
from vmferry.platforms.openstack.obstacles import list_obstacles
from vmferry.platforms.openstack.session import Session


def check(session: Session) -> SiteFacts:
    """Log in, and ask each service something that only one who may use it is told."""
    project = session.project_id
    session.list("asking nova", lambda cloud: cloud.compute.servers(details=False, limit=1, paginated=False))
    session.list("asking cinder", lambda cloud: cloud.block_storage.volumes(details=False, limit=1, paginated=False))
    session.list("asking glance", lambda cloud: cloud.image.images(limit=1, paginated=False))
    session.list("asking neutron", lambda cloud: cloud.network.networks(limit=1, paginated=False))
    version = session.ask("asking nova's version", lambda cloud: cloud.compute.get_endpoint_data().max_microversion)
    region = session.settings.region or "its only region"
    return SiteFacts(f"project {project} in {region}", "nova " + ".".join(map(str, version or ())), ("snapshot",))


def list_servers(session: Session, query: str | None) -> Iterator[VmSummary]:
    """List servers, a thousand a call; `query` is ``tag=NAME``, or a regular expression that names match."""
    named: dict[str, Any] = {}
    pattern = re.compile("")
    if query and query.startswith("tag="):
        named["tags"] = query.removeprefix("tag=")
    elif query:
        try:
            pattern = re.compile(query)
        except re.error as failure:
            raise BadInput(f"{query!r} is no regular expression: {failure}", fix="use tag=NAME, or e.g. ^web") from None
    for one in session.list("listing servers", lambda cloud: cloud.compute.servers(details=True, **named)):
        if pattern.search(one.name or ""):
            yield VmSummary(one.id, one.name, str(one.status).lower(), tuple(one.tags or ()))


def find_server(session: Session, wanted: str) -> Any | None:
    """Look a server up by its id or exact name; two of one name are an error."""
    if _is_id(wanted):
        return session.find(f"looking for server {wanted}", lambda cloud: cloud.compute.get_server(wanted))
    # Nova's filter is a regular expression, of its database's kind.
    exactly = f"^{re.escape(wanted)}$"
    listed = session.list(f"looking for server {wanted!r}", lambda cloud: cloud.compute.servers(name=exactly))
    found = [one for one in listed if one.name == wanted]
    if len(found) > 1:
        fix = f"name it by id: {', '.join(one.id for one in found)}"
        raise BadInput(f"site {session.site} has {len(found)} servers {wanted!r}", fix=fix)
    return found[0] if found else None


def describe(session: Session, wanted: str) -> ServerFacts:
    """Describe a server, by id or name."""
    found = find_server(session, wanted)
    if found is None:
        fix = "was it renamed or deleted? is it in another project?"
        raise NotThere(f"site {session.site} has no server {wanted!r}", fix=fix)
    facts = _read_server(session, found)
    return replace(facts, obstacles=list_obstacles(facts))


def _read_server(session: Session, server: Any) -> ServerFacts:
    image_id = str((server.image or {}).get("id") or "")
    return ServerFacts(
        id=server.id,
        name=server.name,
        status=str(server.status).lower(),
        task=server.task_state or "",
        description=server.description or "",
        flavor=_read_flavor(session, server),
        image_id=image_id,
        image=_image_name(session, image_id),
        zone=server.availability_zone or "",
        keypair=server.key_name or "",
        server_group=next(iter(server.server_groups or ()), ""),
        config_drive=str(server.has_config_drive).lower() == "true",
        locked=bool(server.is_locked),
        user_data=server.user_data or None,
        ports=tuple(_read_ports(session, server)),
        volumes=tuple(_read_volumes(session, server, boots_from_volume=not image_id)),
        floating_addresses=tuple(_floating(server.addresses or {})),
        metadata=dict(server.metadata or {}),
        tags=tuple(server.tags or ()),
    )


def _read_flavor(session: Session, server: Any) -> FlavorFacts:
    """Read it from the server itself; clouds before Pike name only its id there."""
    flavor = server.flavor
    if not flavor.vcpus and flavor.id:
        what = f"server {server.name!r}: reading its flavor"
        flavor = session.find(what, lambda cloud: cloud.compute.get_flavor(server.flavor.id)) or flavor
    return FlavorFacts(
        name=flavor.original_name or flavor.name or flavor.id or "",
        vcpus=int(flavor.vcpus or 0),
        ram_mib=int(flavor.ram or 0),
        disk_gib=int(flavor.disk or 0),
        ephemeral_gib=int(flavor.ephemeral or 0),
        swap_mib=int(flavor.swap or 0),
        extra_specs={str(name): str(value) for name, value in (flavor.extra_specs or {}).items()},
    )


def _image_name(session: Session, image_id: str) -> str:
    if not image_id:
        return ""
    found = session.find(f"looking for image {image_id}", lambda cloud: cloud.image.get_image(image_id))
    return str(found.name or "") if found is not None else ""


def _read_volumes(session: Session, server: Any, *, boots_from_volume: bool) -> Iterator[VolumeFacts]:
    what = f"server {server.name!r}: listing its volumes"
    attached = session.list(what, lambda cloud: cloud.compute.volume_attachments(server.id))
    attached.sort(key=lambda one: _device_order(one.device or ""))
    for number, one in enumerate(attached):
        get = functools.partial(_get_volume, volume_id=one.volume_id)
        found = session.find(f"server {server.name!r}: reading volume {one.volume_id}", get)
        boots = boots_from_volume and number == 0
        if found is None:
            yield VolumeFacts(one.volume_id, "", 0, "not shown", device=one.device or "", boots=boots)
        else:
            yield read_volume(found, device=one.device or "", boots=boots, goes=bool(one.delete_on_termination))


def _get_volume(cloud: Any, volume_id: str) -> Any:
    return cloud.block_storage.get_volume(volume_id)


def read_volume(found: Any, *, device: str = "", boots: bool = False, goes: bool = False) -> VolumeFacts:
    """Turn the SDK's volume into facts."""
    return VolumeFacts(
        id=found.id,
        name=found.name or "",
        size_gib=int(found.size),
        status=str(found.status).lower(),
        device=device,
        type=found.volume_type or "",
        boots=boots,
        bootable=bool(found.is_bootable),
        multiattach=bool(found.is_multiattach),
        encrypted=bool(found.is_encrypted),
        delete_on_termination=goes,
        zone=found.availability_zone or "",
        attached_to=tuple(one["server_id"] for one in found.attachments or () if one.get("server_id")),
        metadata=dict(found.metadata or {}),
        image_properties=dict(found.volume_image_metadata or {}),
    )


def _read_ports(session: Session, server: Any) -> Iterator[PortFacts]:
    what = f"server {server.name!r}: listing its ports"
    ports = session.list(what, lambda cloud: cloud.network.ports(device_id=server.id))
    groups: dict[str, str] = {}
    if any(port.security_group_ids for port in ports):
        listed = session.list("listing security groups", lambda cloud: cloud.network.security_groups())
        groups = {one.id: one.name for one in listed}
    networks = {id_: _network_name(session, id_) for id_ in {port.network_id for port in ports}}
    subnets = {
        id_: _subnet_name(session, id_) for id_ in {one["subnet_id"] for p in ports for one in p.fixed_ips or ()}
    }
    for port in ports:
        fixed = port.fixed_ips or ()
        yield PortFacts(
            id=port.id,
            name=port.name or "",
            mac=port.mac_address,
            network_id=port.network_id,
            network=networks[port.network_id],
            addresses=tuple(
                AddressFacts(one["ip_address"], one["subnet_id"], subnets[one["subnet_id"]]) for one in fixed
            ),
            security_groups=tuple(groups.get(id_, id_) for id_ in port.security_group_ids or ()),
            port_security=port.is_port_security_enabled is not False,
            kind=port.binding_vnic_type or "normal",
            is_trunk=bool(port.trunk_details),
        )


def _network_name(session: Session, network_id: str) -> str:
    found = session.find(f"looking for network {network_id}", lambda cloud: cloud.network.get_network(network_id))
    return str(found.name or "") if found is not None else ""


def _subnet_name(session: Session, subnet_id: str) -> str:
    found = session.find(f"looking for subnet {subnet_id}", lambda cloud: cloud.network.get_subnet(subnet_id))
    return str(found.name or "") if found is not None else ""


def _floating(addresses: Mapping[str, Any]) -> Iterator[str]:
    for listed in addresses.values():
        for one in listed:
            if one.get("OS-EXT-IPS:type") == "floating":
                yield one["addr"]


def _device_order(device: str) -> tuple[int, str]:
    """Sort /dev/vdb before /dev/vdaa."""
    return len(device), device


def _is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
