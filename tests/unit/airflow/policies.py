"""Policies for the tests of the Airflow side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vmferry.policy.load import load
from vmferry.policy.resolve import resolve
from vmferry.policy.surroundings import template_values

SITES: dict[str, Any] = {
    "source_ovirt_url": "https://engine.example.com/ovirt-engine/api",
    "source_ovirt_user": "admin@internal",
    "target_ovirt_url": "https://dr.example.com/ovirt-engine/api",
    "target_ovirt_user": "admin@internal",
    "restore_settings": {"target_cluster_name": "Default", "target_storage_domain_name": "dr"},
}


def write_policy(path: Path, **more: Any) -> Path:
    """Write a policy of two sites."""
    path.write_text(json.dumps({**SITES, **more}))
    return path


def resolved(path: Path) -> tuple[list[dict[str, Any]], dict[str, Any], str]:
    """Give what a rendered file holds: VMs, sites, vault."""
    policy = load(path)
    values = template_values(policy)
    return [vm.to_json() for vm in resolve(policy)], values["sites"], values["vault"]
