from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.airflow.policies import write_policy

from vmferry.engine.errors import BadInput
from vmferry.hooks.ovirt import OvirtHook
from vmferry.hooks.sites import read_settings

FINGERPRINT = "ab" * 32
REFERENCE = {"name": "source", "type": "ovirt", "connection": "vmferry_source", "ca_fingerprint": FINGERPRINT}


def set_connection(monkeypatch: pytest.MonkeyPatch, extra: dict[str, Any] | None = None, **fields: Any) -> None:
    plain = {
        "conn_type": "vmferry_ovirt",
        "host": "engine.example.com",
        "login": "admin@internal",
        "password": "s3cret",
    }
    value = json.dumps({**plain, **fields, "extra": extra or {}})
    monkeypatch.setenv("AIRFLOW_CONN_VMFERRY_SOURCE", value)


def test_a_connection_becomes_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    set_connection(monkeypatch, {"ca_file": "/ca.pem", "workers": "3", "imageio_ca_file": ""})

    settings = OvirtHook("vmferry_source").settings()

    assert settings.site == "source"
    assert settings.api_url == "https://engine.example.com/ovirt-engine/api"
    assert (settings.ca_file, settings.workers, settings.imageio_ca_file) == ("/ca.pem", 3, None)
    assert "s3cret" not in repr(settings)


@pytest.mark.parametrize(
    ("fields", "extra", "message"),
    [
        ({"conn_type": "http"}, {}, "is of type 'http'; set its type to 'vmferry_ovirt'"),
        ({"host": ""}, {}, "has no address"),
        ({"login": ""}, {}, "there is no user"),
        ({}, {"workers": "many"}, "workers is 'many', no number"),
        ({}, {"ca_fingerprint": "beef"}, "not a SHA-256"),
        ({"host": "https://engine.example.com:8443", "port": 443}, {}, "URL has port 8443, its port is 443"),
        ({"host": "https://engine.example.com:lots", "port": 443}, {}, "engine.example.com:lots"),
    ],
    ids=["type", "host", "user", "number", "fingerprint", "ports", "port"],
)
def test_a_wrong_connection_is_one_clear_error(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], extra: dict[str, Any], message: str
) -> None:
    set_connection(monkeypatch, extra, **fields)

    with pytest.raises(BadInput, match=message):
        OvirtHook("vmferry_source").settings()


@pytest.mark.parametrize(
    ("host", "port", "address"),
    [
        ("engine.example.com", 8443, "https://engine.example.com:8443/ovirt-engine/api"),
        ("https://engine.example.com/ovirt-engine/api", 8443, "https://engine.example.com:8443/ovirt-engine/api"),
        ("https://engine.example.com:8443", 8443, "https://engine.example.com:8443/ovirt-engine/api"),
        ("https://engine.example.com:8443", None, "https://engine.example.com:8443/ovirt-engine/api"),
        ("https://[2001:db8::7]/ovirt-engine/api", 443, "https://[2001:db8::7]:443/ovirt-engine/api"),
    ],
    ids=["name", "url", "both", "in the url", "IPv6"],
)
def test_the_port_may_stand_in_its_own_field(
    monkeypatch: pytest.MonkeyPatch, host: str, port: int | None, address: str
) -> None:
    set_connection(monkeypatch, host=host, port=port)

    assert OvirtHook("vmferry_source").settings().api_url == address


def test_a_connection_that_trusts_nobody_trusts_whom_the_policy_trusts(monkeypatch: pytest.MonkeyPatch) -> None:
    set_connection(monkeypatch)

    assert read_settings(REFERENCE).pin == FINGERPRINT


def test_a_connection_knows_best_whom_it_trusts(monkeypatch: pytest.MonkeyPatch) -> None:
    set_connection(monkeypatch, {"ca_file": "/own.pem"})

    settings = read_settings(REFERENCE)

    assert (settings.ca_file, settings.pin) == ("/own.pem", None)


def test_without_a_connection_the_old_policy_file_still_works(
    monkeypatch: pytest.MonkeyPatch, policy_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_VMFERRY_SOURCE", raising=False)
    monkeypatch.setattr("vmferry.hooks.sites.has_connection", lambda conn_id: False)
    write_policy(policy_file, source_ovirt_password="from the file")

    settings = read_settings(REFERENCE)

    assert settings.password == "from the file"
    assert "vmferry policy secure" in caplog.text


def test_without_either_the_message_says_what_to_add(monkeypatch: pytest.MonkeyPatch, policy_file: Path) -> None:
    monkeypatch.setattr("vmferry.hooks.sites.has_connection", lambda conn_id: False)
    write_policy(policy_file)

    with pytest.raises(BadInput, match="add a connection 'vmferry_source' of type vmferry_ovirt"):
        read_settings(REFERENCE)
