"""A DAG of the admin's own is started by each backup of a VM, and restores exactly that one."""

from __future__ import annotations

from typing import Any

import pytest
from lab.airflow.installation import Installation, add_vm, wait_until
from lab.airflow.witness import Witness, restored_disks

from vmferry.engine.units import MiB

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]

VM = "follow01"
FOLLOWER = f"follow_{VM}"
FILE = f'''
from datetime import UTC, datetime

from airflow.sdk import DAG, Asset

from vmferry.operators.policy import PlanRestoreOperator
from vmferry.operators.restore import RollBackOperator
from vmferry.workflows.restore import restore_steps

backup = Asset(name="vmferry/source/{VM}", uri="vmferry://source/{VM}")

with DAG("{FOLLOWER}", schedule=[backup], start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False):
    plan = PlanRestoreOperator(
        task_id="plan",
        vm="{VM}",
        backup="{{{{ (triggering_asset_events.values() | first | last).extra['backup'] }}}}",
        name="{VM}_follower",
    )
    restore_steps(plan, RollBackOperator(task_id="roll_back", site=plan.output["site"], plan=plan.output["plan"]))
'''


def test_a_backup_starts_the_restore_of_itself(installed: Installation) -> None:
    witness = Witness(installed, installed.production)
    add_vm(installed.production, installed.directory, VM, disks=1, size_bytes=16 * MiB)
    installed.write_policy(vms_config={VM: {"retry_delay_minutes": 0}})
    installed.render()
    path = installed.directory / "rendered" / "follow.py"
    path.write_text(FILE)
    try:
        installed.api.wait_for_dags(FOLLOWER)
        installed.api.switch_on(FOLLOWER)
        backup_run = installed.run(f"backup_{VM}")
        runs: list[dict[str, Any]] = []

        def has_run() -> bool:
            runs[:] = installed.api.call("GET", f"/api/v2/dags/{FOLLOWER}/dagRuns")["dag_runs"]
            return bool(runs) and runs[0]["state"] in ("success", "failed")

        wait_until(has_run, "the DAG that the backup starts", timeout_s=600)
    finally:
        path.unlink()
    (run,) = runs
    assert (run["run_type"], run["state"]) == ("asset_triggered", "success"), installed.api.explain(
        FOLLOWER, run["dag_run_id"]
    )
    published = installed.api.xcom(f"backup_{VM}", backup_run, "publish")
    restored = installed.api.xcom(FOLLOWER, run["dag_run_id"], "create_vm")
    assert restored["backup"] == published["backup"]
    assert restored["roots"] == {disk["name"]: disk["root"] for disk in published["disks"]}
    (event,) = [
        one
        for one in installed.api.call("GET", "/api/v2/assets/events?limit=100&order_by=-timestamp")["asset_events"]
        if one["source_dag_id"] == f"backup_{VM}"
    ]
    assert event["extra"]["roots"] == restored["roots"]
    disks = restored_disks(installed, run["dag_run_id"], FOLLOWER)
    assert witness.held_now(installed.recovery, disks) == witness.digests(f"backup_{VM}", backup_run)
