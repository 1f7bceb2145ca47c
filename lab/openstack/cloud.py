"""What is in the cloud from the start: two projects that cannot see each other, flavors, a volume type, networks."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Iterable
from typing import Any

import openstack
from keystoneauth1.exceptions import ClientException
from keystoneauth1.identity.v3 import Password
from keystoneauth1.session import Session
from openstack.exceptions import SDKException

from lab.openstack.daemons import pid_of, started_at
from lab.openstack.installation import run
from lab.openstack.place import API_PORTS, HOST, PASSWORD, REGION, LabError, Place
from lab.openstack.services import WORKERS

FAILURES = (SDKException, ClientException)
"""What the SDK raises, and what comes through it from the library below."""
PROJECTS = ("source", "destination")
_PATHS = {"image": "", "placement": "", "compute": "/v2.1", "network": "", "block-storage": "/v3"}
_KINDS = {
    "glance": "image",
    "placement": "placement",
    "nova": "compute",
    "neutron": "network",
    "cinder": "block-storage",
}
_FLAVORS = (("tiny", 256, 1), ("small", 384, 1), ("host", 512, 3))
_NETWORK = "10.99."
_STOP_S = 75.0
"""Nova itself pulls the plug after 60 s."""


def connect(place: Place, cloud: str = "admin") -> Any:
    """Log in as the user of one of the clouds."""
    auth = json.loads(place.clouds.read_text())["clouds"][cloud]["auth"]
    # A session of our own: the SDK's way through clouds.yaml warns of what it will no longer do.
    return openstack.connection.Connection(session=Session(Password(**auth), timeout=60), region_name=REGION)


def make_identity(place: Place) -> None:
    """Make projects, users and the addresses of services. May be called again."""
    identity = connect(place).identity
    roles = {role.name: role for role in identity.roles()}
    admin = identity.find_user("admin")
    identity.assign_project_role_to_user(identity.find_project("admin"), admin, roles["service"])
    for name in PROJECTS:
        project = identity.find_project(name) or identity.create_project(name=name, domain_id="default")
        user = identity.find_user(name) or identity.create_user(
            name=name, password=PASSWORD, domain_id="default", default_project_id=project.id
        )
        identity.assign_project_role_to_user(project, user, roles["member"])
    for name, kind in _KINDS.items():
        service = identity.find_service(name) or identity.create_service(name=name, type=kind)
        if not list(identity.endpoints(service_id=service.id)):
            url = f"http://{HOST}:{API_PORTS[name]}{_PATHS[kind]}"
            identity.create_endpoint(service_id=service.id, interface="public", region_id=REGION, url=url)


def make_resources(place: Place) -> None:
    """Make flavors, the volume type and networks, and note the networks' bridges. May be called again."""
    run(place, "resources", ["nova-manage", "--config-file", str(place.config("nova")), "cell_v2", "discover_hosts"])
    admin = connect(place)
    for name, ram, disk in _FLAVORS:
        if admin.compute.find_flavor(name) is None:
            admin.compute.create_flavor(name=name, ram=ram, vcpus=1, disk=disk)
    if admin.block_storage.find_type("lab") is None:
        admin.block_storage.create_type(name="lab")
    bridges = [_make_network(connect(place, name), "net", str(number)) for number, name in enumerate(PROJECTS)]
    # Both projects reach this one, as they would a provider's network.
    bridges.append(_make_network(admin, "public", "9", shared=True))
    (place.root / "bridges").write_text("".join(f"{bridge}\n" for bridge in bridges))


def is_ready(place: Place) -> str:
    """Say what is not ready; empty when every API answers who is logged in, and every worker has reported lately.

    Any other answer proves little: a service that cannot reach its database answers too.
    """
    try:
        cloud = connect(place)
        next(cloud.image.images(limit=1), None)
        next(cloud.network.networks(), None)
        silent = _silent_workers(place, [*cloud.block_storage.services(), *cloud.compute.services()])
        if silent:
            return f"{silent[0]} has not reported since it was started"
        # Right after its start nova-compute has not told placement yet what it has.
        return "" if list(cloud.placement.resource_providers()) else "placement knows of no machine for guests"
    except FAILURES as failure:
        return f"{type(failure).__name__}: {failure}"


def wait_ready(place: Place, limit_s: float) -> None:
    """Wait until all is ready; a worker that ends is told at once."""
    deadline = time.monotonic() + limit_s
    while wrong := is_ready(place):
        dead = [name for name in WORKERS if pid_of(place, name) is None]
        if dead:
            place.fail(f"{dead[0]} has ended", dead[0])
        if time.monotonic() > deadline:
            raise LabError(f"not ready after {limit_s:g} s: {wrong}")
        time.sleep(0.5)


def stop_servers(place: Place) -> bool:
    """Stop all servers; tells whether all are down.

    Nova would find those that were killed ACTIVE without a guest, and only a hard reboot would bring them back.
    """
    compute = connect(place).compute
    deadline = time.monotonic() + _STOP_S
    asked: set[str] = set()
    while running := [one for one in compute.servers(all_projects=True) if one.status == "ACTIVE"]:
        for server in running:
            if server.id not in asked and not server.task_state:
                compute.stop_server(server.id)
                asked.add(server.id)
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True


def _make_network(cloud: Any, name: str, third: str, **more: Any) -> str:
    """Make a network without DHCP: guests find their address in the config drive. Gives bridge and our own address."""
    found = cloud.network.find_network(name) or cloud.network.create_network(name=name, **more)
    prefix = _NETWORK + third
    if not found.subnet_ids:
        cloud.network.create_subnet(
            name=f"{name}-v4", network_id=found.id, ip_version=4, cidr=f"{prefix}.0/24", enable_dhcp=False,
            gateway_ip=None,
            allocation_pools=[{"start": f"{prefix}.10", "end": f"{prefix}.250"}],
        )  # fmt: skip
    return f"brq{found.id[:11]} {prefix}.1/24"


def _silent_workers(place: Place, services: Iterable[Any]) -> list[str]:
    heard = {one.binary: one for one in services}
    return [name for name in WORKERS if name not in heard or not _has_reported(place, name, heard[name])]


def _has_reported(place: Place, name: str, service: Any) -> bool:
    # For a minute after its death a worker still counts as up: what it said since this start is what counts.
    if service.state != "up" or not service.updated_at:
        return False
    said = datetime.datetime.fromisoformat(service.updated_at.rstrip("Z")).replace(tzinfo=datetime.UTC)
    return said.timestamp() > started_at(place, name)
