from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse

from vmferry.operators.owner import any_dead_for, is_dead_for, owner_of


def make_context(states: dict[str, str], missing_code: int = 404) -> Any:
    def get_dagrun_state(dag_id: str, run_id: str) -> str:
        if run_id not in states:
            detail = {"status_code": missing_code}
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail=detail))
        return states[run_id]

    return {"ti": SimpleNamespace(dag_id="backup_web01", run_id="now", get_dagrun_state=get_dagrun_state)}


def test_an_owner_is_named_after_dag_and_run() -> None:
    assert owner_of(make_context({})).text == "backup_web01/now"


@pytest.mark.parametrize(
    ("owner", "dead"),
    [
        ("backup_web01/old", True),
        ("backup_web01/other", False),
        ("backup_web01/now", False),
        ("backup_web01/deleted", True),
        ("backup_db/old", False),
        ("cli/somebody@host", False),
    ],
)
def test_only_ended_runs_of_this_dag_are_dead(owner: str, *, dead: bool) -> None:
    context = make_context({"old": "failed", "other": "running", "now": "running"})

    assert is_dead_for(context)(owner) is dead


def test_an_api_server_that_is_away_kills_nobody() -> None:
    judge = is_dead_for(make_context({}, missing_code=503))

    with pytest.raises(AirflowRuntimeError):
        judge("backup_web01/old")


def test_the_janitor_leaves_what_it_cannot_name() -> None:
    judge = any_dead_for(make_context({"old": "success"}), lambda dag_id: dag_id.startswith("backup_"))

    assert judge("backup_db/old")
    assert judge("backup_db/import__disk~1.qcow2__0123456789abcdef0123456789abcdef")
    assert not judge("backup_db/manual__2026~0123456789ab")
    assert not judge("somebody/old")
