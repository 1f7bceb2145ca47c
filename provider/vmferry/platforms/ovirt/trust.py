# SPDX-License-Identifier: Apache-2.0
"""Whom to believe: the engine's authority, pinned by its fingerprint, and what a TLS handshake says about the engine.

oVirt's authority is its own, so nobody can know it beforehand: it is fetched without trust and believed only when its
SHA-256 is the one that an admin approved.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import socket
import ssl
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from vmferry.engine.errors import TrustError, Unreadable
from vmferry.platforms.errors import SiteAway
from vmferry.platforms.ovirt.settings import OvirtSettings

_PATH = "/ovirt-engine/services/pki-resource?resource=ca-certificate&format=X509-PEM-CA"
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_LARGEST = 1 << 20
_LOOK = "is the address right, and the engine up?"


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate of an authority."""

    pem: str
    fingerprint: str
    """SHA-256 of it, 64 hex digits."""


def fetch_authority(settings: OvirtSettings) -> Authority:
    """Ask the engine for its authority, believing nothing: the caller compares the fingerprint, or asks a person."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # what comes is compared with the pin
    parts = urlsplit(settings.root_url)
    client = http.client.HTTPSConnection(parts.netloc, timeout=settings.timeout_s, context=context)
    try:
        client.request("GET", _PATH)
        answer = client.getresponse()
        raw = answer.read(_LARGEST)
    except (OSError, http.client.HTTPException) as error:
        raise SiteAway(
            f"site {settings.site}: {parts.netloc} does not answer ({error or type(error).__name__})", fix=_LOOK
        ) from error
    finally:
        client.close()
    found = _PEM.search(raw.decode("ascii", "replace"))
    if answer.status != 200 or not found:
        raise SiteAway(f"site {settings.site}: the engine does not give its authority ({answer.status})", fix=_LOOK)
    return read_authority(found[0], settings.site)


def read_authority(pem: str, site: str) -> Authority:
    """Read one certificate."""
    try:
        der = ssl.PEM_cert_to_DER_cert(pem)
    except ValueError as error:
        raise TrustError(f"site {site}: that is no certificate: {error}", fix="it must be in PEM format") from error
    return Authority(pem.strip() + "\n", hashlib.sha256(der).hexdigest())


def find_ca_file(settings: OvirtSettings) -> str | None:
    """Give the file that TLS to the engine is verified with; None: the system's authorities.

    Raises `TrustError` when it is not the pinned one: the engine has another authority now, or somebody is in between.
    """
    if settings.ca_file is not None:
        return _check_file(settings, Path(settings.ca_file))
    if settings.pin is None:
        return None
    kept = _cache_dir() / f"ca-{settings.pin}.pem"
    if kept.is_file() and settings.pin in _fingerprints(kept.read_text(), settings.site):
        return str(kept)
    fetched = fetch_authority(settings)
    if fetched.fingerprint != settings.pin:
        raise _wrong(settings, fetched.fingerprint)
    _write(kept, fetched.pem)
    return str(kept)


def check_engine(settings: OvirtSettings, ca_file: str | None) -> datetime | None:
    """Shake hands once, so that a wrong certificate is told apart from an engine that is away.

    Gives until when the engine's certificate is good.
    """
    parts = urlsplit(settings.root_url)
    host, port = str(parts.hostname), parts.port or 443
    try:
        context = ssl.create_default_context(cafile=ca_file)
        with (
            socket.create_connection((host, port), settings.timeout_s) as plain,
            context.wrap_socket(plain, server_hostname=host) as tls,
        ):
            return _not_after(tls)
    except ssl.SSLCertVerificationError as error:
        raise TrustError(
            f"site {settings.site}: the certificate of {host} cannot be trusted: {error.verify_message or error}",
            fix=_trust_fix(settings),
        ) from error
    except OSError as error:
        raise SiteAway(
            f"site {settings.site}: {host}:{port} does not answer ({error or type(error).__name__})",
            fix=_LOOK,
        ) from error


def _not_after(tls: ssl.SSLSocket) -> datetime | None:
    said = (tls.getpeercert() or {}).get("notAfter")
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(said), UTC) if isinstance(said, str) else None


def _trust_fix(settings: OvirtSettings) -> str:
    try:
        found = fetch_authority(settings).fingerprint
    except (SiteAway, TrustError):
        return "give the authority's certificate (ca_file) or its fingerprint (ca_fingerprint)"
    return f"if an admin of the engine confirms it, set ca_fingerprint to its authority's SHA-256: {found}"


def _check_file(settings: OvirtSettings, path: Path) -> str:
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise Unreadable(f"site {settings.site}: CA file {path}: {error.strerror}") from error
    found = list(_fingerprints(text, settings.site))
    if not found:
        raise TrustError(f"site {settings.site}: {path} holds no certificate", fix="it must be in PEM format")
    if settings.pin and settings.pin not in found:
        raise _wrong(settings, found[0])
    return str(path)


def _fingerprints(text: str, site: str) -> Iterator[str]:
    for pem in _PEM.findall(text):
        yield read_authority(pem, site).fingerprint


def _wrong(settings: OvirtSettings, found: str) -> TrustError:
    return TrustError(
        f"site {settings.site}: the engine's authority has the fingerprint {found}, pinned is {settings.pin}",
        fix="if the engine was set up anew, let an admin confirm and pin the new one; else look who answers",
    )


def _cache_dir() -> Path:
    """A directory of our own: the file in it is believed by its name, so nobody else may write there."""
    path = Path(tempfile.gettempdir()) / f"vmferry-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise TrustError(f"{path} belongs to somebody else, or others may write in it", fix="remove it")
    return path


def _write(path: Path, text: str) -> None:
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        file.write(text)
    Path(file.name).replace(path)
