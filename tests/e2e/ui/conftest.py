"""One browser for all tests of the UI, logged in once through the form."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.e2e.ui.chromium import Chromium
from tests.e2e.ui.page import Page
from tests.e2e.ui.pages import Album, log_in

if TYPE_CHECKING:
    from lab.airflow.installation import Installation


@pytest.fixture(scope="session")
def page(installed: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    browser = Chromium(tmp_path_factory.mktemp("browser") / "profile")
    try:
        page = Page(browser, installed.api.url)
        log_in(page, "admin", installed.home.password)
        yield page
    finally:
        browser.close()


@pytest.fixture(scope="session")
def album() -> Album:
    """Keep pictures where VMFERRY_SCREENSHOTS says; `make screenshots` says docs/images."""
    said = os.environ.get("VMFERRY_SCREENSHOTS")
    return Album(Path(said) if said else None)
