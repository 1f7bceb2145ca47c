from __future__ import annotations

import importlib
import json
from importlib import resources
from importlib.util import find_spec
from typing import Any

import jsonschema
import pytest

from vmferry.get_provider_info import get_provider_info
from vmferry.hooks.login import SiteHook
from vmferry.policy.secure import CONNECTION_TYPES

INFO = get_provider_info()
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


@pytest.mark.parametrize("connection", CONNECTIONS, ids=lambda one: one["connection-type"])
def test_a_form_is_offered_only_for_what_can_be_used(connection: dict[str, Any]) -> None:
    hook = load(connection["hook-class-name"])

    assert hook.get_conn is not SiteHook.get_conn, "it gives no driver"
    assert callable(hook.test_connection)


def test_each_platform_with_a_driver_has_its_form_and_its_place_for_passwords() -> None:
    offered = {one["connection-type"] for one in CONNECTIONS}

    with_driver = {kind for site, kind in CONNECTION_TYPES.items() if find_spec(f"vmferry.platforms.{site}")}
    assert with_driver
    assert offered == with_driver | {"vmferry_ssh"}


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
