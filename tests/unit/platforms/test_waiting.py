"""The one waiter, with a clock of its own."""

from collections.abc import Iterable

import pytest

from vmferry.platforms.errors import BadState, PointFailed, WaitedTooLong
from vmferry.platforms.waiting import GONE, Outcome, Patience, table, wait_for

DISK = table("disk", ok="ok", wait="locked", fail="illegal gone", error=PointFailed)


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def patience(self, timeout_s: float, *, grace_s: float = 0.0) -> Patience:
        return Patience(timeout_s, 1.0, grace_s, sleep=self.sleep, clock=lambda: self.now)


def wait(states: Iterable[str], *, timeout_s: float = 60.0, grace_s: float = 0.0) -> str:
    left = iter(states)
    last = ""

    def look() -> str:
        nonlocal last
        last = next(left, last)
        return last

    return wait_for(DISK, look, Clock().patience(timeout_s, grace_s=grace_s), name="VM 'web', disk root")


def test_a_good_state_ends_the_wait() -> None:
    assert wait(["locked", "locked", "ok"]) == "ok"


@pytest.mark.parametrize("state", ["illegal", GONE])
def test_a_bad_end_fails_at_once_with_the_tables_error(state: str) -> None:
    with pytest.raises(PointFailed, match=f"VM 'web', disk root: the disk ended as '{state}'") as caught:
        wait(["locked", state], timeout_s=1e9)
    assert caught.value.state == state
    assert isinstance(caught.value, BadState)


def test_a_bad_state_may_be_the_old_one_for_a_moment() -> None:
    assert wait(["illegal", "illegal", "locked", "ok"], grace_s=5) == "ok"
    with pytest.raises(PointFailed):
        wait(["illegal"], grace_s=5)


@pytest.mark.parametrize("state", ["locked", "a state of 2030"])
def test_what_takes_too_long_is_named_with_its_state(state: str) -> None:
    with pytest.raises(WaitedTooLong, match=f"still '{state}' after 60 s"):
        wait([state])


def test_a_table_judges_every_word_it_has() -> None:
    assert [DISK.judge(state) for state in ("ok", "locked", "illegal", "new")] == [
        Outcome.OK,
        Outcome.WAIT,
        Outcome.FAIL,
        Outcome.WAIT,
    ]
