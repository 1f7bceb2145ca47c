"""Looks for uploads whose event was lost, and starts their imports under the names that the events would have given."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG

from vmferry.operators.uploads import FindUploadsOperator
from vmferry.workflows.defaults import START, default_args

IMPORT = "oci_disk_import"

with DAG(
    "oci_find_uploads",
    description="Starts imports whose event was lost",
    schedule=timedelta(minutes=5),
    start_date=START,
    catchup=False,
    max_active_runs=1,
    tags=["vmferry", "import", "oci"],
    default_args=default_args(),
) as dag:
    found = FindUploadsOperator(task_id="find_uploads", dag_id_of_import=IMPORT)
    TriggerDagRunOperator.partial(
        task_id="start_import", trigger_dag_id=IMPORT, skip_when_already_exists=True
    ).expand_kwargs(found.output)
