"""A gust of `tests/storm_oci`: a few kills in the middle of imports into OCI, for every change."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from lab.airflow.oci_installation import oci_installation
from tests.e2e.conftest import FAST
from tests.storm_oci.aftermath import look_after
from tests.storm_oci.storm import OciStorm, Wish
from tests.storm_oci.victims import SITE_KINDS

from vmferry.engine.units import MiB

pytestmark = [pytest.mark.e2e, pytest.mark.root, pytest.mark.timeout(2400)]


def test_imports_end_well_or_say_why_whatever_is_killed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    seed = int(os.environ.get("VMFERRY_SEED", "2026"))
    kinds = (*SITE_KINDS, "task and supervisor", "triggerer")
    wish = Wish(seed, 5, name="gust", imports=2, disk_bytes=160 * MiB, data_bytes=120 * MiB, kinds=kinds)
    settings: dict[str, Any] = {**FAST}
    with capfd.disabled(), oci_installation(tmp_path, **settings) as installed:
        storm = OciStorm(installed, wish)
        storm.prepare()
        storm.blow()
        look_after(storm, storm.settle())
