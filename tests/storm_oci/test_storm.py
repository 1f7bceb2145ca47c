"""Everything that takes part in imports into OCI is killed at random moments; every run ends well or says why."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.airflow.oci_installation import oci_installation
from tests.e2e.conftest import FAST
from tests.storm.processes import naming
from tests.storm_oci.aftermath import look_after
from tests.storm_oci.storm import OciStorm, Wish

pytestmark = [pytest.mark.storm, pytest.mark.root, pytest.mark.timeout(2 * 3600)]

SEED = int(os.environ.get("VMFERRY_SEED", "2026"))
KILLS = int(os.environ.get("VMFERRY_KILLS", "40"))


@pytest.fixture
def place() -> Iterator[Path]:
    """Short: unix sockets lie below it."""
    path = Path(tempfile.mkdtemp(prefix="vmferry-storm-"))
    (path / "tmp").mkdir()
    yield path
    assert [one.command for one in naming(path)] == []
    shutil.rmtree(path)


def test_whatever_is_killed_imports_end_well_or_say_why(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    settings: dict[str, Any] = {**FAST, "TMPDIR": str(place / "tmp")}
    with capfd.disabled(), oci_installation(place, **settings) as installed:
        storm = OciStorm(installed, Wish(SEED, KILLS))
        storm.prepare()
        storm.blow()
        look_after(storm, storm.settle())
