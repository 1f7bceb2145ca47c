from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import RetryAction

from vmferry.engine.errors import BadInput, Cancelled, NoSpace, ProofMismatch, SourceLost
from vmferry.operators.retry import FAILURE, EngineRetryPolicy
from vmferry.platforms.errors import LoginRefused, SiteAway, VmBusy
from vmferry.vault import VaultBusy


@pytest.mark.parametrize(
    ("error", "action", "delay"),
    [
        (BadInput("no", fix="x"), RetryAction.FAIL, None),
        (LoginRefused("no"), RetryAction.FAIL, None),
        (ProofMismatch("no"), RetryAction.FAIL, None),
        (SourceLost("away"), RetryAction.RETRY, None),
        (SiteAway("away"), RetryAction.RETRY, None),
        (VmBusy("locked"), RetryAction.RETRY, None),
        (VaultBusy("busy"), RetryAction.RETRY, None),
        (NoSpace("full"), RetryAction.RETRY, timedelta(minutes=30)),
        (Cancelled("the worker is shut down"), RetryAction.DEFAULT, None),
        (ValueError("ours is not"), RetryAction.DEFAULT, None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_each_error_says_itself_whether_trying_again_helps(
    error: Exception, action: RetryAction, delay: timedelta | None
) -> None:
    decision = EngineRetryPolicy().evaluate(error, 1, 3)

    assert (decision.action, decision.retry_delay) == (action, delay)


def test_the_reason_says_what_the_reader_can_do() -> None:
    decision = EngineRetryPolicy().evaluate(BadInput("site x: no user", fix="give one"), 1, 3)

    assert decision.reason == "site x: no user; give one"


def test_what_a_task_said_is_kept_for_the_note_of_its_run(store: Any) -> None:
    policy = EngineRetryPolicy()
    policy.evaluate(BadInput("site x: no user", fix="give one"), 3, 3, {"task_state_store": store})
    assert store[FAILURE] == {"try": 3, "said": "site x: no user; give one"}

    policy.evaluate(ValueError("ours is not"), 4, 3, {"task_state_store": store})
    assert store[FAILURE]["try"] == 3


def test_a_store_that_does_not_answer_changes_no_decision() -> None:
    class Away:
        def set(self, key: str, value: Any) -> None:
            raise ConnectionError("no API server")

    decision = EngineRetryPolicy().evaluate(BadInput("no", fix="x"), 1, 3, {"task_state_store": Away()})
    assert decision.action is RetryAction.FAIL
