"""Keeps the certificates of the sites' authorities: a pinned one is fetched, another one needs a person's word."""

from __future__ import annotations

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG

from vmferry.notifications.notice import NoticeNotifier
from vmferry.operators.site import FetchCertificatesOperator, InstallCertificatesOperator, SkipUnlessOperator
from vmferry.workflows.defaults import ANSWER_WITHIN, START, daily, default_args

DAG_ID = "certificates"

with DAG(
    DAG_ID,
    description="Fetches the CA certificates of production and DR; a changed one is not believed without approval",
    schedule=daily("03:00"),
    start_date=START,
    catchup=False,
    max_active_runs=1,
    tags=["vmferry", "care"],
    default_args=default_args(),
    on_failure_callback=NoticeNotifier(
        event="failure", subject=DAG_ID, message="a site has another authority than pinned"
    ),
) as dag:
    fetch = FetchCertificatesOperator(task_id="fetch_certificates")
    ask = SkipUnlessOperator(task_id="is_approval_needed", things=fetch.output)
    approve = ApprovalOperator(
        task_id="approve_certificates",
        subject="Trust these authorities?",
        body="Ask each site's admin for the SHA-256 first.\n"
        "{% for one in ti.xcom_pull('fetch_certificates') %}"
        "- {{ one.site }}: {{ one.new }} (until now: {{ one.old or 'none' }})\n{% endfor %}",
        response_timeout=ANSWER_WITHIN,
        defaults="Reject",
        notifiers=[
            NoticeNotifier(event="approval_needed", subject=DAG_ID, message="new authorities wait for approval")
        ],
    )
    fetch >> ask >> approve >> InstallCertificatesOperator(task_id="install_certificates", found=fetch.output)
