"""Which error an answer of the engine becomes, and what a scheduler does about it."""

import ovirtsdk4 as sdk
import pytest
from ovirtsdk4 import types

from vmferry.engine.errors import EngineError, Retry
from vmferry.platforms.errors import Conflict, NotPermitted, NotThere, OutcomeUnknown, Refused, SiteAway
from vmferry.platforms.ovirt.faults import translate

CASES: list[tuple[int | None, type[EngineError], Retry]] = [
    (400, Refused, Retry.NEVER),
    (401, NotPermitted, Retry.NEVER),
    (403, NotPermitted, Retry.NEVER),
    (404, NotThere, Retry.NEVER),
    (409, Conflict, Retry.BACKOFF),
    (429, SiteAway, Retry.BACKOFF),
    (500, SiteAway, Retry.BACKOFF),
    (503, SiteAway, Retry.BACKOFF),
    (None, SiteAway, Retry.BACKOFF),
]


@pytest.mark.parametrize(("code", "kind", "retry"), CASES, ids=[str(case[0]) for case in CASES])
def test_the_status_decides(code: int | None, kind: type[EngineError], retry: Retry) -> None:
    error = sdk.Error("HTTP response code is whatever.\nSecond line", code)
    error.fault = types.Fault(reason="Operation Failed", detail="[Disk web_root is locked.]") if code else None
    made = translate(error, "VM 'web': starting a backup")
    assert type(made) is kind
    assert made.retry is retry
    assert made.what.startswith("VM 'web': starting a backup: ")
    assert ("Disk web_root is locked." in made.what) == (code is not None)
    assert "Second line" not in str(made)
    assert made.fix


def test_a_change_whose_answer_was_lost_is_of_unknown_outcome() -> None:
    made = translate(sdk.Error("Failed to read response"), "making a disk", sent_change=True)
    assert type(made) is OutcomeUnknown
