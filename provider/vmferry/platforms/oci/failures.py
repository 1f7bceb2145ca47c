# SPDX-License-Identifier: Apache-2.0
"""What OCI's errors mean: the SDK's exceptions, as ours."""

from __future__ import annotations

from typing import Any

from vmferry.engine.errors import EngineError, Retry, SourceChanged, TrustError
from vmferry.platforms.errors import (
    Conflict,
    LoginRefused,
    NoRoom,
    NotPermitted,
    NotThere,
    PlatformError,
    Refused,
    SiteAway,
)

_CAPACITY = ("out of host capacity", "out of capacity")
_LIMITS = ("LimitExceeded", "QuotaExceeded")


class NoCapacity(PlatformError):
    """There is no room for an instance of this shape at this place now; somewhere else there may be."""

    retry = Retry.BACKOFF


class TokenSpent(PlatformError):
    """The retry token was used for something that was changed or ended since."""


class ObjectChanged(SourceChanged):
    """The object is not the version we were told to import."""


def translate_service(failure: Any, what: str) -> EngineError:
    """Say what an answer of OCI's means."""
    said = f"{what}: {failure.code or failure.status}: {str(failure.message)[:300]} (request {failure.request_id})"
    if any(words in str(failure.message).lower() for words in _CAPACITY):
        return NoCapacity(said, fix="another fault or availability domain or shape may have room; it is tried again")
    if failure.code == "InvalidatedRetryToken":
        return TokenSpent(said, fix="run it again")
    if failure.code in _LIMITS:
        return NoRoom(said, fix="raise the service limit, or delete what is not needed")
    if failure.status in (429, 408) or failure.status >= 500:
        return SiteAway(said, fix="run it again when OCI answers")
    known = {
        400: (Refused, "look at what was asked for; the message says which part OCI does not take"),
        401: (LoginRefused, "check user, fingerprint, key and this machine's clock"),
        403: (NotPermitted, "compare the policies with docs/oci.md"),
        404: (NotThere, "it does not exist, or our policies do not let us see it: OCI says the same for both"),
        409: (Conflict, "run it again when nothing else works with it"),
        412: (ObjectChanged, "import the new version; its own event does that"),
    }
    kind, fix = known.get(failure.status, (PlatformError, "look the code up in OCI's documentation"))
    return kind(said, fix=fix)


def translate_transport(failure: Exception, what: str) -> EngineError:
    """Say what a connection that did not come about, or broke, means."""
    text = str(failure)
    if "CERTIFICATE_VERIFY_FAILED" in text or "certificate verify failed" in text:
        return TrustError(f"{what}: OCI's certificate cannot be trusted", fix="check ca_file and what proxy is between")
    return SiteAway(f"{what}: no answer: {type(failure).__name__}", fix="run it again when OCI can be reached")
