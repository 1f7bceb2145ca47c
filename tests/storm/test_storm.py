"""Everything that takes part in backups and restores is killed at random moments; every run ends well or says why."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.airflow.installation import Installation, installation
from tests.e2e.conftest import FAST
from tests.storm.aftermath import look_after
from tests.storm.processes import naming
from tests.storm.storm import Storm, Wish

from vmferry.engine.units import MiB

pytestmark = [pytest.mark.storm, pytest.mark.timeout(2 * 3600)]

SEED = int(os.environ.get("VMFERRY_SEED", "2026"))
KILLS = int(os.environ.get("VMFERRY_KILLS", "40"))


@pytest.fixture
def place() -> Iterator[Path]:
    """Short: unix sockets lie below it."""
    path = Path(tempfile.mkdtemp(prefix="vmferry-storm-"))
    yield path
    assert [one.command for one in naming(path)] == []
    shutil.rmtree(path)


def test_whatever_is_killed_runs_end_well_or_say_why(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    settings = {**FAST, "TMPDIR": str(make(place / "tmp"))}
    with capfd.disabled(), installation(place, **settings) as installed:
        weather(installed)


def weather(installed: Installation) -> None:
    storm = Storm(installed, Wish(SEED, KILLS, large_bytes=160 * MiB))
    storm.prepare()
    storm.blow()
    look_after(storm, storm.settle())


def make(path: Path) -> Path:
    path.mkdir()
    return path
