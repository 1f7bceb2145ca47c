# SPDX-License-Identifier: Apache-2.0
"""Reads one cloud of a clouds.yaml, the file that Horizon gives out and that the `openstack` command uses."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from vmferry.engine.errors import BadInput
from vmferry.platforms.openstack.settings import Login, OpenstackSettings

_LOGINS = {
    "password": Login.PASSWORD,
    "v3password": Login.PASSWORD,
    "v3applicationcredential": Login.APPLICATION_CREDENTIAL,
}
_USER_FIELDS = {
    "user": "username",
    "password": "password",
    "project": "project_name",
    "project_id": "project_id",
    "user_domain": "user_domain_name",
    "user_domain_id": "user_domain_id",
    "project_domain": "project_domain_name",
    "project_domain_id": "project_domain_id",
}
_KEY_FIELDS = {"user": "application_credential_id", "password": "application_credential_secret"}


def read_cloud(site: str, text: str, cloud: str = "", **more: Any) -> OpenstackSettings:
    """Make settings of a clouds.yaml's text; `cloud` may be empty when it has only one."""
    return settings_of(site, _pick(site, _parse(site, text), cloud), **more)


def settings_of(site: str, said: Mapping[str, Any], **more: Any) -> OpenstackSettings:
    """Make settings of what a clouds.yaml says about one cloud."""
    kind = str(said.get("auth_type") or "password")
    if kind not in _LOGINS:
        raise BadInput(f"site {site}: we cannot log in by {kind!r}", fix=f"use {', '.join(_LOGINS)}")
    if said.get("verify") is False:
        fix = "remove `verify: false`; give the authority of the cloud's certificate as `cacert`"
        raise BadInput(f"site {site}: certificates are always verified", fix=fix)
    auth = said.get("auth")
    if not isinstance(auth, Mapping):
        raise BadInput(f"site {site}: the cloud has no section `auth`", fix="download clouds.yaml from Horizon again")
    login = _LOGINS[kind]
    ours = _KEY_FIELDS if login is Login.APPLICATION_CREDENTIAL else _USER_FIELDS
    fields: dict[str, Any] = {name: text for name, key in ours.items() if (text := _text(auth, key))}
    return OpenstackSettings(
        site=site,
        auth_url=_text(auth, "auth_url"),
        login=login,
        region=_text(said, "region_name"),
        interface=_text(said, "interface") or "public",
        ca_file=_text(said, "cacert") or None,
        **fields,
        **more,
    )


def _parse(site: str, text: str) -> Mapping[str, Any]:
    import yaml

    fix = "check it with: openstack --os-cloud NAME token issue"
    try:
        said = yaml.safe_load(text)
    except yaml.YAMLError as failure:
        where = getattr(failure, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        # The parser's own message quotes the line, which may hold a password.
        raise BadInput(f"site {site}: clouds.yaml cannot be read{line}", fix=fix) from None
    clouds = said.get("clouds") if isinstance(said, Mapping) else None
    if not isinstance(clouds, Mapping) or not clouds:
        raise BadInput(f"site {site}: clouds.yaml names no cloud", fix=fix)
    return clouds


def _pick(site: str, clouds: Mapping[str, Any], cloud: str) -> Mapping[str, Any]:
    if not cloud and len(clouds) == 1:
        cloud = next(iter(clouds))
    found = clouds.get(cloud)
    if not isinstance(found, Mapping):
        close = difflib.get_close_matches(cloud, clouds, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"use one of {', '.join(map(str, clouds))}"
        what = f"clouds.yaml has no cloud {cloud!r}" if cloud else "clouds.yaml has several clouds"
        raise BadInput(f"site {site}: {what}", fix=hint)
    return found


def _text(said: Mapping[str, Any], name: str) -> str:
    return str(said.get(name) or "")
