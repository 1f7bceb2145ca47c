# SPDX-License-Identifier: Apache-2.0
"""What a connection says, checked, before a platform's own settings are made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow.sdk import BaseHook

from vmferry.engine.errors import BadInput


@dataclass(frozen=True, slots=True)
class SiteLogin:
    """How to reach a site."""

    conn_id: str
    site: str
    host: str
    port: int | None
    user: str
    password: str = field(repr=False)
    scope: str = ""
    """Airflow's field "schema": a project, where the platform has them."""
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The fields of the form that only this platform has; those left empty are not in it."""

    def text(self, name: str) -> str | None:
        """Give an option that is a text."""
        value = self.options.get(name)
        return None if value is None else str(value)

    def number(self, name: str, default: int) -> int:
        """Give an option that is a number; raises `BadInput` when it is none."""
        value = self.options.get(name, default)
        try:
            return int(value)
        except (TypeError, ValueError):
            fix = "write digits only, or leave it empty"
            raise BadInput(f"connection {self.conn_id}: {name} is {value!r}, no number", fix=fix) from None


class SiteHook(BaseHook):
    """Reads one connection; the hooks of the platforms make their settings of it."""

    conn_name_attr = "site_conn_id"
    default_conn_name = "vmferry_source"
    conn_type = ""
    needs_host = True

    def __init__(self, site_conn_id: str = default_conn_name, *, site: str | None = None) -> None:
        super().__init__()
        self.site_conn_id = site_conn_id
        self.site = site or site_conn_id.removeprefix("vmferry_")

    def get_conn(self) -> Any:
        """Give the connection as it is; platforms with a driver give that."""
        return self.login()

    def login(self) -> SiteLogin:
        """Read the connection; raises `BadInput` when it is of another type or has no address."""
        found = self.get_connection(self.site_conn_id)
        if found.conn_type != self.conn_type:
            fix = f"set its type to {self.conn_type!r}"
            raise BadInput(f"connection {self.site_conn_id} is of type {found.conn_type!r}", fix=fix)
        if self.needs_host and not found.host:
            raise BadInput(f"connection {self.site_conn_id} has no address", fix="fill its first field in")
        return SiteLogin(
            conn_id=self.site_conn_id,
            site=self.site,
            host=found.host or "",
            port=found.port,
            user=found.login or "",
            password=found.password or "",
            scope=found.schema or "",
            options={name: value for name, value in found.extra_dejson.items() if value not in (None, "")},
        )
