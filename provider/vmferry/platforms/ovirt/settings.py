# SPDX-License-Identifier: Apache-2.0
"""How to reach one oVirt or OLVM engine. A hook makes this from an Airflow connection, the CLI from its options."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from vmferry.engine.errors import BadInput

_FINGERPRINT = re.compile(r"^(?:sha-?256:)?((?:[0-9a-f]{2}:?){31}[0-9a-f]{2})$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class OvirtSettings:
    """One engine and how patient we are with it."""

    site: str
    url: str
    """``https://engine.example/ovirt-engine/api``; host alone will do."""
    user: str
    """With its profile: ``admin@internal``, or ``admin@ovirt@internalsso`` where Keycloak logs in."""
    password: str = field(repr=False)
    ca_file: str | None = None
    """Authority of the engine's certificate; the system's, when neither this nor a fingerprint is given."""
    ca_fingerprint: str | None = None
    """SHA-256 of that authority's certificate. Without `ca_file` it is fetched from the engine and compared."""
    imageio_ca_file: str | None = None
    """Authority of the hosts' certificates, where the engine's web server has one of somebody else.

    Without it, `ca_file` or the pinned one is used.
    """
    timeout_s: float = 60.0
    """For one request."""
    outage_s: float = 300.0
    """For so long an engine may be away: a restart takes minutes."""
    wait_s: float = 3600.0
    """For a state to be reached: ending a backup may merge a snapshot of hundreds of GiB."""
    poll_s: float = 2.0
    transfer_idle_s: int = 3600
    """The engine takes back a transfer that was idle for so long."""
    reserve_bytes: int | None = None
    """Free space each storage domain has to have before a point is opened; None: twice what the domain itself
    wants to keep free, since a full domain pauses all its VMs."""
    workers: int = 4
    """Connections to a host per disk: more than 4 gain nothing."""

    def __post_init__(self) -> None:
        if not self.user or "\n" in self.user:
            raise BadInput(f"site {self.site}: there is no user", fix="give one with its profile: admin@internal")
        parts = urlsplit(self.api_url)
        if parts.scheme != "https" or not parts.hostname:
            raise BadInput(
                f"site {self.site}: {self.url!r} is not the address of an engine",
                fix="write it as https://engine.example/ovirt-engine/api",
            )
        if self.ca_fingerprint and not _FINGERPRINT.match(self.ca_fingerprint):
            raise BadInput(
                f"site {self.site}: the CA's fingerprint is not a SHA-256", fix="64 hex digits, colons are fine"
            )

    @property
    def api_url(self) -> str:
        """The REST API's address."""
        url = self.url.rstrip("/")
        url = url if "://" in url else f"https://{url}"
        path = urlsplit(url).path
        return url if path.endswith("/api") else f"{url}/api" if path else f"{url}/ovirt-engine/api"

    @property
    def root_url(self) -> str:
        """Scheme, host and port."""
        parts = urlsplit(self.api_url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def pin(self) -> str | None:
        """The fingerprint as 64 small hex digits."""
        match = _FINGERPRINT.match(self.ca_fingerprint or "")
        return match[1].replace(":", "").lower() if match else None
