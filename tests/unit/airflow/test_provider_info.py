from __future__ import annotations

import importlib
import json
from importlib import resources
from typing import Any

import jsonschema
import pytest

from vmferry.get_provider_info import get_provider_info
from vmferry.hooks.login import SiteHook
from vmferry.policy.secure import CONNECTION_TYPES

INFO = get_provider_info()
HOOKS = [
    ("ovirt", "OvirtHook"),
    ("vsphere", "VsphereHook"),
    ("workstation", "WorkstationHook"),
    ("openstack", "OpenstackHook"),
    ("oci", "OciHook"),
    ("ssh", "SshHostHook"),
]
CONNECTIONS: list[dict[str, Any]] = INFO["connection-types"]


def test_airflow_accepts_it() -> None:
    schema = json.loads(resources.files("airflow").joinpath("provider_info.schema.json").read_text())

    jsonschema.validate(INFO, schema)

    assert INFO["package-name"] == "airflow-provider-vmferry"


@pytest.mark.parametrize("connection", CONNECTIONS, ids=lambda one: one["connection-type"])
def test_each_connection_has_its_hook(connection: dict[str, Any]) -> None:
    hook = load(connection["hook-class-name"])

    assert hook.conn_type == connection["connection-type"]
    assert hook.hook_name == connection["hook-name"]


def test_a_form_is_offered_when_its_hook_gives_a_driver_and_not_before() -> None:
    hooks = [load(f"vmferry.hooks.{module}.{name}") for module, name in HOOKS]

    usable = {hook.conn_type for hook in hooks if hook.get_conn is not SiteHook.get_conn}

    assert {one["connection-type"] for one in CONNECTIONS} == usable
    assert all(callable(load(one["hook-class-name"]).test_connection) for one in CONNECTIONS)


def test_passwords_that_leave_the_policy_find_their_connection_type() -> None:
    names = {load(f"vmferry.hooks.{module}.{name}").conn_type for module, name in HOOKS}

    assert set(CONNECTION_TYPES.values()) <= names


@pytest.mark.parametrize(
    "name", [*INFO["extra-links"], *INFO["notifications"]], ids=lambda name: str(name).rpartition(".")[2]
)
def test_named_classes_are_there(name: str) -> None:
    assert load(name).__doc__


@pytest.mark.parametrize("kind", ["operators", "sensors", "hooks", "triggers"])
def test_named_modules_are_there(kind: str) -> None:
    for group in INFO.get(kind, ()):
        for module in group["python-modules"]:
            assert importlib.import_module(module).__doc__


def load(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)
