"""The command reads a connection of the environment as Airflow itself does."""

from __future__ import annotations

import json

import pytest
from airflow.sdk import Connection

from vmferry.cli.login import find_connection

JSON = {
    "conn_type": "vmferry-ovirt", "host": "https://engine/ovirt-engine/api", "login": "admin@internal",
    "password": "p:/@?#%", "port": 8443, "extra": {"ca_file": "/etc/ca.pem", "timeout_s": 30},
}  # fmt: skip
URI = (
    "vmferry-ovirt://admin%40internal:p%3A%2F%40@https%3A%2F%2Fengine%2Fovirt-engine%2Fapi:8443?ca_file=%2Fetc%2Fca.pem"
)


@pytest.mark.parametrize("text", [json.dumps(JSON), json.dumps({**JSON, "extra": json.dumps(JSON["extra"])}), URI])
def test_it_means_the_same(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_VMFERRY_SOURCE", text)
    ours = find_connection("vmferry_source")
    theirs = Connection.from_json(text, "x") if text.startswith("{") else Connection.from_uri(text, "x")
    assert ours is not None
    assert (ours.type, ours.host, ours.port, ours.login, ours.password) == (
        theirs.conn_type, theirs.host, theirs.port, theirs.login, theirs.password,
    )  # fmt: skip
    assert dict(ours.extra) == theirs.extra_dejson
    assert "p:/@" not in repr(ours)


def test_what_is_not_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_VMFERRY_SOURCE", raising=False)
    assert find_connection("vmferry_source") is None
