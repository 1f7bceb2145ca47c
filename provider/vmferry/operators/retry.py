# SPDX-License-Identifier: Apache-2.0
"""The one place where our errors' `retry` becomes Airflow's decision about the next try.

Every failure of a task comes through here with its error, so what it said is noted here too: a run that fails shows it.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from airflow.sdk import RetryPolicy
from airflow.sdk.definitions.retry_policy import RetryDecision

from vmferry.engine.errors import Cancelled, EngineError, Retry

FAILURE = "failure"
"""Key in the task state store: ``{"try": number, "said": text}`` of the error that ended the last try."""
_LONGEST_SAID = 2000
_ROOM_MADE = timedelta(minutes=30)
_log = logging.getLogger(__name__)


class EngineRetryPolicy(RetryPolicy):
    """Never again what a person has to change first; later what may work by itself; much later what needs room.

    Errors that are not ours get Airflow's ordinary treatment.
    """

    def __init__(self, *, after_cleanup: timedelta = _ROOM_MADE) -> None:
        self._after_cleanup = after_cleanup

    def evaluate(self, exception: BaseException, try_number: int, max_tries: int, context: Any = None) -> RetryDecision:
        """Decide; runs on the worker, with the error itself."""
        if not isinstance(exception, EngineError) or isinstance(exception, Cancelled):
            # Cancelled is what a task says that was told to end: a person's word has set its state already, and a
            # worker that is shut down wants it to go on elsewhere.
            return RetryDecision.default()
        _note(context, try_number, exception)
        if exception.retry is Retry.NEVER:
            return RetryDecision.fail(reason=str(exception))
        delay = self._after_cleanup if exception.retry is Retry.AFTER_CLEANUP else None
        return RetryDecision.retry(delay=delay, reason=str(exception))

    def serialize(self) -> dict[str, Any]:
        """Give what `deserialize` reads."""
        return {"after_cleanup_s": self._after_cleanup.total_seconds()}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> EngineRetryPolicy:
        """Make a policy from what `serialize` gave."""
        return cls(after_cleanup=timedelta(seconds=data["after_cleanup_s"]))


def _note(context: Any, try_number: int, failure: EngineError) -> None:
    try:
        store = (context or {}).get("task_state_store")
        if store is not None:
            store.set(FAILURE, {"try": try_number, "said": str(failure)[:_LONGEST_SAID]})
    except Exception:  # noqa: BLE001 - what only informs must not change what is decided
        _log.warning("the failure could not be noted", exc_info=True)
