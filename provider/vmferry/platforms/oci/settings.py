# SPDX-License-Identifier: Apache-2.0
"""How to reach one region of one tenancy. A hook makes this from an Airflow connection."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vmferry.engine.errors import BadInput

SERVICES = ("compute", "blockstorage", "network", "identity", "objectstorage")
"""Services whose address can be given."""


class Principal(enum.Enum):
    """Who we are to OCI."""

    API_KEY = "api_key"
    """A user with an API key."""
    INSTANCE = "instance_principal"
    """The instance that we run on."""
    RESOURCE = "resource_principal"
    """The function or container that we run in."""


@dataclass(frozen=True, slots=True)
class OciSettings:
    """One region, who we are there, and how patient we are with it."""

    site: str
    region: str
    principal: Principal = Principal.API_KEY
    tenancy: str = ""
    user: str = ""
    fingerprint: str = ""
    key: str = field(default="", repr=False)
    """The API key itself, in PEM."""
    key_file: str = ""
    """Or the file that it is in."""
    passphrase: str = field(default="", repr=False)
    compartments: tuple[str, ...] = ()
    """Where the janitor looks for what we made."""
    buckets: tuple[str, ...] = ()
    """Where it looks for ways to objects that we opened: ``bucket``, or ``namespace/bucket``."""
    ssh_user: str = "opc"
    ssh_port: int = 22
    ssh_key_file: str = ""
    """Private key that workers let in; a file on the machines where tasks run."""
    ca_file: str | None = None
    """Authority of OCI's certificates, where a proxy has one of its own; the system's otherwise."""
    endpoints: Mapping[str, str] = field(default_factory=dict)
    """Service → address, for private endpoints."""
    timeout_s: float = 60.0
    """For one request."""
    outage_s: float = 300.0
    """For so long OCI may be away or too busy."""
    conflict_s: float = 120.0
    """For so long a thing may be busy with something else of ours."""
    wait_s: float = 1800.0
    """For a state to be reached."""
    poll_s: float = 3.0

    def __post_init__(self) -> None:
        if not self.region and not self.endpoints:
            raise BadInput(f"site {self.site}: there is no region", fix="give one, e.g. eu-frankfurt-1")
        unknown = sorted(set(self.endpoints) - set(SERVICES))
        if unknown:
            raise BadInput(f"site {self.site}: {unknown[0]!r} is no service", fix=f"use {', '.join(SERVICES)}")
        if self.principal is Principal.API_KEY:
            self._check_key()

    def _check_key(self) -> None:
        missing = [name for name in ("tenancy", "user", "fingerprint") if not getattr(self, name)]
        missing += [] if self.key or self.key_file else ["key_file"]
        if missing:
            raise BadInput(
                f"site {self.site}: an API key needs {', '.join(missing)} too",
                fix="fill them in, or choose instance_principal",
            )
        if self.key_file and not Path(self.key_file).is_file():
            raise BadInput(f"site {self.site}: there is no file {self.key_file}", fix="check key_file")
