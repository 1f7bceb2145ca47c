"""The function's configuration."""

from __future__ import annotations

import pytest
from upload_event.errors import BadSettings
from upload_event.settings import read_settings

GOOD = {
    "AIRFLOW_URL": "https://airflow.example.com/",
    "AIRFLOW_USER": "oci",
    "AIRFLOW_SECRET_OCID": "ocid1.vaultsecret.x",
}


def test_defaults() -> None:
    settings = read_settings(GOOD)
    assert (settings.airflow_url, settings.dag_id) == ("https://airflow.example.com", "oci_disk_import")


def test_all_that_is_missing_is_named_at_once() -> None:
    with pytest.raises(BadSettings, match=r"AIRFLOW_URL, AIRFLOW_SECRET_OCID"):
        read_settings({"AIRFLOW_USER": "oci", "AIRFLOW_URL": " "})


@pytest.mark.parametrize(
    "url",
    ["airflow.example.com", "ftp://airflow.example.com", "https://", "https://admin:secret@airflow.example.com"],
    ids=["no scheme", "ftp", "no host", "password in it"],
)
def test_bad_address(url: str) -> None:
    with pytest.raises(BadSettings) as caught:
        read_settings({**GOOD, "AIRFLOW_URL": url})
    assert "secret" not in str(caught.value)


def test_http_has_to_be_asked_for() -> None:
    plain = {**GOOD, "AIRFLOW_URL": "http://127.0.0.1:8080"}
    with pytest.raises(BadSettings, match="in clear"):
        read_settings(plain)
    assert read_settings({**plain, "AIRFLOW_ALLOW_HTTP": "yes"}).airflow_url == "http://127.0.0.1:8080"


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("vms/web01.qcow2", True),
        ("WEB01.VMDK", True),
        ("a.raw.xz", True),
        ("notes.txt", False),
        ("qcow2", False),
        ("imported/web01.qcow2", False),
        ("$(reboot).raw", True),  # a name is a name: nobody runs it
    ],
)
def test_wanted_objects(name: str, wanted: bool) -> None:
    assert read_settings({**GOOD, "IGNORED_PREFIXES": "imported/, old/"}).wants(name) is wanted


def test_own_suffixes() -> None:
    settings = read_settings({**GOOD, "IMAGE_SUFFIXES": ".IMG, .raw"})
    assert [settings.wants(name) for name in ("a.img", "a.raw", "a.qcow2")] == [True, True, False]
