# SPDX-License-Identifier: Apache-2.0
"""Where a web server is and how to talk to it: locations, TLS, and names without secrets."""

from __future__ import annotations

import http.client
import json
import logging
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional
from urllib.parse import SplitResult, urljoin, urlsplit

from vmferry.engine.errors import BadInput, TrustError, Unreadable

log = logging.getLogger(__name__)

_PAR_TOKEN = re.compile(r"^/p/[^/]+/n/")  # OCI's pre-authenticated requests carry the key inside the path
_WRONG_PROTOCOL = ("WRONG_VERSION_NUMBER", "UNSUPPORTED_PROTOCOL", "HTTP_REQUEST", "UNKNOWN_PROTOCOL")


@dataclass(frozen=True)
class Location:
    """A URL, taken apart."""

    scheme: str
    host: str
    port: int
    target: str
    """Path and query, as the request line has it."""

    @property
    def origin(self) -> tuple[str, str, int]:
        """What must be equal for a secret header to be sent there too."""
        return self.scheme, self.host, self.port

    @property
    def path(self) -> str:
        """The path without the query and without keys in it."""
        return _PAR_TOKEN.sub("/p/…/n/", self.target.partition("?")[0])

    @property
    def root(self) -> str:
        """Scheme, host and port, without a slash at the end."""
        default = self.port == (443 if self.scheme == "https" else 80)
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}{'' if default else f':{self.port}'}"

    @property
    def url(self) -> str:
        """The whole URL, which may be a secret."""
        return self.root + self.target

    @property
    def name(self) -> str:
        """What to call it in a message: query strings hold signatures, so they are left out."""
        return f"{self.root}{self.path}{'?…' if '?' in self.target else ''}"

    def follow(self, reference: str) -> Location:
        """Return where a redirect leads; leaving TLS is refused."""
        there = parse_location(urljoin(self.url, reference))
        if self.scheme == "https" and there.scheme != "https":
            raise TrustError(f"{self.name} sends us to {there.name}, which is not encrypted")
        return there


def parse_location(url: str) -> Location:
    """Take an http or https URL apart."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadInput("the URL is not a valid one", fix="write it as https://host[:port]/path") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadInput("the URL is not one of a web server", fix="write it as https://host[:port]/path")
    if parts.username or parts.password:
        raise BadInput(
            f"the URL of {parts.hostname} has a user name or password in it",
            fix="give an Authorization header on standard input instead",
        )
    default = 443 if parts.scheme == "https" else 80
    return Location(parts.scheme, parts.hostname, port or default, _request_target(parts))


def _request_target(parts: SplitResult) -> str:
    path = parts.path or "/"
    target = f"{path}?{parts.query}" if parts.query else path
    if not target.isascii() or any(ord(letter) <= 32 or ord(letter) == 127 for letter in target):
        raise BadInput(f"the URL of {parts.hostname} has characters that must be written as %XX")
    return target


def parse_headers(secrets: Mapping[str, str]) -> dict[str, str]:
    """Read the secret headers: `secrets["headers"]` is the text of a JSON object."""
    try:
        headers = json.loads(secrets.get("headers") or "{}")
    except ValueError:
        raise BadInput("the secret `headers` is not JSON", fix='write {"Authorization": "…"}') from None
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise BadInput("the secret `headers` is not a JSON object of texts", fix='write {"Authorization": "…"}')
    if any("\r" in text or "\n" in text for pair in headers.items() for text in pair):
        raise BadInput("the secret `headers` has a line break in a header")
    return headers


def create_tls_context(options: Mapping[str, Any], name: str) -> ssl.SSLContext:
    """Build what TLS is verified with: the system's authorities, or the file `tls_ca`; `tls_verify` False warns."""
    ca: Optional[str] = options.get("tls_ca")
    if ca and not Path(ca).is_file():
        raise Unreadable(f"{ca}: no such file of certificates", fix="check the option tls_ca")
    try:
        context = ssl.create_default_context(cafile=ca)
    except (ssl.SSLError, OSError) as error:
        raise BadInput(f"{ca}: cannot read certificates: {error}", fix="it must be in PEM format") from error
    if options.get("tls_verify", True) is False:
        log.warning("%s: the certificate is NOT verified, because tls_verify is off", name)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def create_client(
    location: Location, context: Optional[ssl.SSLContext], timeout_s: float
) -> http.client.HTTPConnection:
    """Return a connection that connects at its first request."""
    if location.scheme == "https":
        return http.client.HTTPSConnection(location.host, location.port, timeout=timeout_s, context=context)
    return http.client.HTTPConnection(location.host, location.port, timeout=timeout_s)


def check_trust(error: BaseException, name: str) -> None:
    """Raise `TrustError` when an error of the TLS layer is one that trying again does not help."""
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = getattr(error, "verify_message", "") or error
        raise TrustError(
            f"{name}: the certificate cannot be trusted: {reason}",
            fix="give the authority's certificate with tls_ca, and use a name that is in the certificate",
        ) from error
    if isinstance(error, ssl.SSLError) and error.reason in _WRONG_PROTOCOL:
        raise TrustError(f"{name}: the server does not speak TLS there", fix="check scheme and port") from error
