"""A gust of `tests/storm`: a few kills in the middle of backups, restores and drills, for every change."""

from __future__ import annotations

import os

import pytest
from lab.airflow.installation import Installation
from tests.storm.aftermath import look_after
from tests.storm.storm import Storm, Wish

from vmferry.engine.units import MiB

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2400)]


def test_runs_end_well_or_say_why_whatever_is_killed(
    installed: Installation, capfd: pytest.CaptureFixture[str]
) -> None:
    seed = int(os.environ.get("VMFERRY_SEED", "2026"))
    wish = Wish(seed, 7, name="gust", vms=2, disk_bytes=32 * MiB, data_bytes=16 * MiB)
    with capfd.disabled():
        storm = Storm(installed, wish)
        storm.prepare()
        storm.blow()
        look_after(storm, storm.settle())
