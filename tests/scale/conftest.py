"""A policy of thousands of VMs, rendered once for all tests here. Without Airflow nothing is collected."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.scale.crowd import Crowd

collect_ignore_glob = [] if importlib.util.find_spec("airflow") else ["test_*.py"]

VMS = 5000


@pytest.fixture(scope="session")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Crowd:
    """Render them all."""
    made = Crowd(tmp_path_factory.mktemp("crowd"), VMS)
    made.write_policy()
    made.render()
    return made


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Print a number that was measured, whatever pytest does with the rest."""

    def print_it(line: str) -> None:
        with capsys.disabled():
            print(f"\n  {line}", flush=True)

    return print_it


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for one Airflow."""
    return tmp_path_factory.mktemp("scale")
