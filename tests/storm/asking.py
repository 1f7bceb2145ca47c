"""Asks an Airflow whose parts are being killed: what is not answered is asked again."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import quote

from lab.airflow.airflow_api import AirflowApi, ApiError

_Answer = TypeVar("_Answer")
PATIENCE_S = 300.0
_NOT_NOW = frozenset({401, 500, 502, 503, 504})


class PatientApi:
    """One Airflow, asked through the deaths of its API server. For several threads."""

    def __init__(self, api: AirflowApi) -> None:
        self._api = api
        self._lock = threading.Lock()

    def ask(self, question: Callable[[AirflowApi], _Answer], not_now: frozenset[int] = _NOT_NOW) -> _Answer:
        """Ask until there is an answer; `not_now` are answers that will be others soon."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                with self._lock:
                    return question(self._api)
            except ApiError as error:
                if error.status not in not_now or time.monotonic() > deadline:
                    raise
            except (OSError, http.client.HTTPException, json.JSONDecodeError):
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.5)

    def trigger(self, dag_id: str, run_id: str, conf: dict[str, Any] | None = None) -> None:
        """Start a run of this id; one that is there already was started by an answer that we did not hear.

        Airflow 3.3.2 does not know a DAG (404) after the death of its DAG processor, until its file is parsed again.
        """
        try:
            self.ask(lambda api: api.trigger(dag_id, conf, run_id), _NOT_NOW | {404})
        except ApiError as error:
            if error.status != 409:
                raise

    def has_run(self, dag_id: str, run_id: str) -> bool:
        """Tell whether there is such a run."""
        try:
            self.run(dag_id, run_id)
        except ApiError as error:
            if error.status != 404:
                raise
            return False
        return True

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """Give a run."""
        found: dict[str, Any] = self.ask(
            lambda api: api.call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}")
        )
        return found

    def events_of(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Give what Airflow's audit log says about a run's tasks."""
        found: list[dict[str, Any]] = self.ask(
            lambda api: api.call("GET", f"/api/v2/eventLogs?dag_id={dag_id}&run_id={quote(run_id, safe='')}&limit=100")
        )["event_logs"]
        return found
