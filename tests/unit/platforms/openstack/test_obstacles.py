"""Everything of a server that cannot be moved is named with its reason; nothing else is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vmferry.platforms.openstack.facts import FlavorFacts, PortFacts, ServerFacts, VolumeFacts
from vmferry.platforms.openstack.obstacles import list_obstacles

ROOT = VolumeFacts("v1", "root", 1, "in-use", "/dev/vda", boots=True, bootable=True, attached_to=("s",))
DATA = VolumeFacts("v2", "data", 1, "in-use", "/dev/vdb", attached_to=("s",))
PORT = PortFacts("p", "card", "fa:16:3e:00:00:01", "n")
FLAVOR = FlavorFacts("small", 1, 512, 1)
SERVER = ServerFacts("s", "web01", "active", FLAVOR, ports=(PORT,), volumes=(ROOT, DATA))


def with_data(**changes: object) -> ServerFacts:
    return replace(SERVER, volumes=(ROOT, replace(DATA, **changes)))  # type: ignore[arg-type]


def with_flavor(**changes: object) -> ServerFacts:
    return replace(SERVER, flavor=replace(FLAVOR, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "server",
    [SERVER, replace(SERVER, status="shutoff"), replace(SERVER, image_id="i", volumes=(DATA,))],
    ids=["running", "stopped", "from image"],
)
def test_an_ordinary_server_can_be_moved(server: ServerFacts) -> None:
    assert list_obstacles(server) == ()


@pytest.mark.parametrize(
    ("server", "what", "reason"),
    [
        (replace(SERVER, status="paused"), "the server", "PAUSED"),
        (replace(SERVER, status="shelved_offloaded"), "the server", "SHELVED_OFFLOADED"),
        (replace(SERVER, locked=True), "the server", "locked"),
        (replace(SERVER, volumes=()), "the server", "neither an image nor a volume"),
        (with_flavor(extra_specs={"pci_passthrough:alias": "gpu:1"}), "flavor small", "pci_passthrough:alias"),
        (with_flavor(extra_specs={"hw:tpm_version": "2.0"}), "flavor small", "TPM"),
        (with_data(encrypted=True), "volume data", "encrypted"),
        (with_data(attached_to=("s", "t")), "volume data", "server t has it too"),
        (with_data(multiattach=True, attached_to=("s", "t")), "volume data", "server t has it too"),
        (with_data(status="error"), "volume data", "'error'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_stops_it(server: ServerFacts, what: str, reason: str) -> None:
    [found] = list_obstacles(server)

    assert (found.what, found.stops) == (what, True)
    assert reason in found.reason
    assert found.fix


@pytest.mark.parametrize(
    ("server", "what"),
    [
        (with_flavor(ephemeral_gib=5), "flavor small"),
        (with_flavor(swap_mib=512), "flavor small"),
        (with_data(multiattach=True), "volume data"),
        (replace(SERVER, ports=(replace(PORT, kind="direct"),)), "port card"),
        (replace(SERVER, ports=(replace(PORT, is_trunk=True),)), "port card"),
        (replace(SERVER, floating_addresses=("203.0.113.7",)), "floating address 203.0.113.7"),
    ],
)
def test_what_is_left_behind(server: ServerFacts, what: str) -> None:
    [found] = list_obstacles(server)

    assert (found.what, found.stops) == (what, False)
