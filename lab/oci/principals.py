"""Whose keys the site knows: users' API keys, instances' certificates, and the tokens that it issued itself."""

from __future__ import annotations

import base64
import datetime
import json
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.hashes import MD5, SHA1, SHA256, Hash
from cryptography.x509.oid import NameOID

from lab.oci.signature import Principal

TENANT_MARK, INSTANCE_MARK = "opc-tenant:", "opc-instance:"
_DAYS = datetime.timedelta(days=30)


@dataclass(frozen=True)
class ApiKey:
    """A user's key, as the SDK's configuration names it."""

    tenancy: str
    user: str
    fingerprint: str
    key_file: Path


@dataclass(frozen=True)
class InstanceIdentity:
    """What an instance's metadata service gives out, as PEM."""

    certificate: str
    key: str
    intermediate: str


class Principals:
    """All keys."""

    def __init__(self, directory: Path, tenancy: str) -> None:
        self._directory = directory
        self._tenancy = tenancy
        self._users: dict[str, tuple[Principal, RSAPublicKey]] = {}
        self._token_key = load_key(directory / "token.pem")
        self._authority_key = load_key(directory / "instances.pem")
        self._authority = _certificate(self._authority_key, self._authority_key, "lab instances", "lab instances", [])
        self._instances: dict[str, tuple[str, RSAPublicKey]] = {}

    def add_user(self, key: ApiKey) -> None:
        """Know a user's key."""
        public = load_key(key.key_file).public_key()
        self._users[f"{key.tenancy}/{key.user}/{key.fingerprint}"] = (Principal("user", key.user), public)

    def find_key(self, key_id: str) -> tuple[Principal, RSAPublicKey] | None:
        """Find who has a key id, and the key."""
        if key_id.startswith("ST$"):
            return self._read_token(key_id[3:])
        prefix, _, fingerprint = key_id.rpartition("/")
        if prefix == f"{self._tenancy}/fed-x509" and fingerprint in self._instances:
            instance, public = self._instances[fingerprint]
            return Principal("instance", instance), public
        return self._users.get(key_id)

    def identify_instance(self, instance: str) -> InstanceIdentity:
        """Make a certificate for an instance."""
        key = new_key()
        names = [f"{INSTANCE_MARK}{instance}", f"{TENANT_MARK}{self._tenancy}"]
        certificate = _certificate(key, self._authority_key, instance[:60], "lab instances", names)
        fingerprint = ":".join(f"{one:02X}" for one in certificate.fingerprint(SHA1()))
        self._instances[fingerprint] = (instance, key.public_key())
        return InstanceIdentity(_pem(certificate), private_pem(key).decode(), _pem(self._authority))

    def issue_token(self, principal: Principal, public_key: RSAPublicKey, life_s: float, **claims: Any) -> str:
        """Issue a session token for a public key."""
        numbers = public_key.public_numbers()
        jwk = {
            "kty": "RSA",
            "n": _encode_number(numbers.n),
            "e": _encode_number(numbers.e),
            "alg": "RS256",
            "use": "sig",
        }
        now = int(time.time())
        body = {
            "sub": principal.id, "ptype": principal.kind, "iss": "authService.oracle.com", "iat": now,
            "exp": now + int(life_s), "jti": secrets.token_hex(16), "jwk": json.dumps(jwk), **claims,
        }  # fmt: skip
        text = ".".join(_encode(json.dumps(one).encode()) for one in ({"alg": "RS256", "kid": "lab"}, body))
        return f"{text}.{_encode(self._token_key.sign(text.encode(), PKCS1v15(), SHA256()))}"

    def _read_token(self, token: str) -> tuple[Principal, RSAPublicKey] | None:
        text, _, signature = token.rpartition(".")
        try:
            self._token_key.public_key().verify(_decode(signature), text.encode(), PKCS1v15(), SHA256())
            claims = json.loads(_decode(text.partition(".")[2]))
        except (InvalidSignature, ValueError):
            return None
        if claims["exp"] < time.time():
            return None
        jwk = json.loads(claims["jwk"])
        return Principal(claims["ptype"], claims["sub"]), _public_key(jwk)


def new_key() -> RSAPrivateKey:
    """Make an RSA key as the API wants it."""
    return generate_private_key(public_exponent=65537, key_size=2048)


def load_key(path: Path) -> RSAPrivateKey:
    """Load a private key, which is made when there is none."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(private_pem(new_key()))
    found = serialization.load_pem_private_key(path.read_bytes(), None)
    assert isinstance(found, RSAPrivateKey)
    return found


def private_pem(key: RSAPrivateKey) -> bytes:
    """Write a private key."""
    no_secret = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, no_secret)


def fingerprint_of(key: RSAPrivateKey) -> str:
    """Name a key as the console does: the MD5 of its public half."""
    der = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )  # fmt: skip
    digest = Hash(MD5())
    digest.update(der)
    return ":".join(f"{one:02x}" for one in digest.finalize())


def load_public_key(pem_body: str) -> RSAPublicKey:
    """Load a public key whose PEM lost its first and last line, as the SDK sends it."""
    found = serialization.load_der_public_key(base64.b64decode(pem_body))
    assert isinstance(found, RSAPublicKey)
    return found


def _certificate(
    key: RSAPrivateKey, authority: RSAPrivateKey, name: str, issuer: str, units: list[str]
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    subject = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    subject += [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, one, _validate=False) for one in units]
    builder = x509.CertificateBuilder(
        issuer_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]),
        subject_name=x509.Name(subject),
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - datetime.timedelta(hours=1),
        not_valid_after=now + _DAYS,
    )
    return builder.sign(authority, SHA256())


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _public_key(jwk: dict[str, str]) -> RSAPublicKey:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

    modulus, exponent = (int.from_bytes(_decode(jwk[one]), "big") for one in ("n", "e"))
    return RSAPublicNumbers(exponent, modulus).public_key()


def _encode_number(number: int) -> str:
    return _encode(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
