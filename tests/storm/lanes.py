"""Runs of DAGs that go on while things are killed: one in each lane, again and again."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from lab.airflow.airflow_api import AirflowApi
from tests.storm.asking import PatientApi

ENDED = frozenset({"success", "failed"})


@dataclass
class Run:
    """One run of a DAG."""

    dag_id: str
    run_id: str
    vm: str
    """What it is about: a VM, or an object."""
    conf: dict[str, Any] = field(default_factory=dict)
    state: str = "queued"

    @property
    def kind(self) -> str:
        """What it does."""
        return self.dag_id.partition("_")[0] if self.dag_id.startswith("backup_") else self.dag_id

    def __str__(self) -> str:
        return f"{self.dag_id} {self.run_id}"


class Lanes(threading.Thread):
    """Keeps one run in every lane until it is told to stop; then waits for the last ones."""

    def __init__(self, api: PatientApi, lanes: Iterable[str], name: str) -> None:
        super().__init__(name="lanes", daemon=True)
        self.runs: list[Run] = []
        self.failure: BaseException | None = None
        self._api = api
        self._name = name
        self._lanes: dict[str, Run | None] = dict.fromkeys(lanes)
        self._stopping = threading.Event()

    def run(self) -> None:
        """Go on; after `cease` only until all has ended."""
        try:
            while self.look() or not self._stopping.is_set():
                for lane in [lane for lane, run in self._lanes.items() if run is None or run.state in ENDED]:
                    if not self._stopping.is_set():
                        self._lanes[lane] = self.fill(lane) or self._lanes[lane]
                time.sleep(1.0)
        except BaseException as error:
            self.failure = error
            raise

    def fill(self, lane: str) -> Run | None:
        """Begin the next run of a lane; None when there is nothing to do yet."""
        raise NotImplementedError

    def note(self) -> None:
        """Note what there is now; called now and then."""

    def cease(self) -> None:
        """Begin nothing more."""
        self._stopping.set()

    def look(self) -> int:
        """Ask how all runs are, and note what there is; gives how many runs have not ended."""
        for run in self.under_way():
            run.state = str(self._api.run(run.dag_id, run.run_id)["state"])
        self.note()
        return sum(1 for _ in self.under_way())

    def forgotten(self, after_s: float) -> list[str]:
        """Name the tasks that nobody has: queued for long. See `Gale.remind`."""
        now, found = datetime.now(UTC), []
        for run in self.under_way():
            for task in self._api.ask(partial(_tasks_of, run)):
                if task["state"] == "queued" and task["queued_when"]:
                    age_s = (now - datetime.fromisoformat(task["queued_when"])).total_seconds()
                    found += [f"{run} {task['task_id']}"] if age_s > after_s else []
        return found

    def under_way(self) -> Iterator[Run]:
        """Give the runs that have not ended."""
        return (run for run in list(self.runs) if run.state not in ENDED)

    def again(self, runs: Sequence[Run], timeout_s: float) -> list[Run]:
        """Run the same once more, all to their ends."""
        made = [self.start_run(run.dag_id, run.vm, named_anew(run.conf)) for run in runs]
        deadline = time.monotonic() + timeout_s
        while self.look():
            if time.monotonic() > deadline:
                raise TimeoutError(f"still under way: {[str(run) for run in self.under_way()]}")
            time.sleep(1.0)
        return made

    def start_run(self, dag_id: str, vm: str, conf: dict[str, Any], run_id: str = "") -> Run:
        """Begin a run."""
        run = Run(dag_id, run_id or f"{self._name}-{len(self.runs) + 1:03}", vm, conf)
        self._api.trigger(dag_id, run.run_id, conf)
        self.runs.append(run)
        return run


def named_anew(conf: dict[str, Any]) -> dict[str, Any]:
    """Give what a run was told, with another name for what it makes."""
    return {**conf, "name": f"{conf['name']}_again"} if "name" in conf else conf


def _tasks_of(run: Run, api: AirflowApi) -> list[dict[str, Any]]:
    return api.tasks(run.dag_id, run.run_id)
