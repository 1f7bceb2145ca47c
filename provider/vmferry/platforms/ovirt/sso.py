# SPDX-License-Identifier: Apache-2.0
"""Logging in and out.

The SDK's own log-in has no timeout, and it cannot tell a wrong password from a proxy's error page, so this is done
here, and the SDK is given the result.
"""

from __future__ import annotations

import http.client
import json
import ssl
from typing import Any
from urllib.parse import urlencode, urlsplit

from vmferry.platforms.errors import LoginRefused, SiteAway
from vmferry.platforms.ovirt.settings import OvirtSettings
from vmferry.platforms.ovirt.trust import check_engine

_SCOPE = "ovirt-app-api"
_LOGIN = "/ovirt-engine/sso/oauth/token"
_LOGOUT = "/ovirt-engine/services/sso-logout"
_LARGEST = 1 << 20


def log_in(settings: OvirtSettings, ca_file: str | None) -> str:
    """Give a token; raises `LoginRefused`, `TrustError` or `SiteAway`."""
    form = {"grant_type": "password", "scope": _SCOPE, "username": settings.user, "password": settings.password}
    said = _post(settings, ca_file, _LOGIN, form)
    token = said.get("access_token")
    if isinstance(token, str) and token:
        return token
    why = str(said.get("error_description") or said.get("error") or "no reason given")
    raise LoginRefused(
        f"site {settings.site}: the engine does not let {settings.user} in: {why}",
        fix="check password and profile (admin@internal; with Keycloak admin@ovirt@internalsso)",
    )


def log_out(settings: OvirtSettings, ca_file: str | None, token: str) -> None:
    """End the session at the engine."""
    _post(settings, ca_file, _LOGOUT, {"scope": _SCOPE, "token": token})


def _post(settings: OvirtSettings, ca_file: str | None, path: str, form: dict[str, str]) -> dict[str, Any]:
    parts = urlsplit(settings.root_url)
    context = ssl.create_default_context(cafile=ca_file)
    client = http.client.HTTPSConnection(parts.netloc, timeout=settings.timeout_s, context=context)
    headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
    try:
        client.request("POST", path, urlencode(form), headers)
        answer = client.getresponse()
        raw = answer.read(_LARGEST)
    except ssl.SSLCertVerificationError:
        check_engine(settings, ca_file)
        raise
    except (OSError, http.client.HTTPException) as error:
        raise SiteAway(
            f"site {settings.site}: the log-in of {parts.netloc} does not answer ({error})",
            fix="is the address right, and the engine up?",
        ) from error
    finally:
        client.close()
    return _parse(settings, answer.status, raw)


def _parse(settings: OvirtSettings, status: int, raw: bytes) -> dict[str, Any]:
    try:
        said = json.loads(raw)
    except ValueError:
        said = None
    if isinstance(said, list) and said:
        (said, *_) = said
    # A page in HTML comes from a proxy in front of an engine that is starting.
    if not isinstance(said, dict) or status >= 500:
        raise SiteAway(
            f"site {settings.site}: the engine's log-in answers {status} and no JSON",
            fix="wait until the engine has started, and check that the address is that of an engine",
        )
    return said
