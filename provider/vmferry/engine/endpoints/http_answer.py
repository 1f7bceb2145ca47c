# SPDX-License-Identifier: Apache-2.0
"""What the answer to a ranged GET means: which version of the object, which range, or which error."""

from __future__ import annotations

import http.client
import re
from dataclasses import dataclass
from typing import Optional

from vmferry.engine.errors import BadInput, EngineError, SourceChanged, SourceError, Unreadable

RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504, 507, 509})
REDIRECTS = frozenset({301, 302, 303, 307, 308})

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)$")


@dataclass(frozen=True)
class Version:
    """What tells one version of an object from another."""

    size_bytes: int
    etag: Optional[str]
    modified: Optional[str]

    @property
    def text(self) -> str:
        """How `identity` writes it; a server without validators can only be known by the size."""
        return f"size={self.size_bytes} {self.etag or self.modified or 'without-version'}"

    def is_same(self, other: Version) -> bool:
        """Tell whether two answers are of one version, by what both of them say."""
        if self.size_bytes != other.size_bytes:
            return False
        if self.etag and other.etag:
            return self.etag == other.etag
        return not self.modified or not other.modified or self.modified == other.modified

    def conditions(self) -> dict[str, str]:
        """Headers that make the server refuse once the object is another.

        If-Range as well as If-Match: a server that knows only the former then answers 200, which is no 206.
        A weak ETag never matches in If-Match (RFC 9110, 13.1.1), so Last-Modified stands in.
        """
        if self.etag and not self.etag.startswith("W/"):
            return {"If-Match": self.etag, "If-Range": self.etag}
        return {"If-Unmodified-Since": self.modified} if self.modified else {}


def read_version(response: http.client.HTTPResponse, size_bytes: int) -> Version:
    """Read the version an answer is of."""
    return Version(size_bytes, response.getheader("ETag"), response.getheader("Last-Modified"))


def read_range(response: http.client.HTTPResponse, name: str) -> tuple[int, int, int]:
    """Read (first byte, byte behind the last, size of the object) of a 206 answer."""
    match = _CONTENT_RANGE.match(response.getheader("Content-Range") or "")
    if not match:
        raise BadInput(f"{name}: the server does not say how large the object is", fix="download it first")
    encoding = response.getheader("Content-Encoding") or "identity"
    if encoding != "identity":
        raise BadInput(f"{name}: the server sends it encoded as {encoding}", fix="switch that off on the server")
    return int(match.group(1)), int(match.group(2)) + 1, int(match.group(3))


def changed(name: str) -> SourceChanged:
    """Say that the object is another one now."""
    return SourceChanged(f"{name} was replaced while it was being read", fix="start anew with the new object")


def refusal(status: int, name: str) -> EngineError:
    """Turn a status that trying again does not help into an error."""
    if status in (401, 403):
        return Unreadable(
            f"{name}: the server does not let us read it ({status})",
            fix="check the secret headers, or whether the pre-signed URL has expired",
        )
    if status in (404, 410):
        return Unreadable(f"{name}: there is no such object ({status})", fix="check the URL")
    if status == 416:
        return Unreadable(f"{name}: the object is empty or shorter than it was (416)")
    return SourceError(f"{name}: the server answered {status} {http.client.responses.get(status, '')}".rstrip())
