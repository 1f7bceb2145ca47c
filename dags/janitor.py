"""Gives back what dead runs left at the sites and in the vault; proven bytes never. And tells of backups too old."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from vmferry.operators.freshness import CheckFreshnessOperator
from vmferry.operators.site import SweepOperator
from vmferry.workflows.defaults import START, default_args

with DAG(
    "janitor",
    description="Finds backups, transfers, snapshots, disks and VMs of runs that will never go on, and gives them back",
    schedule=timedelta(hours=1),
    start_date=START,
    catchup=False,
    max_active_runs=1,
    tags=["vmferry", "care"],
    default_args=default_args(),
) as dag:
    SweepOperator(task_id="sweep")
    CheckFreshnessOperator(task_id="check_freshness")
