"""Why a run failed, as somebody finds it who looks: in the logs of its tasks, and in Airflow's own audit log."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from typing import Any

from tests.storm.asking import PatientApi
from tests.storm.lanes import Run

_TYPED = re.compile(r"^\s*(?P<kind>[A-Z]\w+): (?P<said>.+)$")


_ROOMS = (
    "vmferry.engine.errors", "vmferry.engine.jobs.errors", "vmferry.hosts.errors", "vmferry.platforms.errors",
    "vmferry.platforms.oci.failures", "vmferry.operations.disk_import.ending", "vmferry.vault.errors",
)  # fmt: skip
"""Where errors of ours are."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why one task failed."""

    task: str
    said: str
    is_clear: bool
    """An error of ours that says what to do; or no error at all, since it was killed, and the run's note says so."""

    def __str__(self) -> str:
        return f"{self.task}: {self.said}"


def find_reasons(api: PatientApi, run: Run) -> list[Reason]:
    """Give the reason of each task of a run that failed."""
    failed = [one for one in api.ask(lambda api: api.tasks(run.dag_id, run.run_id)) if one["state"] == "failed"]
    note = str(api.run(run.dag_id, run.run_id)["note"] or "")
    return [_find_reason(api, run, one, note) for one in failed]


def _find_reason(api: PatientApi, run: Run, task: dict[str, Any], note: str) -> Reason:
    label = task["task_id"] if task["map_index"] < 0 else f"{task['task_id']}[{task['map_index']}]"
    lines = api.ask(
        lambda api: api.log_lines(
            run.dag_id, run.run_id, task["task_id"], max(1, task["try_number"]), task["map_index"]
        )
    )
    errors = [match for line in lines for text in line.splitlines() if (match := _TYPED.match(text)) is not None]
    ours = [match for match in errors if _is_ours(match["kind"])]
    if errors:  # an SDK's own error may stand behind ours
        told = (ours or errors)[-1]
        return Reason(label, told[0].strip(), bool(ours) and "; " in told["said"])
    said = " | ".join(line.strip() for line in lines[-4:]) or "its log is empty"
    return Reason(label, f"killed ({said})", label in note and "was killed" in note)


def _is_ours(kind: str) -> bool:
    from vmferry.engine.errors import EngineError

    found = [getattr(importlib.import_module(room), kind, None) for room in _ROOMS]
    return any(isinstance(one, type) and issubclass(one, EngineError) for one in found)
