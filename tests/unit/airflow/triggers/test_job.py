"""Jobs on a host over a real sshd: started by the operator, waited for by the trigger."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred
from lab.sshd import Sshd

from vmferry.engine.errors import EngineError, HostLost
from vmferry.operators.job import RunJobOperator
from vmferry.triggers.job import JobTrigger


@pytest.fixture
def sshd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    with Sshd(tmp_path / "host") as server:
        set_connection(server, monkeypatch)
        yield server


def set_connection(server: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = server.settings()
    extra = {
        "identity": str(settings.identity),
        "known_hosts": str(settings.known_hosts),
        "python": " ".join(settings.python),
    }
    fields = {"conn_type": "vmferry_ssh", "host": settings.address, "login": settings.user, "port": settings.port}
    monkeypatch.setenv("AIRFLOW_CONN_VMFERRY_HOST", json.dumps({**fields, "extra": extra}))


def make_context(store: Any, try_number: int = 1) -> dict[str, Any]:
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="copy", map_index=0, try_number=try_number)
    return {"ti": ti, "task_state_store": store}


def make_operator(tmp_path: Path) -> RunJobOperator:
    (tmp_path / "disk.raw").write_bytes(b"\1" * 1_000_000)
    params = {"source": {"kind": "file", "address": str(tmp_path / "disk.raw"), "format": "raw"}}
    return RunJobOperator(task_id="copy", host_conn_id="vmferry_host", kind="proof", job_params=params, poll_s=0.1)


def defer(operator: RunJobOperator, context: dict[str, Any]) -> JobTrigger:
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(context)
    trigger = deferred.value.trigger
    assert isinstance(trigger, JobTrigger)
    return trigger


def await_event(trigger: JobTrigger) -> dict[str, Any]:
    async def first() -> dict[str, Any]:
        async for event in trigger.run():
            return dict(event.payload)
        raise AssertionError("the trigger ended without an event")

    return asyncio.run(asyncio.wait_for(first(), 60))


def test_a_job_runs_and_its_result_comes_back(sshd: Sshd, store: Any, tmp_path: Path) -> None:
    operator, context = make_operator(tmp_path), make_context(store)

    trigger = defer(operator, context)
    again = JobTrigger(**trigger.serialize()[1])  # as a triggerer that was started anew has it
    result = operator.execute_complete(context, await_event(again))

    assert len(result["root"]) == 64
    assert store["job"]["id"] == trigger.job_id


def test_a_retry_finds_the_job_of_the_try_before(sshd: Sshd, store: Any, tmp_path: Path) -> None:
    operator = make_operator(tmp_path)
    first = defer(operator, make_context(store))
    await_event(first)

    second = defer(operator, make_context(store, try_number=2))

    assert second.job_id == first.job_id
    assert await_event(second)["status"]["attempts"] == 1


def test_a_job_that_fails_raises_its_own_error(sshd: Sshd, store: Any, tmp_path: Path) -> None:
    operator, context = make_operator(tmp_path), make_context(store)
    trigger = defer(operator, context)
    event = await_event(trigger)
    error = {"kind": "SourceLost", "what": "the disk went away", "fix": "bring it back", "retry": "backoff"}
    event["status"]["state"] = "failed"
    event["status"]["result"] = {"state": "failed", "value": None, "error": error, "attempts": 1}

    with pytest.raises(EngineError, match="the disk went away; bring it back"):
        operator.execute_complete(context, event)


def test_a_host_that_stays_away_is_told(sshd: Sshd, store: Any, tmp_path: Path) -> None:
    operator, context = make_operator(tmp_path), make_context(store)
    trigger = defer(operator, context)
    sshd.kill()
    trigger.outage_s = 1.0

    with pytest.raises(HostLost):
        operator.execute_complete(context, await_event(trigger))
