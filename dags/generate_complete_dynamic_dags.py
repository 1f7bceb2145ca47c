"""Makes the DAGs of the policy's VMs: when the policy changes, every five minutes, and whenever somebody runs it."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, AssetWatcher, DeltaTriggerTimetable

from vmferry.hooks.settings import policy_file
from vmferry.notifications.notice import NoticeNotifier
from vmferry.operators.policy import RenderDagsOperator
from vmferry.triggers.policy import PolicyTrigger
from vmferry.workflows.defaults import START, default_args

DAG_ID = "generate_complete_dynamic_dags"
CHANGED = Asset(
    name="vmferry/policy",
    uri="vmferry://policy",
    watchers=[AssetWatcher(name="vmferry_policy", trigger=PolicyTrigger(str(policy_file())))],
)

with DAG(
    DAG_ID,
    description="Reads variables.json and writes the DAGs of its VMs; what did not change is left alone",
    # The clock is for sites whose list of VMs changes, and for a change that nobody watched.
    schedule=AssetOrTimeSchedule(timetable=DeltaTriggerTimetable(timedelta(minutes=5)), assets=[CHANGED]),
    start_date=START,
    catchup=False,
    max_active_runs=1,
    tags=["vmferry", "policy"],
    default_args=default_args(),
    on_failure_callback=NoticeNotifier(event="failure", subject=DAG_ID, message="the policy could not be rendered"),
) as dag:
    RenderDagsOperator(task_id="render_dags")
