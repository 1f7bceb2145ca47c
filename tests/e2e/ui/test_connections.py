"""A site's connection, from the form in the browser to the hook that uses it."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from lab.airflow.installation import Installation
from tests.e2e.ui.page import Page
from tests.e2e.ui.pages import Album, begin_connection, labels_of

from vmferry.get_provider_info import get_provider_info

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

FORMS = {one["hook-name"]: one for one in get_provider_info()["connection-types"]}
TYPED = "vmferry_typed"


def test_only_what_can_be_used_is_offered(page: Page) -> None:
    page.go("/connections")
    page.click("button", "Add Connection")
    page.click("[role=dialog] [role=combobox]")
    page.until("document.querySelectorAll('[role=option]').length", "the types")

    offered = set(page.run("[...document.querySelectorAll('[role=option]')].map(e => e.innerText)"))

    ours = {"oVirt / OLVM", "Conversion host", "VMware vSphere", "VMware Workstation", "OpenStack"}
    assert offered & ours == set(FORMS) & ours
    assert {"oVirt / OLVM", "Conversion host"} <= offered


@pytest.mark.parametrize("name", FORMS, ids=[one["connection-type"] for one in FORMS.values()])
def test_each_type_has_its_own_fields(page: Page, name: str) -> None:
    form = FORMS[name]
    behaviour = form["ui-field-behaviour"]

    begin_connection(page, "vmferry_look", name)

    shown = labels_of(page)
    assert set(behaviour["relabeling"].values()) <= shown
    has_password = "password" not in behaviour["hidden-fields"]
    kinds = page.run("[...document.querySelectorAll('[role=dialog] [name=password]')].map(e => e.type)")
    assert kinds == (["password"] if has_password else [])
    page.click("[role=dialog] button", "Extra Fields")
    for field in form["conn-fields"].values():
        page.see(field["label"], "[role=dialog]")
    masked = [name for name, field in form["conn-fields"].items() if field["schema"].get("format") == "password"]
    for field_name in masked:
        assert page.run(f"document.getElementById('element_{field_name}').type") == "password"


def test_a_connection_that_is_typed_in_reaches_the_engine(installed: Installation, page: Page, album: Album) -> None:
    engine = installed.production
    address = urlsplit(engine.url)
    begin_connection(page, TYPED, "oVirt / OLVM")
    page.fill("[role=dialog] [name=host]", f"https://{address.hostname}{address.path}")
    page.fill("[role=dialog] [name=port]", str(address.port))
    page.fill("[role=dialog] [name=login]", engine.user)
    page.fill("[role=dialog] [name=password]", engine.password_secret)
    album.keep(page, "connection", height=1000, css="[role=dialog]")
    page.click("[role=dialog] button", "Extra Fields")
    page.fill("#element_ca_fingerprint", engine.fingerprint)
    album.keep(page, "connection-extra", height=1180, css="[role=dialog]")

    page.click("[role=dialog] button", "Save")
    page.see(TYPED, "table")

    kept = installed.api.call("GET", f"/api/v2/connections/{TYPED}")
    assert kept["conn_type"] == "vmferry_ovirt"
    assert engine.password_secret not in str(kept)
    page.click("button[aria-label='Test Connection']", row=TYPED)
    line = f"[...document.querySelectorAll('tr')].find(e => e.innerText.includes('{TYPED}'))"
    tested = f"{line}?.querySelector('svg[color]')"
    assert page.until(f"{tested}?.getAttribute('color')", "the outcome of the test") == "green"
