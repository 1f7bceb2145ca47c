"""Lets old backups go as the policy says; asks before a VM would be left without a verified one."""

from __future__ import annotations

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG

from vmferry.notifications.notice import NoticeNotifier
from vmferry.operators.retention import ListOrdersOperator, PlanPruneAllOperator
from vmferry.operators.site import SkipUnlessOperator
from vmferry.operators.vault import PruneOperator
from vmferry.workflows.defaults import ANSWER_WITHIN, START, daily, default_args

DAG_ID = "prune_vault"

with DAG(
    DAG_ID,
    description="Retention: what goes waits three days in a quarantine, and no chain is ever broken",
    schedule=daily("06:00"),
    start_date=START,
    catchup=False,
    max_active_runs=1,
    tags=["vmferry", "care"],
    default_args=default_args(),
) as dag:
    plan = PlanPruneAllOperator(task_id="plan_prune")
    free = ListOrdersOperator(task_id="list_free", orders=plan.output["free"])
    prune = {"max_active_tis_per_dagrun": 2, "map_index_template": "{{ task.vm }}"}
    PruneOperator.partial(task_id="prune", **prune).expand_kwargs(free.output)

    ask = SkipUnlessOperator(task_id="is_approval_needed", things=plan.output["asks"])
    approve = ApprovalOperator(
        task_id="approve_prune",
        subject="Let the last verified backup of a VM go?",
        body="{{ ti.xcom_pull('plan_prune', key='questions') | join('\n') }}",
        response_timeout=ANSWER_WITHIN,
        defaults="Reject",
        notifiers=[NoticeNotifier(event="approval_needed", subject=DAG_ID, message="prune_vault waits for a person")],
    )
    asked = ListOrdersOperator(task_id="list_approved", orders=plan.output["asks"])
    ask >> approve >> asked
    PruneOperator.partial(task_id="prune_approved", **prune).expand_kwargs(asked.output)
