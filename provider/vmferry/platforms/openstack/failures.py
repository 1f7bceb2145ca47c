# SPDX-License-Identifier: Apache-2.0
"""What the errors of OpenStack's services mean: the SDK's exceptions, as ours."""

from __future__ import annotations

from typing import Any

from keystoneauth1 import exceptions as keystone
from openstack.exceptions import ServiceDisabledException

from vmferry.engine.errors import BadInput, EngineError, Retry, TrustError
from vmferry.platforms.errors import (
    Conflict,
    LoginRefused,
    NoRoom,
    NotPermitted,
    NotThere,
    OutcomeUnknown,
    PlatformError,
    Refused,
    SiteAway,
)

_QUOTA = ("quota", "overlimit", "exceeds allowed", "toomanyinstances")
_BUSY = ("status must be", "current status", "in state", "is currently being", "task_state", "must be in")
_UNTRUSTED = ("CERTIFICATE_VERIFY_FAILED", "certificate verify failed")


class NoHost(PlatformError):
    """Nova finds no machine with room for a server now; another flavor or zone, or later, may do."""

    retry = Retry.BACKOFF


def translate(failure: Exception, what: str, *, change: bool) -> EngineError:
    """Say what an error of the SDK, of its log-in or of a connection means; `change`: something was being changed."""
    status = getattr(failure, "status_code", None) or getattr(failure, "http_status", None)
    if isinstance(status, int) and status >= 400:
        return _translate_answer(failure, status, what, change=change)
    return _translate_transport(failure, what, change=change)


def _translate_answer(failure: Any, status: int, what: str, *, change: bool) -> EngineError:
    text = str(getattr(failure, "details", None) or getattr(failure, "message", None) or failure)
    request = getattr(failure, "request_id", None)
    said = f"{what}: {status}: {' '.join(text.split())[:300]}" + (f" (request {request})" if request else "")
    lower = text.lower()
    if status in (403, 409, 413) and any(words in lower for words in _QUOTA):
        return NoRoom(said, fix="raise the project's quota, or delete what is not needed")
    if status in (408, 413, 429) or status >= 500:
        kind = OutcomeUnknown if change and status >= 500 else SiteAway
        return kind(said, fix="run it again when the service answers; its log names the request")
    if status == 400 and any(words in lower for words in _BUSY):
        return Conflict(said, fix="run it again when nothing else works with it")
    known: dict[int, tuple[type[EngineError], str]] = {
        400: (Refused, "the message says which part of what was asked the cloud does not take"),
        401: (LoginRefused, "check user, password or application credential, project and domains"),
        403: (NotPermitted, "the user needs the role `member` in this project, see docs/openstack.md"),
        404: (NotThere, "it does not exist, or is of a project that this user does not see"),
        409: (Conflict, "run it again when nothing else works with it"),
    }
    if status == 404 and isinstance(failure, keystone.HttpError):
        # The SDK has errors of its own for all but the log-in: an application credential that was revoked is not found.
        status = 401
    error, fix = known.get(status, (PlatformError, "look at the service's log"))
    return error(said, fix=fix)


def _translate_transport(failure: Exception, what: str, *, change: bool) -> EngineError:
    text = str(failure)
    if isinstance(failure, keystone.SSLError) or any(words in text for words in _UNTRUSTED):
        fix = "give the authority of its certificate as ca_file (`cacert` in clouds.yaml)"
        return TrustError(f"{what}: the certificate cannot be trusted", fix=fix)
    if isinstance(failure, keystone.EndpointNotFound | keystone.EmptyCatalog | ServiceDisabledException):
        return BadInput(f"{what}: the cloud has no such service here", fix="check region and interface")
    if isinstance(failure, keystone.MissingRequiredOptions | keystone.MissingAuthPlugin):
        return LoginRefused(f"{what}: the log-in is not complete", fix="fill the connection in")
    # keystoneauth tells a connection that was refused and one that broke by the same name.
    kind = OutcomeUnknown if change else SiteAway
    return kind(f"{what}: no answer: {type(failure).__name__}", fix="run it again when the cloud can be reached")
