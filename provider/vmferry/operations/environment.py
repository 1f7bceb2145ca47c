# SPDX-License-Identifier: Apache-2.0
"""Looks whether a backup or a restore can work, before anything is made."""

from __future__ import annotations

import os
import shutil

from vmferry.engine.errors import BadInput, NoSpace
from vmferry.engine.qemu.tools import find_tool
from vmferry.engine.units import MiB, format_bytes
from vmferry.operations.planning import plan_restore
from vmferry.operations.values import Json
from vmferry.platforms.contract import Source, Target
from vmferry.platforms.plain import to_plain
from vmferry.platforms.runs import RunId
from vmferry.policy.vm import RestoreRule, VmPolicy
from vmferry.vault import Vault

_LEAST_BYTES = 256 * MiB
"""Less than that in the vault is as good as full."""


def validate_environment(source: Source, vault: Vault, policy: VmPolicy) -> Json:
    """Check the site's log-in, the tools, and that the vault can be written."""
    facts = source.check()
    _check_tools()
    free = _check_vault(vault)
    return {"site": to_plain(facts), "vault": str(vault.path), "vault_free_bytes": free, "vm": policy.name}


def validate_restore_environment(
    target: Target, vault: Vault, vm: str, rule: RestoreRule, run: RunId, *, backup: str = "latest"
) -> Json:
    """Check the target's log-in, its cluster, storage and room, names, and the backup; gives the plan."""
    facts = target.check()
    _check_tools()
    plan = plan_restore(target, vault, vm, rule, run, backup=backup)
    return {"site": to_plain(facts), "plan": plan.to_json()}


def _check_tools() -> None:
    for name in ("qemu-img", "qemu-nbd"):
        find_tool(name)


def _check_vault(vault: Vault) -> int:
    path = vault.path
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"vault {path}: {error.strerror}", fix="make it, or correct backup_directory") from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise BadInput(
            f"vault {path} cannot be written by user {os.getuid()}",
            fix="give it to the user that Airflow runs as (50000)",
        )
    free = shutil.disk_usage(path).free
    if free < _LEAST_BYTES:
        raise NoSpace(f"vault {path} has only {format_bytes(free)} free", fix="free some space: vmferry vault prune")
    return free
