# SPDX-License-Identifier: Apache-2.0
"""What we ask the imageio daemon ourselves: what the transfer allows, its size, and its extents.

`ImageioClient.extents()` gives up after 60 s (oVirt issues ovirt-imageio #71 and #215: large disks take longer) and
holds the whole list; so does its `size()`, which asks for all extents to learn one number.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Callable, Optional, TypeVar

from vmferry.engine.endpoints.http_answer import read_range
from vmferry.engine.endpoints.imageio_answer import TransferError, explain
from vmferry.engine.endpoints.imageio_extents import ExtentSpool, parse_extents
from vmferry.engine.endpoints.web import Location, check_trust, create_client, create_tls_context
from vmferry.engine.endpoints.web_retry import Outage
from vmferry.engine.errors import BadInput, EngineError, SourceError
from vmferry.engine.extents import clipped, merged

EXTENTS_TIMEOUT_S = 900.0
TIMEOUT_S = 60.0

_DIRTY_FIX = "start an incremental backup from a checkpoint, or copy the whole disk"

_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Abilities:
    """What the daemon says about a transfer."""

    writable: bool
    max_readers: int
    max_writers: int


def redact(location: Location) -> str:
    """Name a transfer by the start of its ticket: the rest is a key, but two transfers can be told apart."""
    folder, _, ticket = location.target.rpartition("/")
    return f"{location.root}{folder}/{ticket[:8]}"


class ImageioWire:
    """Requests of our own, each over a connection of its own."""

    def __init__(self, location: Location, options: Mapping[str, Any], name: str) -> None:
        self.location = location
        self._name = name
        self._context: Optional[ssl.SSLContext] = None
        if location.scheme == "https":
            tls = {"tls_ca": options.get("tls_ca"), "tls_verify": options.get("secure", True)}
            self._context = create_tls_context(tls, name)

    def read_abilities(self) -> Abilities:
        """Ask for OPTIONS; raises `OSError` when the daemon cannot be reached."""
        response, body = self._ask("OPTIONS", "", {})
        allowed = (response.getheader("Allow") or "").replace(" ", "").split(",")
        try:
            said = json.loads(body or b"{}")
        except ValueError:
            raise BadInput(f"{self._name}: that is no imageio daemon", fix="check the transfer URL") from None
        return Abilities("PUT" in allowed, int(said.get("max_readers", 1)), int(said.get("max_writers", 1)))

    def read_size(self) -> int:
        """Learn the size from the answer to a read of one byte."""
        response, _ = self._ask("GET", "", {"Range": "bytes=0-0"})
        if response.status != 206:
            raise SourceError(f"{self._name}: the daemon does not serve ranges")
        return read_range(response, self._name)[2]

    def _ask(self, method: str, suffix: str, headers: dict[str, str]) -> tuple[http.client.HTTPResponse, bytes]:
        with closing(create_client(self.location, self._context, TIMEOUT_S)) as client:
            client.request(method, self.location.target + suffix, headers=headers)
            response = client.getresponse()
            body = response.read(64 << 10)
        if response.status >= 400:
            raise TransferError(response.status, body)
        return response, body

    def fetch_extents(self, since: Optional[str], size_bytes: int, timeout_s: float) -> ExtentSpool:
        """Fetch all extents, or only those that changed."""
        context = "zero" if since is None else "dirty"
        spool = ExtentSpool()
        try:
            with closing(create_client(self.location, self._context, timeout_s)) as client:
                client.request("GET", f"{self.location.target}/extents?context={context}")
                response = client.getresponse()
                if response.status == 404 and context == "dirty":
                    raise BadInput(
                        f"{self._name}: the transfer does not know what changed since {since}", fix=_DIRTY_FIX
                    )
                if response.status != 200:
                    raise TransferError(response.status, response.read(4096))
                found = parse_extents(response.read, context, self._name)
                spool.fill(merged(clipped(found, size_bytes)))
        except BaseException:
            spool.close()
            raise
        return spool


def persist(ask: Callable[[], _Answer], outage: Outage, name: str, kind: type[EngineError]) -> _Answer:
    """Ask until there is an answer; raises what the outage makes of it, or what the daemon refuses."""
    while True:
        try:
            answer = ask()
        except TransferError as error:
            explain(error.code, error.text, outage, name, kind)
        except (OSError, http.client.HTTPException) as error:
            check_trust(error, name)
            outage.wait(f"the daemon does not answer ({error or type(error).__name__})")
        else:
            outage.end()
            return answer
