"""Authorities of sites, asked of a simulated engine over real TLS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.ovirt import OvirtLab
from tests.unit.airflow.policies import write_policy

from vmferry.engine.errors import TrustError
from vmferry.operators.site import FetchCertificatesOperator, InstallCertificatesOperator


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OvirtLab]:
    with OvirtLab(tmp_path_factory.mktemp("engine")) as lab:
        yield lab


def set_up(
    engine: OvirtLab, policy_file: Path, monkeypatch: pytest.MonkeyPatch, extra: dict[str, Any], **policy: Any
) -> None:
    fields = {"conn_type": "vmferry_ovirt", "host": engine.url, "login": engine.user, "password": "x", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_VMFERRY_SOURCE", json.dumps(fields))
    monkeypatch.setenv("AIRFLOW_CONN_VMFERRY_TARGET", json.dumps(fields))
    monkeypatch.setenv("AIRFLOW__VMFERRY__CERTIFICATES", str(policy_file.parent / "certs"))
    write_policy(policy_file, **policy)


def fetch() -> list[dict[str, str]]:
    return FetchCertificatesOperator(task_id="fetch").execute({})


def test_a_new_authority_waits_for_a_person(
    engine: OvirtLab, policy_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up(engine, policy_file, monkeypatch, {})

    found = fetch()

    assert [(one["site"], one["old"], one["new"]) for one in found] == [
        ("source", "", engine.fingerprint),
        ("target", "", engine.fingerprint),
    ]
    assert not (policy_file.parent / "certs").exists()


def test_an_approved_one_is_written_and_then_known(
    engine: OvirtLab, policy_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up(engine, policy_file, monkeypatch, {})

    InstallCertificatesOperator(task_id="install", found=fetch()).execute({})

    assert (policy_file.parent / "certs" / "source.pem").read_text().startswith("-----BEGIN CERTIFICATE-----")
    assert fetch() == []


def test_a_pinned_one_needs_nobody(engine: OvirtLab, policy_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_up(engine, policy_file, monkeypatch, {"ca_fingerprint": engine.fingerprint})

    assert fetch() == []
    assert (policy_file.parent / "certs" / "target.pem").is_file()


def test_another_than_the_pinned_one_is_refused(
    engine: OvirtLab, policy_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up(engine, policy_file, monkeypatch, {"ca_fingerprint": "ab" * 32})

    with pytest.raises(TrustError, match="pinned is"):
        fetch()

    assert not (policy_file.parent / "certs").exists()
