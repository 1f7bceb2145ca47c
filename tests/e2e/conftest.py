"""One installation for all tests here: it takes a minute to start. Without Airflow nothing is collected here."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from lab.airflow.installation import Installation

collect_ignore_glob = [] if importlib.util.find_spec("airflow") else ["test_*.py"]

FAST = {
    "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
    # What is lost is noticed in seconds, not minutes.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "15",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "20",
    # Restores are tried again as often as backups in these tests, and as soon.
    "AIRFLOW__VMFERRY__RETRIES": "8",
    "AIRFLOW__VMFERRY__RETRY_DELAY_S": "0",
}


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    from lab.airflow.installation import installation

    with installation(tmp_path_factory.mktemp("e2e"), **FAST) as made:
        yield made
