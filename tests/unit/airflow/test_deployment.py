"""What docker-compose.yaml sets are options that Airflow and its providers have: a misspelt one would be ignored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from scripts.check_deployment import COMPOSE, load_compose

ROOT = Path(__file__).resolve().parents[3]
PREFIX = "AIRFLOW__"


def known_options() -> set[str]:
    """Give all options there are, as the environment names them."""
    from airflow.configuration import conf, retrieve_configuration_description
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()
    manager.initialize_providers_configuration()
    sections: dict[str, Any] = dict(retrieve_configuration_description(include_providers=False))
    for _, configuration in manager.provider_configs:
        for section, said in configuration.items():
            sections.setdefault(section, {"options": {}})["options"].update(said["options"])
    assert conf.has_option("core", "executor")
    return {f"{PREFIX}{section}__{option}".upper() for section, said in sections.items() for option in said["options"]}


@pytest.fixture(scope="module")
def known() -> set[str]:
    return known_options()


def test_every_setting_is_an_option_of_airflow_or_a_provider(known: set[str]) -> None:
    services = load_compose(ROOT / COMPOSE)["services"]
    used = {name for one in services.values() for name in one.get("environment", {}) if name.startswith(PREFIX)}

    assert len(used) > 20
    assert used - known == set()


def test_a_misspelt_one_would_be_told(known: set[str]) -> None:
    assert "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUTS" not in known
    assert {"AIRFLOW__VMFERRY__POLICY_FILE", "AIRFLOW__EDGE__API_URL", "AIRFLOW__CELERY__BROKER_URL"} <= known
