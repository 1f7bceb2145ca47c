"""The bridges of the guests' networks, with an address of this machine in each."""

from __future__ import annotations

from pathlib import Path

from lab.openstack.installation import run
from lab.openstack.place import Place


def put_up(place: Place) -> None:
    """Make the bridges of the networks there are from the start. May be called again."""
    for bridge, address in _listed(place):
        if not _is_there(bridge):
            _ip(place, "link", "add", bridge, "type", "bridge")
        _ip(place, "addr", "replace", address, "dev", bridge)
        _ip(place, "link", "set", bridge, "up")


def take_down(place: Place, networks: list[str]) -> None:
    """Remove them, and those that nova made for the networks with these ids. May be called again."""
    names = {bridge for bridge, _ in _listed(place)} | {f"brq{network[:11]}" for network in networks}
    for bridge in sorted(names):
        if _is_there(bridge):
            _ip(place, "link", "del", bridge)


def _listed(place: Place) -> list[tuple[str, str]]:
    path = place.root / "bridges"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(bridge, address) for bridge, _, address in (line.partition(" ") for line in lines)]


def _is_there(bridge: str) -> bool:
    return Path("/sys/class/net", bridge).exists()


def _ip(place: Place, *words: str) -> None:
    run(place, "bridges", ["ip", *words])
