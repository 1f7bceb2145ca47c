"""Who signed a request, by the rules of OCI's request signature (version 1), really checked."""

from __future__ import annotations

import base64
import binascii
import email.utils
import hashlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from lab.oci.router import Refusal

MAX_SKEW_S = 300.0
_FIELD = re.compile(r'(\w+)="([^"]*)"')
_WITH_BODY = ("content-length", "content-type", "x-content-sha256")


@dataclass(frozen=True)
class Principal:
    """Who calls."""

    kind: str
    """user, instance, resource, link (a pre-authenticated request) or lab."""
    id: str


FindKey = Callable[[str], "tuple[Principal, RSAPublicKey] | None"]


def refuse(why: str) -> Refusal:
    """Refuse a caller. A real OCI never says why; the lab says it after the real words, for those who read logs."""
    words = "The required information to complete authentication was not provided or was incorrect."
    return Refusal(401, "NotAuthenticated", f"{words} [simulator: {why}]")


def verify(
    method: str,
    target: str,
    headers: dict[str, str],
    body: bytes | None,
    find_key: FindKey,
    *,
    needs_host: bool = True,
) -> Principal:
    """Tell who signed; `body` None: its digest needs not be signed (objects and their parts)."""
    text = headers.get("authorization", "")
    fields = dict(_FIELD.findall(text))
    if not text.startswith("Signature ") or not {"keyId", "headers", "signature", "algorithm"} <= set(fields):
        raise refuse("no signature")
    if fields["algorithm"] != "rsa-sha256" or fields.get("version", "1") != "1":
        raise refuse(f"algorithm {fields['algorithm']}, version {fields.get('version')}")
    names = fields["headers"].lower().split()
    _check_signed(names, method, headers, body, ["host"] if needs_host else [])
    _check_date(headers.get("x-date") or headers.get("date") or "")
    found = find_key(fields["keyId"])
    if found is None:
        raise refuse("unknown key id")
    _check_signature(fields["signature"], _signed_text(names, method, target, headers), found[1])
    return found[0]


def _check_signed(names: list[str], method: str, headers: dict[str, str], body: bytes | None, more: list[str]) -> None:
    needed = ["(request-target)", "x-date" if "x-date" in headers else "date", *more]
    if body is not None and method in ("POST", "PUT", "PATCH"):
        needed += _WITH_BODY
    missing = [one for one in needed if one not in names]
    if missing:
        raise refuse(f"{missing[0]} is not signed")
    if body is not None and "x-content-sha256" in names:
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        if headers.get("x-content-sha256") != digest:
            raise refuse("x-content-sha256 is not the body's digest")


def _check_date(text: str) -> None:
    try:
        moment = email.utils.parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError):
        raise refuse("no date") from None
    if abs(moment - time.time()) > MAX_SKEW_S:
        raise refuse(f"the clock is {moment - time.time():+.0f} s off")


def _signed_text(names: list[str], method: str, target: str, headers: dict[str, str]) -> bytes:
    lines = []
    for name in names:
        if name == "(request-target)":
            lines.append(f"(request-target): {method.lower()} {target}")
        elif name in headers:
            lines.append(f"{name}: {headers[name]}")
        else:
            raise refuse(f"{name} is signed but not sent")
    return "\n".join(lines).encode()


def _check_signature(signature: str, text: bytes, key: RSAPublicKey) -> None:
    try:
        key.verify(base64.b64decode(signature, validate=True), text, PKCS1v15(), SHA256())
    except (InvalidSignature, binascii.Error):
        raise refuse("the signature is wrong") from None
