from __future__ import annotations

from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest

from vmferry.links.vault import VaultLink, asset_name, backups_page


@pytest.mark.parametrize(
    ("vm", "site", "pattern"),
    [
        ("web01", "source", "vmferry/source/web01"),
        ("web01", None, "vmferry/%/web01"),
        ("a b/c", "source", "vmferry/source/a%20b%2Fc"),
    ],
    ids=["site", "all sites", "quoted"],
)
def test_the_page_is_found_by_the_assets_name(vm: str, site: str | None, pattern: str) -> None:
    page = urlsplit(backups_page(vm, site))

    assert page.path == "/assets"
    assert parse_qs(page.query) == {"name_pattern": [pattern]}
    assert not page.netloc, "the UI may be reached by any name"


def test_airflow_may_live_below_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://example.com/flow/")

    assert backups_page("web01").startswith("/flow/assets?")


def test_the_name_is_that_of_the_asset() -> None:
    assert asset_name("dr site", "web01") == "vmferry/dr%20site/web01"


def test_a_task_that_knows_no_vm_has_no_button() -> None:
    assert VaultLink().get_link(SimpleNamespace(), ti_key=None) == ""
