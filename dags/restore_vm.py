"""Restores a VM that a person names, at any site of the policy."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from vmferry.operators.policy import PlanRestoreOperator
from vmferry.operators.restore import RollBackOperator
from vmferry.workflows.defaults import START, default_args, yes_or_no
from vmferry.workflows.restore import restore_steps

_SAID = ["null", "string"]

with DAG(
    "restore_vm",
    description="Restores one VM from the vault; each disk is read back and proven before the VM is made",
    schedule=None,
    start_date=START,
    catchup=False,
    tags=["vmferry", "restore"],
    default_args=default_args(),
    params={
        "vm": Param("", type="string", minLength=1, title="VM", description="Its name in the vault"),
        "backup": Param("latest", type="string", title="Backup", description="latest, an id, or how its time begins"),
        "site": Param(None, type=_SAID, title="Site", description="Where to; empty: the policy's target"),
        "name": Param(None, type=_SAID, title="Name", description="Empty: its old name and the policy's suffix"),
        "cluster": Param(None, type=_SAID, title="Cluster", description="Empty: as the policy says"),
        "storage_domain": Param(None, type=_SAID, title="Storage domain", description="Empty: as the policy says"),
        "start": Param(None, **yes_or_no(), title="Start it", description="Empty: as the policy says"),
        "connect_networks": Param(None, **yes_or_no(), title="Plug network cards in",
                                  description="Empty: as the policy says"),
        "replace_existing": Param(None, **yes_or_no(), title="Take the place of a VM of that name",
                                  description="The old one stays, under another name; empty: as the policy says"),
    },
) as dag:  # fmt: skip
    plan = PlanRestoreOperator(
        task_id="validate_restore_environment",
        vm="{{ params.vm }}",
        backup="{{ params.backup }}",
        site="{{ params.site or '' }}",
        name="{{ params.name or '' }}",
        rule_params=("cluster", "storage_domain", "start", "connect_networks", "replace_existing"),
    )
    cleanup = RollBackOperator(task_id="roll_back", site=plan.output["site"], plan=plan.output["plan"])
    restore_steps(plan, cleanup)
