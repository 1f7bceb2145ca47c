"""Runs in a conversion host: gives its cards the addresses of the config drive, and lets the server's key in."""

from __future__ import annotations

import ipaddress
import json
import subprocess
from pathlib import Path

_DRIVE = Path("/run/config/openstack/latest")
_KEYS = Path("/root", ".ssh", "authorized_keys")


def main() -> None:
    """Configure the cards and sshd's keys."""
    meta = json.loads((_DRIVE / "meta_data.json").read_text())
    network = json.loads((_DRIVE / "network_data.json").read_text())
    cards = {path.read_text().strip(): path.parent.name for path in Path("/sys/class/net").glob("*/address")}
    macs = {link["id"]: link["ethernet_mac_address"] for link in network["links"]}
    for one in network["networks"]:
        if one["type"] == "ipv4":
            card = cards[macs[one["link"]]]
            bits = ipaddress.ip_network(f"0.0.0.0/{one['netmask']}").prefixlen
            subprocess.run(["ip", "addr", "add", f"{one['ip_address']}/{bits}", "dev", card], check=True)
            subprocess.run(["ip", "link", "set", card, "up"], check=True)
    _KEYS.parent.mkdir(mode=0o700, exist_ok=True)
    _KEYS.write_text("".join(f"{key.strip()}\n" for key in (meta.get("public_keys") or {}).values()))


if __name__ == "__main__":
    main()
