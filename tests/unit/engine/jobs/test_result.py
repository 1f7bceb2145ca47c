from __future__ import annotations

import errno
import inspect
from dataclasses import dataclass
from pathlib import Path

import pytest

from vmferry.engine import errors
from vmferry.engine.errors import EngineError, JobFailed, NoSpace, Retry
from vmferry.engine.jobs import JobError, JobResult, JobState
from vmferry.engine.jobs import errors as job_errors
from vmferry.engine.jobs.result import to_plain
from vmferry.engine.jobs.state import FORGETTABLE, STARTABLE, TRANSITIONS

KINDS = [
    kind
    for module in (errors, job_errors)
    for _, kind in inspect.getmembers(module, inspect.isclass)
    if issubclass(kind, EngineError) and kind.__module__ == module.__name__
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_comes_back_as_itself(kind: type[EngineError]) -> None:
    back = JobError.from_json(JobError.from_exception(kind("what", fix="how")).to_json()).to_exception()
    assert (type(back), back.what, back.fix, back.retry) == (kind, "what", "how", kind.retry)


def test_an_error_of_no_room_comes_back_as_a_failed_job() -> None:
    back = JobError.from_exception(ZeroDivisionError("by zero")).to_exception()
    assert type(back) is JobFailed
    assert back.what == "ZeroDivisionError: by zero"


def test_a_full_disk_is_no_space_whoever_noticed() -> None:
    told = JobError.from_exception(OSError(errno.ENOSPC, "No space left on device", "/x/journal"))
    assert type(told.to_exception()) is NoSpace
    assert told.retry is Retry.AFTER_CLEANUP
    assert "/x/journal" in told.what


def test_a_result_survives_json() -> None:
    result = JobResult(JobState.FAILED, None, JobError("NoSpace", "full"), 3, "2026-01-01T00:00:00Z", "later")
    assert JobResult.from_json(result.to_json()) == result


@dataclass(frozen=True)
class Verdict:
    state: JobState
    path: Path
    digest: bytes
    parts: tuple[int, ...]


def test_results_of_any_room_become_plain() -> None:
    plain = to_plain({"a": [Verdict(JobState.DONE, Path("/x"), b"\x01\xff", (1, 2))]})
    assert plain == {"a": [{"state": "done", "path": "/x", "digest": "01ff", "parts": [1, 2]}]}


def test_the_table_of_transitions_is_whole() -> None:
    assert set(TRANSITIONS) == set(JobState)
    reached: set[JobState] = {JobState.ABSENT}
    for _ in JobState:
        reached |= {following for state in reached for following in TRANSITIONS[state]}
    assert reached == set(JobState)
    assert JobState.RUNNING not in FORGETTABLE
    assert JobState.DONE not in STARTABLE


def test_the_page_for_operators_has_the_same_table() -> None:
    page = (Path(__file__).parents[4] / "docs" / "jobs.md").read_text()
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    told = {row[0].strip("`"): {word.strip() for word in row[2].split(",")} for row in rows if row[0].strip("`") in
            {state.value for state in JobState}}  # fmt: skip
    assert told == {state.value: {one.value for one in following} for state, following in TRANSITIONS.items()}
