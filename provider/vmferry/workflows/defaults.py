# SPDX-License-Identifier: Apache-2.0
"""What all our DAGs have in common."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk.configuration import conf

from vmferry.operators.choice import NO, YES
from vmferry.operators.retry import EngineRetryPolicy
from vmferry.timetables.policy import PolicyTimetable

START = datetime(2026, 1, 1, tzinfo=UTC)
_LONGEST_DELAY = timedelta(hours=1)
ANSWER_WITHIN = timedelta(hours=20)
"""How long a question waits: unanswered it counts as no, and the next day's run asks again."""


def default_args(placement: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Give retries and place of a DAG's tasks, as the policy says; of DAGs of no VM, as Airflow's configuration says.

    At least two retries: a machine or a triggerer that goes down costs one.
    """
    said = placement or {}
    # Not asked of the configuration where it is said: for thousands of VMs it takes its time.
    retries = said["retries"] if "retries" in said else conf.getint("vmferry", "retries", fallback=2)
    delay_s = (
        said["retry_delay_s"] if "retry_delay_s" in said else conf.getint("vmferry", "retry_delay_s", fallback=300)
    )
    made: dict[str, Any] = {
        "retries": max(2, retries),
        "retry_delay": timedelta(seconds=delay_s),
        "retry_exponential_backoff": True,
        "max_retry_delay": _LONGEST_DELAY,
        "retry_policy": EngineRetryPolicy(),
    }
    return {**made, **{name: said[name] for name in ("queue", "executor") if said.get(name)}}


def yes_or_no(display: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Give the schema of a parameter that is said, or left to the policy.

    Airflow's form shows a boolean as a switch that is either on or off: one cannot see that nothing was said, nor take
    back what was. So it is a list.
    """
    shown = {"null": "as the policy says", "yes": "yes", "no": "no", **(display or {})}
    return {"type": ["null", "string"], "enum": [None, YES, NO], "values_display": shown}


def schedule_of(vm: Mapping[str, Any]) -> PolicyTimetable:
    """Give the timetable of a VM."""
    return PolicyTimetable(vm["schedule"], vm["window"])


def daily(at: str) -> PolicyTimetable:
    """Give the timetable of care that runs once a day; switched on in the afternoon, it begins the next morning."""
    return PolicyTimetable({"days": {"kind": "weekdays", "days": list(range(7))}, "times": [at], "timezone": "UTC"})
