from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vmferry.engine.errors import BadInput
from vmferry.hooks.openstack import OpenstackHook
from vmferry.platforms.openstack.settings import Login, OpenstackSettings

CLOUDS = """
clouds:
  a: {auth: {auth_url: "https://a:5000/v3", username: ann, password: hush-hush, project_name: web}, region_name: north}
  b: {auth: {auth_url: "https://b:5000/v3", username: bob, password: hush-hush, project_name: web}}
"""


def read(monkeypatch: pytest.MonkeyPatch, extra: dict[str, Any], **fields: Any) -> OpenstackSettings:
    said = {"conn_type": "vmferry_openstack", **fields, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_VMFERRY_CLOUD", json.dumps(said))
    return OpenstackHook("vmferry_cloud").settings()


def test_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    host = "https://k:5000/v3"
    extra = {"region": "north", "project_domain": "corp", "poll_s": "1"}
    found = read(monkeypatch, extra, host=host, login="ann", password="hush-hush", schema="web")

    assert (found.site, found.auth_url, found.user, found.password) == ("cloud", host, "ann", "hush-hush")
    assert (found.project, found.project_domain, found.user_domain, found.region) == ("web", "corp", "Default", "north")
    assert (found.login, found.poll_s) == (Login.PASSWORD, 1.0)


def test_application_credential(monkeypatch: pytest.MonkeyPatch) -> None:
    extra = {"auth_type": "v3applicationcredential"}
    found = read(monkeypatch, extra, host="https://k:5000", login="id", password="hush-hush")

    assert (found.login, found.user, found.project) == (Login.APPLICATION_CREDENTIAL, "id", "")


def test_clouds_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "clouds.yaml"
    file.write_text(CLOUDS)

    found = read(monkeypatch, {"clouds_file": str(file), "cloud": "b"})

    assert (found.auth_url, found.user) == ("https://b:5000/v3", "bob")


@pytest.mark.parametrize(
    ("extra", "says"),
    [({"clouds_file": "/no/clouds.yaml"}, "cannot be read"), ({"auth_type": "magic"}, "magic"), ({}, "no address")],
    ids=["file", "login", "nothing"],
)
def test_what_is_wrong_is_said(monkeypatch: pytest.MonkeyPatch, extra: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says) as caught:
        read(monkeypatch, extra)

    assert caught.value.fix
