"""Airflow's REST API, as far as the tests and the demo ask it."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

_DONE = frozenset({"success", "failed"})
_HEALTH_NAMES = {"scheduler": "scheduler", "dag-processor": "dag_processor", "triggerer": "triggerer"}


class ApiError(Exception):
    """An answer that is no 2xx."""

    def __init__(self, status: int, body: str, what: str) -> None:
        super().__init__(f"{what}: {status} {body[:2000]}")
        self.status = status
        self.body = body


class AirflowApi:
    """Asks one Airflow; logs in once."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url = url
        self._user = user
        self._password = password
        self._token = ""

    def log_in(self) -> None:
        """Get a token."""
        body = {"username": self._user, "password": self._password}
        self._token = self.call("POST", "/auth/token", body)["access_token"]

    def unhealthy(self, parts: Sequence[str]) -> tuple[str, ...]:
        """Name the parts that do not report to the server, or all when it does not answer itself."""
        try:
            found = self.call("GET", "/api/v2/monitor/health")
        except (OSError, ApiError):
            return tuple(parts)
        return tuple(
            part
            for part in parts
            if part in _HEALTH_NAMES and (found.get(_HEALTH_NAMES[part]) or {}).get("status") != "healthy"
        )

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Ask and give the JSON of the answer; raises `ApiError`."""
        data = json.dumps(body).encode() if body is not None else None
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        request = urllib.request.Request(f"{self.url}{path}", data=data, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise ApiError(error.code, error.read().decode(errors="replace"), f"{method} {path}") from error
        return json.loads(text) if text else None

    def add_connection(self, conn_id: str, **fields: Any) -> None:
        """Store a connection in Airflow's own (encrypted) table."""
        if "extra" in fields:
            fields["extra"] = json.dumps(fields["extra"])
        self.call("POST", "/api/v2/connections", {"connection_id": conn_id, **fields})

    def replace_connection(self, conn_id: str, **fields: Any) -> None:
        """Store a connection, whatever there was of that id."""
        try:
            self.call("DELETE", f"/api/v2/connections/{conn_id}")
        except ApiError as error:
            if error.status != 404:
                raise
        self.add_connection(conn_id, **fields)

    def switch_on(self, dag_id: str) -> None:
        """Let a DAG run: new ones are paused."""
        self.call("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": False})

    def add_pool(self, name: str, slots: int) -> None:
        """Make a pool."""
        self.call("POST", "/api/v2/pools", {"name": name, "slots": slots})

    def list_dags(self) -> dict[str, dict[str, Any]]:
        """Give all DAGs by id."""
        found: dict[str, dict[str, Any]] = {}
        while True:
            page = self.call("GET", f"/api/v2/dags?limit=100&offset={len(found)}")
            found.update({dag["dag_id"]: dag for dag in page["dags"]})
            if not page["dags"] or len(found) >= page["total_entries"]:
                return found

    def import_errors(self) -> list[str]:
        """Give what is wrong with DAG files."""
        found = self.call("GET", "/api/v2/importErrors")["import_errors"]
        return [f"{one['filename']}: {one['stack_trace']}" for one in found]

    def wait_for_dags(self, *dag_ids: str, timeout_s: float = 300.0) -> None:
        """Wait until all these DAGs are listed."""
        deadline = time.monotonic() + timeout_s
        while missing := set(dag_ids) - self.list_dags().keys():
            errors = self.import_errors()
            if errors or time.monotonic() > deadline:
                raise TimeoutError(f"DAGs {sorted(missing)} are not listed; import errors: {errors}")
            time.sleep(1.0)

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None, run_id: str | None = None) -> str:
        """Start a run and give its id."""
        body: dict[str, Any] = {"logical_date": None, "conf": dict(conf or {})}
        if run_id is not None:
            body["dag_run_id"] = run_id
        return str(self.call("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def find_run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """Give a run: its state, when it began and ended."""
        found: dict[str, Any] = self.call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{_quote(run_id)}")
        return found

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Say how a run is."""
        return str(self.find_run(dag_id, run_id)["state"])

    def wait_for_run(self, dag_id: str, run_id: str, *, timeout_s: float = 300.0) -> str:
        """Wait for the end of a run and give its state."""
        deadline = time.monotonic() + timeout_s
        while (state := self.run_state(dag_id, run_id)) not in _DONE:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{dag_id} {run_id} is {state}: {self.task_states(dag_id, run_id)}")
            time.sleep(0.5)
        return state

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Give the task instances of a run."""
        found: list[dict[str, Any]] = self.call(
            "GET", f"/api/v2/dags/{dag_id}/dagRuns/{_quote(run_id)}/taskInstances?limit=100"
        )["task_instances"]
        return found

    def task_end(self, dag_id: str, run_id: str, task_id: str) -> datetime:
        """Say when a task ended; of a mapped one, the last of them."""
        ends = [one["end_date"] for one in self.tasks(dag_id, run_id) if one["task_id"] == task_id]
        return max(datetime.fromisoformat(one) for one in ends)

    def task_states(self, dag_id: str, run_id: str) -> dict[str, str]:
        """Give the state of each task of a run; mapped ones as ``task[0]``."""
        return {_label(one): str(one["state"]) for one in self.tasks(dag_id, run_id)}

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """Give what a task handed on."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{_quote(run_id)}/taskInstances/{task_id}/xcomEntries/{key}"
        return self.call("GET", f"{path}?map_index={map_index}&deserialize=false")["value"]

    def all_xcoms(self, dag_id: str, run_id: str, task_id: str) -> list[Any]:
        """Give what each instance of a mapped task handed on."""
        count = sum(1 for one in self.tasks(dag_id, run_id) if one["task_id"] == task_id)
        return [self.xcom(dag_id, run_id, task_id, map_index=index) for index in range(count)]

    def asset_id(self, name: str) -> int:
        """Give the number of an asset, which its page has in its address."""
        found = self.call("GET", f"/api/v2/assets?name_pattern={urllib.parse.quote(name, safe='')}")["assets"]
        return next(int(one["id"]) for one in found if one["name"] == name)

    def last_run(self, dag_id: str) -> str:
        """Give the id of the run that was begun last."""
        return self.list_runs(dag_id)[0]

    def list_runs(self, dag_id: str) -> list[str]:
        """Give the ids of the runs, the newest first."""
        found = self.call("GET", f"/api/v2/dags/{dag_id}/dagRuns?limit=100&order_by=-run_after")["dag_runs"]
        return [str(one["dag_run_id"]) for one in found]

    def state_store(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> dict[str, Any]:
        """Give what a task noted for itself: its progress."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{_quote(run_id)}/taskInstances/{task_id}/state-store"
        found = self.call("GET", f"{path}?map_index={map_index}")
        entries = next(value for value in found.values() if isinstance(value, list))
        return {one["key"]: one["value"] for one in entries}

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1, map_index: int = -1) -> str:
        """Give a task's log as text."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{_quote(run_id)}/taskInstances/{task_id}/logs/{try_number}"
        found = self.call("GET", f"{path}?map_index={map_index}&full_content=true")
        return "\n".join(json.dumps(one) if isinstance(one, dict) else str(one) for one in found["content"])

    def log_lines(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1, map_index: int = -1) -> list[str]:
        """Give a task's log for a reader: level, what happened, and the errors."""
        raw = self.log(dag_id, run_id, task_id, try_number, map_index).splitlines()
        return [_short(json.loads(line)) if line.startswith("{") else line for line in raw]

    def explain(self, dag_id: str, run_id: str) -> str:
        """Give the logs of the tasks of a run that failed, for a test's message."""
        bad = [one for one in self.tasks(dag_id, run_id) if one["state"] in {"failed", "up_for_retry"}]
        logs: list[str] = []
        for one in bad:
            lines = self.log_lines(dag_id, run_id, one["task_id"], max(1, one["try_number"]), one["map_index"])
            logs += [f"== {_label(one)}", *lines[-30:]]
        return "\n".join([str(self.task_states(dag_id, run_id)), *logs])


def _quote(run_id: str) -> str:
    return urllib.parse.quote(run_id, safe="")


def _label(task: Mapping[str, Any]) -> str:
    return task["task_id"] if task["map_index"] < 0 else f"{task['task_id']}[{task['map_index']}]"


def _short(line: Mapping[str, Any]) -> str:
    errors = [f"{one['exc_type']}: {one['exc_value']}" for one in line.get("error_detail") or ()]
    reason = f" ({line['reason']})" if "reason" in line else ""
    return "\n    ".join([f"{line.get('level', '')} {line.get('event', '')}{reason}", *errors])
