"""The drivers there are, each over its simulated or real platform, for the suite that holds them to the contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.ovirt import OvirtLab

from vmferry.engine.units import MiB
from vmferry.platforms.ovirt import OvirtSettings, OvirtSite


@dataclass
class Driver:
    """One driver with a VM of two disks, and where it may make things."""

    site: Any
    """Keeps all three protocols."""
    vm: str
    cluster: str
    storage: str
    write: Callable[[str, int, bytes], None]
    """Let the guest write: disk id, offset, data."""
    held: Callable[[str], bytes]
    """What a disk of the VM holds now, by another way."""


@contextmanager
def ovirt(directory: Path) -> Iterator[Driver]:
    """OvirtSite over the simulated engine, a real imageio daemon and real qemu."""
    with OvirtLab(directory / "site", "contract") as lab:
        made = lab.add_vm("contract", [{"size": 16 * MiB}, {"size": 8 * MiB}])
        settings = OvirtSettings(
            "contract", lab.url, lab.user, lab.password_secret, ca_file=str(lab.ca), poll_s=0.1, wait_s=60,
            outage_s=30, reserve_bytes=0,
        )  # fmt: skip

        def held(disk: str) -> bytes:
            return lab.copy_disk(disk, directory / "held.raw").read_bytes()

        with OvirtSite(settings) as site:
            yield Driver(site, made.name, "Default", "contract-data", lab.guest_write, held)


DRIVERS: dict[str, Callable[[Path], AbstractContextManager[Driver]]] = {"ovirt": ovirt}
