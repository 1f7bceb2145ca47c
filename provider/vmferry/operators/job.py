# SPDX-License-Identifier: Apache-2.0
"""Runs a job of the engine on a host over SSH: starts or reattaches, and waits without holding a worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseOperator

from vmferry.engine.errors import HostLost
from vmferry.engine.jobs import JobKind, JobSpec, JobStatus, job_id
from vmferry.hooks.ssh import SshHostHook
from vmferry.operators.progress import KEY
from vmferry.triggers.job import JobTrigger


class RunJobOperator(BaseOperator):
    """Runs one job. A retry finds the job of the try before, whatever killed that: there are never two.

    :param host_conn_id: Connection of type ``vmferry_ssh``.
    :param kind: copy, convert, proof, inspect or fsck.
    :param job_params: What the kind takes; see docs/jobs.md. Nothing secret.
    :param secret_conn_ids: Name of a secret → connection whose password it is; handed over on standard input.
    :param timeout_s: How long the whole job may take.
    """

    template_fields: Sequence[str] = ("host_conn_id", "job_params")

    def __init__(
        self,
        *,
        host_conn_id: str,
        kind: str,
        job_params: Mapping[str, Any],
        secret_conn_ids: Mapping[str, str] | None = None,
        poll_s: float = 2.0,
        timeout_s: float | None = None,
        **given: Any,
    ) -> None:
        super().__init__(**given)
        self.host_conn_id = host_conn_id
        self.kind = kind
        self.job_params = dict(job_params)
        self.secret_conn_ids = dict(secret_conn_ids or {})
        self.poll_s = poll_s
        self.timeout_s = timeout_s

    def execute(self, context: Any) -> dict[str, Any]:
        """Start the job, or find it, and defer."""
        spec = JobSpec(_job_id(context), JobKind(self.kind), self.job_params)
        host = SshHostHook(self.host_conn_id).get_conn()
        try:
            status = host.start(spec, self._secrets())
        finally:
            host.close()
        self.log.info("job %s on %s is %s", spec.id, host.name, status.state.value)
        context["task_state_store"].set("job", {"id": spec.id, "host": host.name})
        self.defer(
            trigger=JobTrigger(self.host_conn_id, spec.id, every_s=self.poll_s),
            method_name="execute_complete",
            timeout=timedelta(seconds=self.timeout_s) if self.timeout_s else None,
        )
        raise AssertionError("defer() does not return")

    def execute_complete(self, context: Any, event: dict[str, Any]) -> dict[str, Any]:
        """Take the result, or raise the job's own error."""
        if "lost_host" in event:
            raise HostLost(event["lost_host"], fix=event["fix"])
        status = JobStatus.from_json(event["status"])
        if status.progress:
            context["task_state_store"].set(KEY, dict(status.progress))
        problem = status.error()
        if problem is not None:
            raise problem
        return dict(status.result.value or {}) if status.result else {}

    def _secrets(self) -> dict[str, str]:
        return {
            name: str(SshHostHook.get_connection(conn_id).password or "")
            for name, conn_id in self.secret_conn_ids.items()
        }


def _job_id(context: Any) -> str:
    """Name the job after DAG, run, task and map index; never the try, so that a retry finds it."""
    ti = context["ti"]
    return job_id(ti.dag_id, ti.run_id, ti.task_id, ti.map_index)
