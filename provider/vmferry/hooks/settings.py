# SPDX-License-Identifier: Apache-2.0
"""Where things are, as the section [vmferry] of Airflow's configuration says."""

from __future__ import annotations

import os
from pathlib import Path

from airflow.sdk.configuration import conf


def policy_file() -> Path:
    """Give the policy, ``variables.json``."""
    return _path("policy_file", "variables.json")


def rendered_dags() -> Path:
    """Give the directory of the DAGs that are made from the policy."""
    return _path("rendered_dags", "dags/rendered")


def certificates() -> Path:
    """Give the directory of fetched CA certificates."""
    return _path("certificates", "certs")


def template_directory() -> Path:
    """Give the directory with the DAG templates: beside our modules when installed, at the root of a checkout."""
    said = conf.get("vmferry", "template_directory", fallback="")
    if said:
        return Path(said)
    package = Path(__file__).resolve().parent.parent
    installed = package / "dag_templates"
    return installed if installed.is_dir() else package.parent.parent / "dag_templates"


def _path(option: str, below_home: str) -> Path:
    said = conf.get("vmferry", option, fallback="")
    return Path(said) if said else Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser() / below_home
