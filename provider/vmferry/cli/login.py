# SPDX-License-Identifier: Apache-2.0
"""How to log in to a site with no Airflow running: what its connection says as Airflow itself would read it, and a
password that never comes from the command line.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from vmferry.engine.errors import BadInput

_PREFIX = "AIRFLOW_CONN_"
_EXTRA_KEY = "__extra__"


@dataclass(frozen=True, slots=True)
class Connection:
    """What an Airflow connection holds."""

    type: str = ""
    host: str = ""
    port: int | None = None
    login: str = ""
    password: str = field(default="", repr=False)
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)


def variable_of(conn_id: str) -> str:
    """Name the environment variable that Airflow looks into for a connection."""
    return _PREFIX + conn_id.upper()


def password_variable(site: str) -> str:
    """Name the environment variable of a site's password."""
    return "VMFERRY_PASSWORD_" + "".join(one if one.isalnum() else "_" for one in site).upper()


def find_connection(conn_id: str) -> Connection | None:
    """Read a connection from the environment, written as JSON or as a URI; None when it is not there."""
    name = variable_of(conn_id)
    text = os.environ.get(name, "").strip()
    if not text:
        return None
    try:
        return _from_json(text) if text.startswith("{") else _from_uri(text)
    except (ValueError, TypeError, AttributeError):
        # What is wrong with it is not told: it holds a password.
        fix = 'write {"conn_type": "vmferry_ovirt", "host": "https://…", "login": "…", "password": "…", "extra": {…}}'
        raise BadInput(f"{name} is neither a connection in JSON nor a URI", fix=fix) from None


def _from_json(text: str) -> Connection:
    raw = json.loads(text)
    extra = raw.get("extra") or {}
    port = raw.get("port")
    return Connection(
        type=str(raw.get("conn_type") or "").replace("-", "_"),
        host=str(raw.get("host") or ""),
        port=int(port) if port not in (None, "") else None,
        login=str(raw.get("login") or ""),
        password=str(raw.get("password") or ""),
        extra=_object(json.loads(extra) if isinstance(extra, str) else extra),
    )


def _from_uri(text: str) -> Connection:
    kind, _, rest = text.partition("://")
    protocol, _, tail = rest.partition("://")
    inner = bool(tail) and "@" not in protocol and ":" not in protocol and "?" not in protocol
    parts = urlsplit(f"//{tail if inner else rest}")
    if not parts.hostname:
        raise ValueError("it has no host")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    # `urlsplit` makes the host's letters small, those of an address inside it too.
    host = unquote(parts.netloc.rpartition("@")[2].partition(":")[0])
    path = unquote(parts.path) if inner else ""
    port = f":{parts.port}" if inner and parts.port else ""
    return Connection(
        type=kind.replace("-", "_"),
        host=f"{protocol}://{host}{port}{path}" if inner else host,
        port=parts.port,
        login=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        extra=_object(json.loads(query[_EXTRA_KEY])) if _EXTRA_KEY in query else query,
    )


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("extra is no object")
    return {name: one for name, one in value.items() if one not in (None, "")}


def find_password(site: str, user: str, known: str, file: Path | None) -> str:
    """Give the password: of the file a person named, the environment, the connection or policy, or asked for."""
    if file is not None:
        return _read_password(file)
    given = os.environ.get(password_variable(site), "") or known
    if given:
        return given
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise BadInput(
            f"site {site}: there is no password for {user}",
            fix=f"put it into {password_variable(site)}, or into a file and give --password-file FILE"
            " (- for standard input), or run this at a terminal, which asks for it",
        )
    import getpass

    return getpass.getpass(f"Password of {user} at site {site}: ", stream=sys.stderr)


def _read_password(file: Path) -> str:
    if str(file) == "-":
        text = sys.stdin.readline()
    else:
        try:
            text = file.read_text()
        except OSError as error:
            raise BadInput(f"password file {file}: {error.strerror}", fix="name a file that you may read") from error
    line = text.splitlines()[0] if text.strip() else ""
    if not line:
        raise BadInput(f"password file {file} is empty", fix="write the password into its first line")
    return line
