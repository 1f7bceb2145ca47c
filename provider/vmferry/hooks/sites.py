# SPDX-License-Identifier: Apache-2.0
"""Opens a site that a DAG names: by its Airflow connection or, with a warning, by the password in the policy file."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from vmferry.engine.errors import BadInput
from vmferry.hooks.login import SiteLogin
from vmferry.hooks.settings import policy_file

_log = logging.getLogger(__name__)

SiteRef = Mapping[str, Any]
"""How DAG files name a site: its ``name``, ``type`` and ``connection``, and whom to trust. Nothing secret."""


@contextmanager
def open_site(ref: SiteRef) -> Iterator[Any]:
    """Give the driver of a site, and log out at the end."""
    driver = _open(ref)
    try:
        yield driver
    finally:
        driver.close()


def _open(ref: SiteRef) -> Any:
    open_type = _OPENERS.get(ref["type"])
    if open_type is None:
        known = ", ".join(sorted(_OPENERS))
        raise BadInput(f"site {ref['name']}: there is no driver for {ref['type']!r} yet", fix=f"use one of {known}")
    return open_type(ref)


def _open_ovirt(ref: SiteRef) -> Any:
    from vmferry.platforms.ovirt import OvirtSite

    return OvirtSite(read_settings(ref))


def read_settings(ref: SiteRef) -> Any:
    """Make the settings of an oVirt site, without reaching it."""
    from vmferry.hooks.ovirt import OvirtHook, make_settings

    if has_connection(ref["connection"]):
        login = OvirtHook(ref["connection"], site=ref["name"]).login()
    else:
        login = _login_from_policy(ref, policy_file())
    trusted = {name: ref[name] for name in ("ca_file", "ca_fingerprint") if ref.get(name)}
    # What the connection says counts more; one that says nothing about trust trusts whom the policy trusts.
    trusts = {} if "ca_file" in login.options or "ca_fingerprint" in login.options else trusted
    return make_settings(dataclasses.replace(login, options={**trusts, **login.options}))


def _open_oci(ref: SiteRef) -> Any:
    from vmferry.hooks.oci import OciHook
    from vmferry.platforms.oci import OciSite

    settings = OciHook(ref["connection"], site=ref["name"]).settings()
    return OciSite(dataclasses.replace(settings, buckets=tuple(ref.get("buckets", ()))))


def _open_openstack(ref: SiteRef) -> Any:
    from vmferry.hooks.openstack import OpenstackHook

    return OpenstackHook(ref["connection"], site=ref["name"]).get_conn()


_OPENERS: dict[str, Callable[[SiteRef], Any]] = {
    "ovirt": _open_ovirt,
    "oci": _open_oci,
    "openstack": _open_openstack,
}


def console_url(ref: SiteRef, driver: Any, vm_id: str) -> str:
    """Give where a person finds a VM in the site's own console; empty where that is not known."""
    if ref["type"] != "ovirt":
        return ""
    return f"{driver.settings.root_url}/ovirt-engine/webadmin/?#vms-general;id={vm_id}"


def has_connection(conn_id: str) -> bool:
    """Tell whether Airflow has a connection of that id."""
    try:
        BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        return False
    return True


def _login_from_policy(ref: SiteRef, path: Path) -> SiteLogin:
    """Read address and password from the policy file, as the ancestor had it."""
    from vmferry.policy.load import load
    from vmferry.policy.sites import list_sites

    conn_id = ref["connection"]
    fix = f"add a connection {conn_id!r} of type vmferry_{ref['type']} under Admin, Connections"
    site = list_sites(load(path)).get(ref["name"]) if path.is_file() else None
    if site is None or not site.in_file:
        raise BadInput(f"site {ref['name']}: Airflow has no connection {conn_id!r}", fix=fix)
    _log.warning("site %s: its password is in %s; `vmferry policy secure` moves it out", site.name, path)
    extra = {"ca_file": site.cert_path, "ca_fingerprint": site.ca_fingerprint}
    return SiteLogin(
        conn_id=conn_id,
        site=site.name,
        host=site.url or "",
        port=None,
        user=site.user or "",
        password=site.password or "",
        options={name: value for name, value in extra.items() if value},
    )
