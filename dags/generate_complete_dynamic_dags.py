"""Makes the DAGs of the policy's VMs: every five minutes, and whenever somebody runs it."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from vmferry.notifications.notice import NoticeNotifier
from vmferry.operators.policy import RenderDagsOperator
from vmferry.workflows.defaults import START, default_args

DAG_ID = "generate_complete_dynamic_dags"

with DAG(
    DAG_ID,
    description="Reads variables.json and writes the DAGs of its VMs; what did not change is left alone",
    schedule=timedelta(minutes=5),
    start_date=START,
    catchup=False,
    max_active_runs=1,
    tags=["vmferry", "policy"],
    default_args=default_args(),
    on_failure_callback=NoticeNotifier(event="failure", subject=DAG_ID, message="the policy could not be rendered"),
) as dag:
    RenderDagsOperator(task_id="render_dags")
