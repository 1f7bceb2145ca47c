"""A certificate authority of our own, so that tests and the demo verify TLS for real."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

LOCAL_NAMES = ("DNS:localhost", "IP:127.0.0.1")

_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
_DAYS = 30


@dataclass(frozen=True, slots=True)
class Certificate:
    """Files of a server certificate and of the authority that signed it."""

    ca: Path
    """What a client has to trust."""
    cert: Path
    """What the server shows."""
    key: Path
    """The server's private key."""

    def server_context(self) -> ssl.SSLContext:
        """Return what a server wraps its socket with."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        return context


def create_certificate(directory: Path, names: tuple[str, ...] = LOCAL_NAMES, *, days: int = _DAYS) -> Certificate:
    """Make a new authority in `directory` and let it sign a certificate for `names`; of -1 days: one that has ended."""
    directory.mkdir(parents=True, exist_ok=True)
    _create_authority(directory)
    return _sign_server(directory, names, days)


def _create_authority(directory: Path) -> None:
    _openssl(
        *("req", "-x509", *_NEW_KEY, "-days", str(_DAYS), "-subj", "/CN=vmferry lab authority"),
        *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        *("-keyout", str(directory / "ca-key.pem"), "-out", str(directory / "ca.pem")),
    )


def _sign_server(directory: Path, names: tuple[str, ...], days: int) -> Certificate:
    request, extensions = directory / "server.csr", directory / "server.ext"
    made = Certificate(directory / "ca.pem", directory / "cert.pem", directory / "key.pem")
    extensions.write_text(
        f"subjectAltName={','.join(names)}\nextendedKeyUsage=serverAuth\n"
        "keyUsage=critical,digitalSignature\nbasicConstraints=critical,CA:FALSE\n"
        "authorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n"
    )
    _openssl("req", "-new", *_NEW_KEY, "-subj", "/CN=vmferry lab", "-keyout", str(made.key), "-out", str(request))
    _openssl(
        *("x509", "-req", "-in", str(request), "-out", str(made.cert)),
        *("-days", str(days), "-extfile", str(extensions)),
        *("-CA", str(made.ca), "-CAkey", str(directory / "ca-key.pem"), "-CAcreateserial"),
    )
    made.key.chmod(0o600)
    return made


def _openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"openssl {arguments[0]} failed: {done.stderr.strip()}")
