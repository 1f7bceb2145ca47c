# SPDX-License-Identifier: Apache-2.0
"""One keep-alive connection that reads ranges of an object, and comes back when it broke."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING, Optional

from vmferry.engine.endpoints.http_answer import RETRIED, changed, read_range, read_version, refusal
from vmferry.engine.endpoints.web import check_trust
from vmferry.engine.endpoints.web_retry import parse_retry_after
from vmferry.engine.errors import BadInput, ShortRead, SourceError

if TYPE_CHECKING:
    from vmferry.engine.endpoints.http import HttpEndpoint

PIECE_BYTES = 256 << 10
"""What is asked of the socket at once: when it breaks, the bytes of a piece are not known to have come."""


class HttpConnection:
    """Reads ranges; a body that ends early is asked for again from where it stopped."""

    def __init__(self, endpoint: HttpEndpoint) -> None:
        self._endpoint = endpoint
        self._location = endpoint.location
        self._client: Optional[http.client.HTTPConnection] = None
        self._outage = endpoint.create_outage()

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the whole buffer from `offset`."""
        if offset + len(buffer) > self._endpoint.size:
            raise ShortRead(f"{self._endpoint.name}: nothing behind byte {self._endpoint.size}")
        done = 0
        while done < len(buffer):
            done += self._read_some(offset + done, buffer[done:])

    def _read_some(self, offset: int, buffer: memoryview) -> int:
        """Return how many bytes one request brought; 0 after a failure that was waited out."""
        try:
            response = self._request(offset, len(buffer))
            if response.status == 206:
                return self._receive(response, offset, buffer)
        except (OSError, http.client.HTTPException) as error:
            self._drop()
            check_trust(error, self._endpoint.name)
            self._outage.wait(f"the connection broke ({error or type(error).__name__})")
            return 0
        self._drop()
        self._handle_refusal(response)
        return 0

    def _request(self, offset: int, length: int) -> http.client.HTTPResponse:
        if self._client is None or self._location != self._endpoint.location:
            self._drop()
            self._location = self._endpoint.location
            self._client = self._endpoint.create_client(self._location)
        headers = self._endpoint.headers_for(self._location)
        headers.update(self._endpoint.version.conditions())
        headers["Range"] = f"bytes={offset}-{offset + length - 1}"
        self._client.request("GET", self._location.target, headers=headers)
        return self._client.getresponse()

    def _receive(self, response: http.client.HTTPResponse, offset: int, buffer: memoryview) -> int:
        name = self._endpoint.name
        first, end, total = read_range(response, name)
        if not self._endpoint.version.is_same(read_version(response, total)):
            raise changed(name)
        if first != offset or not first < end <= offset + len(buffer):
            raise SourceError(f"{name}: asked for bytes from {offset}, the server sent {first} to {end}")
        done = 0
        while done < end - first:
            try:
                count = response.readinto(buffer[done : min(done + PIECE_BYTES, end - first)])
            except (OSError, http.client.HTTPException):
                if not done:
                    raise
                count = 0  # what came is good; the rest is asked for anew, and that says what is wrong
            if count == 0:
                self._drop()
                break
            done += count
        if done:
            self._outage.end()
        else:
            self._outage.wait("the connection ends before the body begins")
        return done

    def _handle_refusal(self, response: http.client.HTTPResponse) -> None:
        status, name = response.status, self._endpoint.name
        if status in RETRIED:
            wait_s = parse_retry_after(response.getheader("Retry-After"))
            self._outage.wait(f"the server answers {status}", wait_s)
        elif status == 412:
            raise changed(name)
        elif status == 200:
            self._explain_whole_object(response)
        elif status in (401, 403, 404, 410) and self._endpoint.was_redirected:
            self._endpoint.find_again()
            self._outage.wait(f"the place we were sent to answers {status}")
        else:
            raise refusal(status, name)

    def _explain_whole_object(self, response: http.client.HTTPResponse) -> None:
        known, name = self._endpoint.version, self._endpoint.name
        length = int(response.getheader("Content-Length") or known.size_bytes)
        if not known.is_same(read_version(response, length)):
            raise changed(name)
        raise BadInput(f"{name}: the server suddenly ignores ranges", fix="download the object first")

    def _drop(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def write(self, offset: int, data: memoryview) -> None:
        """Refuse: objects are read only."""
        raise BadInput(f"{self._endpoint.name} can only be read")

    def zero(self, offset: int, length: int) -> None:
        """Refuse: objects are read only."""
        raise BadInput(f"{self._endpoint.name} can only be read")

    def flush(self) -> None:
        """Nothing was written."""

    def close(self) -> None:
        """Close the socket."""
        self._drop()
