# SPDX-License-Identifier: Apache-2.0
"""How to reach one project of one cloud. A hook makes this from an Airflow connection, `clouds` from a clouds.yaml."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from vmferry.engine.errors import BadInput


class Login(enum.Enum):
    """How we say who we are."""

    PASSWORD = "password"  # noqa: S105 - a kind, no password
    """A user of a domain, in a project."""
    APPLICATION_CREDENTIAL = "v3applicationcredential"
    """A key that was made for one project, with no more roles than it needs; it can be revoked alone."""


@dataclass(frozen=True, slots=True)
class OpenstackSettings:
    """One project, who we are there, and how patient we are with it."""

    site: str
    auth_url: str
    login: Login = Login.PASSWORD
    user: str = ""
    """With an application credential: its id."""
    password: str = field(default="", repr=False)
    """With an application credential: its secret."""
    project: str = ""
    """Its name. An application credential has its own."""
    project_id: str = ""
    """Instead of its name."""
    user_domain: str = "Default"
    user_domain_id: str = ""
    """Instead of its name."""
    project_domain: str = "Default"
    project_domain_id: str = ""
    """Instead of its name."""
    region: str = ""
    """The only one, when empty."""
    interface: str = "public"
    ca_file: str | None = None
    """Authority of the cloud's certificates; the system's when None. Certificates are always verified."""
    timeout_s: float = 60.0
    """For one request."""
    outage_s: float = 300.0
    """For so long a service may be away or too busy."""
    conflict_s: float = 120.0
    """For so long a thing may be busy with something else."""
    wait_s: float = 3600.0
    """For a state to be reached: some storage copies a whole volume to make a snapshot of it."""
    poll_s: float = 3.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.auth_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            fix = "give the address of keystone, e.g. https://keystone.example.com:5000/v3"
            raise BadInput(f"site {self.site}: {self.auth_url!r} is no address of keystone", fix=fix)
        wanted = {"user": self.user, "password": self.password}
        if self.login is Login.PASSWORD:
            wanted["project"] = self.project or self.project_id
        missing = [name for name, value in wanted.items() if not value]
        if missing:
            raise BadInput(
                f"site {self.site}: log-in needs {', '.join(missing)} too", fix="fill it in at the connection"
            )
        if self.ca_file and not Path(self.ca_file).is_file():
            raise BadInput(f"site {self.site}: there is no file {self.ca_file}", fix="check ca_file")

    @property
    def identity_url(self) -> str:
        """Keystone's address with its version: without one keystone names an address that we may not reach."""
        url = self.auth_url.rstrip("/")
        return url if url.rpartition("/")[2].startswith("v") else f"{url}/v3"
