# SPDX-License-Identifier: Apache-2.0
"""Finds uploads whose event was lost: whatever lies in a bucket of the policy, was not imported and has no run."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowRuntimeError

from vmferry.engine.errors import EngineError
from vmferry.hooks.sites import open_site
from vmferry.operators.policy import read_policy

_NOT_FOUND = 404


class FindUploadsOperator(BaseOperator):
    """Lists the runs that are missing, for `TriggerDagRunOperator.expand_kwargs`: their ids are those of the events.

    :param dag_id: The DAG that imports.
    """

    def __init__(self, *, dag_id_of_import: str, **given: Any) -> None:
        super().__init__(**given)
        self.dag_id_of_import = dag_id_of_import

    def execute(self, context: Any) -> list[dict[str, Any]]:
        """Look into every bucket; one that cannot be read keeps the others from nothing."""
        from vmferry.policy.imports import list_imports
        from vmferry.policy.surroundings import site_references

        policy = read_policy()
        references = site_references(policy)
        missing: dict[str, dict[str, Any]] = {}
        failures: list[EngineError] = []
        for rule in list_imports(policy):
            try:
                with open_site(references[rule.site]) as site:
                    missing |= self._missing(context["ti"], site, rule)
            except EngineError as failure:
                self.log.warning("bucket %s: %s", rule.bucket, failure)
                failures.append(failure)
        if failures and not missing:
            raise failures[0]
        self.log.info("%d uploads have no run yet", len(missing))
        return list(missing.values())

    def _missing(self, ti: Any, site: Any, rule: Any) -> dict[str, dict[str, Any]]:
        from vmferry.operations.disk_import.uploads import list_new_uploads, run_id

        found = {}
        for ref in list_new_uploads(site, rule):
            name = run_id(ref)
            if not self._has_run(ti, name):
                conf = {"namespace": ref.namespace, "bucket": ref.bucket, "object": ref.name, "etag": ref.etag}
                found[name] = {"trigger_run_id": name, "conf": conf}
        return found

    def _has_run(self, ti: Any, run_id: str) -> bool:
        try:
            ti.get_dagrun_state(self.dag_id_of_import, run_id)
        except AirflowRuntimeError as error:
            if (error.error.detail or {}).get("status_code") == _NOT_FOUND:
                return False
            raise
        return True
