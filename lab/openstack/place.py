"""Where the lab's OpenStack lives: one directory, fixed ports of 127.0.0.1, and what its parts call each other by."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

HOST = "127.0.0.1"
REGION = "lab"
PASSWORD = "lab"
"""Of every user. The lab listens on loopback only."""

API_PORTS = {
    "keystone": 5000,
    "glance": 9292,
    "placement": 8778,
    "neutron": 9696,
    "cinder": 8776,
    "nova": 8774,
}
RABBIT_PORT = 15673
RABBIT_NODES_PORT = 25673
EPMD_PORT = 14369

IDENTITY_URL = f"http://{HOST}:{API_PORTS['keystone']}/v3"

_FILES = {"glance": "glance-api.conf"}
_DIRECTORIES = (
    "bin", "etc", "run", "log", "done", "state", "lock", "instances", "images", "volumes", "guests", "rabbit",
    "mount/cinder", "mount/nova", "libvirt/etc", "libvirt/run", "libvirt/lib", "libvirt/log",
)  # fmt: skip


class LabError(Exception):
    """The lab cannot be had; the text says why, with the end of the log that tells."""


def default_root() -> Path:
    """Give the directory: ``VMFERRY_OPENSTACK``, or one in the user's cache."""
    said = os.environ.get("VMFERRY_OPENSTACK")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(said).resolve() if said else cache / "vmferry" / "openstack"


@dataclass(frozen=True, slots=True)
class Place:
    """The directory with all that this lab is: programs, settings, databases, volumes, logs."""

    root: Path

    @property
    def venv(self) -> Path:
        """The services' own Python environment."""
        return self.root / "venv"

    @property
    def site_packages(self) -> Path:
        """Where its packages are."""
        return next((self.venv / "lib").glob("python3*/site-packages"))

    @property
    def database(self) -> Path:
        """The socket of the databases, which have no port."""
        return self.root / "run" / "mysql.sock"

    @property
    def libvirt(self) -> str:
        """How libvirt is reached."""
        return f"qemu+unix:///system?socket={self.root}/libvirt/run/libvirt-sock"

    @property
    def clouds(self) -> Path:
        """The clouds.yaml for whoever uses the lab: clouds admin, source and destination."""
        return self.root / "clouds.yaml"

    def config(self, service: str, name: str = "") -> Path:
        """Give the file with a service's settings."""
        return self.root / "etc" / service / (name or _FILES.get(service, f"{service}.conf"))

    def log(self, name: str) -> Path:
        """Give the file that a program prints into."""
        return self.root / "log" / f"{name}.log"

    def environment(self) -> dict[str, str]:
        """Give what every program of the lab is started with."""
        path = f"{self.root}/bin:{self.venv}/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("OS_", "PYTHON", "VIRTUAL_ENV"))
        }
        return {**kept, "PATH": path, "PYTHONWARNINGS": "ignore", "HOME": str(self.root / "state"), "LC_ALL": "C.UTF-8"}

    def prepare(self) -> None:
        """Make the directories."""
        for name in _DIRECTORIES:
            (self.root / name).mkdir(parents=True, exist_ok=True)

    def fail(self, what: str, log: str) -> NoReturn:
        """Raise `LabError` with the end of a log."""
        path = self.log(log)
        lines = path.read_text(errors="replace").splitlines()[-15:] if path.exists() else []
        raise LabError("\n".join([f"{what}; the end of {path}:", *(f"  | {line[:300]}" for line in lines)]))
