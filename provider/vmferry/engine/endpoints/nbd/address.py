# SPDX-License-Identifier: Apache-2.0
"""Where an NBD server is: ``nbd://host:port/name``, ``nbds://…``, ``nbd+unix:///name?socket=PATH``."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from vmferry.engine.endpoints.nbd.protocol import DEFAULT_PORT
from vmferry.engine.errors import BadInput, TrustError, UnknownScheme

if TYPE_CHECKING:
    import ssl  # costs a tenth of the start of a command, and most servers are reached without TLS

_SCHEMES = ("nbd", "nbds", "nbd+unix", "nbds+unix")
_FIX = "write nbd://host:port/name, nbds://host:port/name or nbd+unix:///name?socket=PATH"


@dataclass(frozen=True)
class TlsFiles:
    """What proves who we and the server are. The server's certificate is always checked."""

    ca: str | None = None
    """Who signed the server's certificate; the system's authorities when not given."""
    certificate: str | None = None
    """Our own certificate, where the server asks for one."""
    key: str | None = None
    """The key to it."""
    hostname: str | None = None
    """The name to find in the server's certificate, when it is not the host of the URL."""

    def build_context(self) -> ssl.SSLContext:
        """Load the files."""
        import ssl

        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.certificate:
                context.load_cert_chain(self.certificate, self.key)
        except OSError as error:  # ssl.SSLError is one too
            named = ", ".join(path for path in (self.ca, self.certificate, self.key) if path)
            raise TrustError(
                f"cannot load the TLS files {named}: {error}", fix="check tls_ca, tls_cert, tls_key"
            ) from error
        return context


@dataclass(frozen=True)
class NbdAddress:
    """One export of one server."""

    label: str
    """What to call it in messages."""
    export: str
    """The export's name; often empty."""
    host: str = ""
    """Empty for a unix socket."""
    port: int = DEFAULT_PORT
    """TCP port."""
    socket_path: str = ""
    """Empty for TCP."""
    tls: TlsFiles | None = None
    """None: plain."""

    def dial(self, timeout_s: float) -> socket.socket:
        """Connect; OSError where nobody answers."""
        if not self.host:
            return _dial_unix(self.socket_path, timeout_s)
        stream = socket.create_connection((self.host, self.port), timeout_s)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return stream

    def secure(self, stream: socket.socket) -> ssl.SSLSocket:
        """Start TLS on a connected socket; the socket is used up, also when this fails."""
        import ssl

        assert self.tls is not None  # noqa: S101 - callers ask only when there is TLS
        hostname = self.tls.hostname or self.host or "localhost"
        context = self.tls.build_context()
        try:
            return context.wrap_socket(stream, server_hostname=hostname)
        except ssl.SSLCertVerificationError as error:
            what = f"{self.label}: the server's certificate is not trusted: {error.verify_message}"
            raise TrustError(what, fix="give the right authority with tls_ca") from error


def _dial_unix(path: str, timeout_s: float) -> socket.socket:
    """Connect by descriptor: a path of more than 107 characters does not fit into a socket address."""
    door = os.open(path, os.O_PATH | os.O_CLOEXEC)
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        stream.settimeout(timeout_s)
        stream.connect(f"/proc/self/fd/{door}")
    except BaseException:
        stream.close()
        raise
    finally:
        os.close(door)
    return stream


def parse_address(url: str, options: Mapping[str, Any]) -> NbdAddress:
    """Read the URL of an export; a user or password in it is refused, NBD has none."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or DEFAULT_PORT
    except ValueError as error:
        raise BadInput(f"{url!r} is not an NBD address: {error}", fix=_FIX) from error
    if parts.scheme not in _SCHEMES:
        raise UnknownScheme(f"{url!r} is not an NBD address", fix=_FIX)
    if "@" in parts.netloc:
        raise BadInput("an NBD address has no user and no password", fix=_FIX)
    socket_path = parse_qs(parts.query).get("socket", [""])[0]
    if parts.scheme.endswith("+unix") != bool(socket_path) or bool(host) == bool(socket_path):
        raise BadInput(f"{url!r} needs either a host or a socket", fix=_FIX)
    tls = _read_tls(options) if parts.scheme.startswith("nbds") else None
    return NbdAddress(url, unquote(parts.path[1:]), host, port, socket_path, tls)


def _read_tls(options: Mapping[str, Any]) -> TlsFiles:
    names = ("tls_ca", "tls_cert", "tls_key", "tls_hostname")
    return TlsFiles(*(str(options[name]) if options.get(name) else None for name in names))
