"""Rehearses a disaster: restores a VM without networks, measures how long that takes, and removes it again."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from vmferry.operators.policy import PlanRestoreOperator
from vmferry.operators.site import MeasureDrillOperator, RemoveDrillOperator
from vmferry.workflows.defaults import START, default_args
from vmferry.workflows.restore import restore_steps

with DAG(
    "dr_drill",
    description="Restores a VM to an isolated place, proves it, measures RTO and RPO, and removes it",
    schedule=None,
    start_date=START,
    catchup=False,
    tags=["vmferry", "drill"],
    default_args=default_args(),
    params={
        "vm": Param("", type="string", minLength=1, title="VM", description="Its name in the vault"),
        "backup": Param("latest", type="string", title="Backup", description="latest, an id, or how its time begins"),
        "site": Param(None, type=["null", "string"], title="Site", description="Where to; empty: the policy's target"),
        "start": Param(False, type="boolean", title="Start it", description="And wait until it is up"),
    },
) as dag:  # fmt: skip
    plan = PlanRestoreOperator(
        task_id="plan_drill",
        vm="{{ params.vm }}",
        backup="{{ params.backup }}",
        site="{{ params.site or '' }}",
        name="{{ params.vm }}_drill_{{ dag_run.run_after.strftime('%Y%m%dT%H%M%S') }}",
        rule={"networks": {"*": None}, "connect_networks": False, "replace_existing": False},
        rule_params=("start",),
        keep_ids=False,
    )
    given = {"site": plan.output["site"], "plan": plan.output["plan"]}
    remove = RemoveDrillOperator(task_id="remove_drill", **given)
    made = restore_steps(plan, remove)
    made >> MeasureDrillOperator(task_id="measure_drill", **given) >> remove
