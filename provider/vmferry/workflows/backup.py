# SPDX-License-Identifier: Apache-2.0
"""The DAG of one VM's backups. Operators know its task ids by heart: keep them."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Asset, Param

from vmferry.links.vault import asset_name
from vmferry.operators.backup import (
    OPENED,
    BackUpDiskOperator,
    CheckVmLockOperator,
    ClosePointOperator,
    GetVmInfoOperator,
    OpenPointOperator,
    PublishOperator,
    ValidateEnvironmentOperator,
)
from vmferry.operators.restore import (
    DetectNewBackupsOperator,
    RestoreVmOperator,
    ValidateRestoreEnvironmentOperator,
)
from vmferry.policy.vm import Placement
from vmferry.workflows.alarms import failure_callbacks, rpo_deadline, success_callbacks
from vmferry.workflows.defaults import START, default_args, schedule_of, yes_or_no

_FULL = Param(
    None,
    **yes_or_no({"no": "no: incremental"}),
    title="Full backup",
    description="Empty: as the policy says",
    # Airflow checks the schema itself for each task of each DAG: this draft's rules take less than half the time.
    **{"$schema": "http://json-schema.org/draft-07/schema#"},
)


def backup_dag(vm: Mapping[str, Any], sites: Mapping[str, Mapping[str, Any]], vault: str) -> DAG:
    """Make the DAG from a `VmPolicy.to_json`, the sites that files of the policy know, and the vault's directory."""
    placement = vm["placement"]
    given = {"site": sites[vm["site"]], "policy": vm, "vault": vault}
    dag = DAG(
        vm["dag_id"],
        description=vm["description"] or f"Backups of VM {vm['name']} at {vm['site']}",
        schedule=schedule_of(vm),
        start_date=START,
        catchup=False,
        max_active_runs=1,  # one backup of a VM at a time
        tags=["vmferry", "backup", f"site:{vm['site']}"],
        default_args=default_args(placement),
        deadline=rpo_deadline(vm),
        on_failure_callback=failure_callbacks(vm),
        on_success_callback=success_callbacks(vm),
    )
    with dag:
        published = _back_up(vm, given, placement)
        if vm["auto_restore"]:
            _restore(vm, sites, vault, published, placement)
    # Last: every task copies, checks and stores the parameters that its DAG has by then, and a run has them anyway.
    dag.params["full"] = copy(_FULL)
    return dag


def backup_asset(vm: Mapping[str, Any]) -> Asset:
    """Give the asset whose events say that a VM has a new backup."""
    name = asset_name(vm["site"], vm["name"])
    return Asset(name=name, uri=name.replace("/", "://", 1))


def _back_up(vm: Mapping[str, Any], given: dict[str, Any], placement: Mapping[str, Any]) -> PublishOperator:
    heavy = {"pool": placement["pool"]}
    validate = ValidateEnvironmentOperator(task_id="validate_environment", **given)
    info = GetVmInfoOperator(task_id="get_vm_info", **given)
    lock = CheckVmLockOperator(task_id="check_vm_lock", **given)
    point = OpenPointOperator(task_id="create_vm_snapshot", **given, **heavy)
    opened = point.output[OPENED]
    disks = BackUpDiskOperator.partial(
        task_id="backup_vm_disks",
        opened=opened,
        max_active_tis_per_dagrun=placement["max_disks_at_once"],
        map_index_template="{{ task.disk }}",
        site=given["site"],
        rates=Placement.from_json(dict(placement)).throttle_control(),
        **heavy,
    ).expand(disk=point.output)
    close = ClosePointOperator(task_id="cleanup_snapshot", **given)
    publish = PublishOperator(task_id="publish", opened=opened, outlets=[backup_asset(vm)], **given)
    validate >> info >> lock >> point >> disks >> close.as_teardown(setups=point)
    # A teardown also runs, and ends well, when the copies failed: publishing waits for both.
    [disks, close] >> publish
    return publish


def _restore(
    vm: Mapping[str, Any],
    sites: Mapping[str, Any],
    vault: str,
    published: PublishOperator,
    placement: Mapping[str, Any],
) -> None:
    rule = vm["restore"]
    given = {"site": sites[rule["site"]], "vault": vault, "vm": vm["name"], "rule": rule}
    validate = ValidateRestoreEnvironmentOperator(task_id="validate_restore_environment", **given)
    detect = DetectNewBackupsOperator(task_id="detect_new_backups", **given)
    restore = RestoreVmOperator(
        task_id="process_vm_restores",
        disks_at_once=placement["max_disks_at_once"],
        pool=sites[rule["site"]]["pool"],
        execution_timeout=timedelta(seconds=rule["timeout_s"]),
        **given,
    )
    published >> validate >> detect >> restore
