"""Reads backups again, a few VMs a day, so that each is verified as often as the policy says."""

from __future__ import annotations

from airflow.sdk import DAG

from vmferry.notifications.notice import NoticeNotifier
from vmferry.operators.retention import ListDueOperator
from vmferry.operators.vault import VerifyBackupsOperator
from vmferry.workflows.defaults import START, daily, default_args

DAG_ID = "verify_vault"

with DAG(
    DAG_ID,
    description="Verifies the backups that nobody has looked at for too long",
    schedule=daily("04:00"),
    start_date=START,
    catchup=False,
    max_active_runs=1,
    tags=["vmferry", "care"],
    default_args=default_args(),
    on_failure_callback=NoticeNotifier(
        event="verify_failed", subject=DAG_ID, message="backups in the vault are damaged"
    ),
) as dag:
    due = ListDueOperator(task_id="list_due_backups")
    VerifyBackupsOperator.partial(
        task_id="verify_backups", max_active_tis_per_dagrun=2, map_index_template="{{ task.vm }}"
    ).expand_kwargs(due.output)
