# SPDX-License-Identifier: Apache-2.0
"""Moves passwords out of a policy file, into values that become Airflow connections. Pure: writes nothing."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vmferry.policy.document import Positions, locate
from vmferry.policy.errors import InvalidPolicy, PolicyError
from vmferry.policy.load import read_text
from vmferry.policy.sites import SOURCE, TARGET, Site, list_sites

if TYPE_CHECKING:
    from vmferry.policy.findings import Place
    from vmferry.policy.models.policy import Policy

CONNECTION_TYPES = {
    "ovirt": "vmferry_ovirt",
    "vsphere": "vmferry_vsphere",
    "workstation": "vmferry_workstation",
    "openstack": "vmferry_openstack",
    "oci": "vmferry_oci",
}
"""Site type → Airflow connection type, as the provider declares them."""


@dataclass(frozen=True, slots=True)
class SecretConnection:
    """An Airflow connection to store. Its password shows neither in repr nor in logs."""

    conn_id: str
    conn_type: str
    host: str
    login: str
    password: str = field(repr=False)
    extra: dict[str, str]

    def to_json(self) -> dict[str, str]:
        """Give Airflow's JSON form, password included: for a file of mode 0600 or standard input, never for argv."""
        raw = {name: getattr(self, name) for name in ("conn_type", "host", "login", "password")}
        return {**raw, "extra": json.dumps(self.extra, sort_keys=True)}


@dataclass(frozen=True, slots=True)
class Secured:
    """A policy text without passwords, and what was in them."""

    text: str
    connections: tuple[SecretConnection, ...]


def secure(policy_text: str) -> Secured:
    """Take the passwords out. The rest of the text stays as it is, byte for byte; store the connections first."""
    reading = read_text(policy_text)
    if reading.policy is None or not reading.ok:
        raise InvalidPolicy(reading.findings)
    sites = [one for one in list_sites(reading.policy).values() if one.password is not None]
    places = [_password_place(reading.policy, one.name) for one in sites]
    text = remove_members(policy_text, places)
    connections = tuple(_make_connection(one) for one in sites)
    _compare(reading.policy, text, connections)
    return Secured(text, connections)


def _password_place(policy: Policy, site: str) -> Place:
    if site in {SOURCE, TARGET} and getattr(policy, f"{site}_ovirt_password") is not None:
        return (f"{site}_ovirt_password",)
    return ("sites", site, "password")


def _make_connection(site: Site) -> SecretConnection:
    extra = {"ca_file": site.cert_path, "ca_fingerprint": site.ca_fingerprint}
    return SecretConnection(
        conn_id=site.connection,
        conn_type=CONNECTION_TYPES[site.type],
        host=site.url or "",
        login=site.user or "",
        password=site.password or "",
        extra={key: value for key, value in extra.items() if value is not None},
    )


def _compare(before: Policy, text: str, connections: tuple[SecretConnection, ...]) -> None:
    """Read the new text again: but for the passwords it must mean the same."""
    after = read_text(text).policy
    expected = {name: dataclasses.replace(one, password=None) for name, one in list_sites(before).items()}
    if after is None or list_sites(after) != expected or after.vms_config != before.vms_config:
        raise PolicyError("the passwords could not be taken out without changing something else", fix="edit by hand")
    for one in connections:
        if json.dumps(one.password)[1:-1] in text and len(one.password) > 8:
            fix = "look for it in descriptions and comments"
            raise PolicyError(f"the password of {one.conn_id} is in the file in another place too", fix=fix)


def remove_members(text: str, places: list[Place]) -> str:
    """Cut members out of objects in a JSON text, each with its comma, and leave all else alone."""
    for place in places:
        positions = locate(text)
        start, end = _cut(text, positions, place)
        text = text[:start] + text[end:]
    return text


def _cut(text: str, positions: Positions, place: Place) -> tuple[int, int]:
    span = positions.spans[place]
    start, end = span.start, span.end
    after = end
    while text[after].isspace():
        after += 1
    if text[after] == ",":
        end = after + 1
        while text[end] in " \t":
            end += 1
        line_start = _line_start(text, start)
        if text[end] in "\r\n" and line_start < start:  # nothing else is on the line: all of it goes
            return line_start, text.find("\n", end) + 1 or end
        return start, end
    before = start - 1
    while text[before].isspace():
        before -= 1
    return (before, end) if text[before] == "," else (start, end)


def _line_start(text: str, at: int) -> int:
    """Give where the line begins, if there is nothing but blanks before."""
    start = text.rfind("\n", 0, at) + 1
    return start if not text[start:at].strip() else at


def as_connections_file(connections: tuple[SecretConnection, ...]) -> str:
    """Give the content for ``airflow connections import``."""
    raw: dict[str, Any] = {one.conn_id: one.to_json() for one in connections}
    return json.dumps(raw, indent=2, sort_keys=True) + "\n"
