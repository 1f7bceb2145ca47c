"""Airflow without a database: its home is a directory of this test run. Without Airflow nothing is collected here."""

from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

# `make test` does without Airflow; `make test-airflow` installs it and runs these.
collect_ignore_glob = [] if importlib.util.find_spec("airflow") else ["*.py", "*/*.py"]

if "AIRFLOW_HOME" not in os.environ:
    os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="vmferry-airflow-")
    atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"


class Store(dict[str, Any]):
    """Airflow's task state store, in memory."""

    def set(self, key: str, value: Any) -> None:
        self[key] = value


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def policy_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AIRFLOW__VMFERRY__POLICY_FILE", str(tmp_path / "variables.json"))
    monkeypatch.setenv("AIRFLOW__VMFERRY__RENDERED_DAGS", str(tmp_path / "rendered"))
    return tmp_path / "variables.json"
