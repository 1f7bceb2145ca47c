# SPDX-License-Identifier: Apache-2.0
"""The first request for an object: where it is, how large, which version, and whether ranges work."""

from __future__ import annotations

import http.client
import socket
from contextlib import closing
from typing import TYPE_CHECKING, Union

from vmferry.engine.endpoints.http_answer import REDIRECTS, RETRIED, Version, read_range, read_version, refusal
from vmferry.engine.endpoints.web import Location, check_trust
from vmferry.engine.endpoints.web_retry import Outage, parse_retry_after
from vmferry.engine.errors import BadInput, SourceError, Unreadable

if TYPE_CHECKING:
    from vmferry.engine.endpoints.http import HttpEndpoint

MAX_REDIRECTS = 5


def probe(endpoint: HttpEndpoint, location: Location, outage: Outage) -> tuple[Location, Version]:
    """Ask for the first byte, following redirects; return where it came from and the object's version.

    A GET of one byte instead of HEAD: a pre-signed URL allows only GET, and a server that ignores ranges, which
    HEAD does not always tell, is found out before anything is written.
    """
    for _ in range(MAX_REDIRECTS + 1):
        found = _ask(endpoint, location, outage)
        if isinstance(found, Version):
            return location, found
        location = found
    raise SourceError(f"{endpoint.name}: more than {MAX_REDIRECTS} redirects")


def _ask(endpoint: HttpEndpoint, location: Location, outage: Outage) -> Union[Location, Version]:
    while True:
        with closing(endpoint.create_client(location)) as client:
            try:
                headers = {**endpoint.headers_for(location), "Range": "bytes=0-0"}
                client.request("GET", location.target, headers=headers)
                response = client.getresponse()
            except socket.gaierror as error:
                raise Unreadable(
                    f"{location.name}: unknown host name: {error.strerror}", fix="check the URL"
                ) from error
            except (OSError, http.client.HTTPException) as error:
                check_trust(error, location.name)
                outage.wait(f"the server does not answer ({error})")
                continue
            if response.status not in RETRIED:
                return _read_answer(response, location)
            wait_s = parse_retry_after(response.getheader("Retry-After"))
        outage.wait(f"the server answers {response.status}", wait_s)


def _read_answer(response: http.client.HTTPResponse, location: Location) -> Union[Location, Version]:
    if response.status == 206:
        return read_version(response, read_range(response, location.name)[2])
    if response.status in REDIRECTS and response.getheader("Location"):
        return location.follow(response.getheader("Location") or "")
    if response.status == 200:
        raise BadInput(
            f"{location.name}: the server ignores ranges and sends the whole object",
            fix="download it first, or use a server that supports Range",
        )
    raise refusal(response.status, location.name)
