"""The throttle's arithmetic, with a clock of its own; that bytes really flow at the rate is the bench's business."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from vmferry.engine import throttle as module
from vmferry.engine.errors import BadInput
from vmferry.engine.throttle import RateWindow, Throttle, parse_windows


class Clock:
    """Time that passes only while somebody waits."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def localtime(self) -> object:
        raise AssertionError("the test gives its own time of day")


class WaitingEvent(threading.Event):
    """An event whose waits only move the clock."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        self.clock.now += timeout or 0
        return False


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_ten_seconds_worth_of_bytes_take_ten_seconds(clock: Clock) -> None:
    throttle, never = Throttle(1000), WaitingEvent(clock)
    for _ in range(100):
        throttle.take(100, never)
    assert clock.now - 100 == pytest.approx(10, abs=0.5)


def test_no_rate_means_no_waiting(clock: Clock) -> None:
    Throttle(None).take(1 << 40, WaitingEvent(clock))
    assert clock.now == 100


def test_a_new_rate_in_the_control_file_holds_within_a_second(clock: Clock, tmp_path: Path) -> None:
    control = tmp_path / "control"
    control.write_text(json.dumps({"bytes_per_s": 10}))
    throttle, never = Throttle(None, control=control), WaitingEvent(clock)
    throttle.take(100, never)
    assert clock.now - 100 == pytest.approx(10, abs=0.5)
    (tmp_path / "new").write_text(json.dumps({"bytes_per_s": None}))
    (tmp_path / "new").replace(control)
    then = clock.now
    clock.now += 1
    throttle.take(1 << 30, never)
    assert clock.now == then + 1


@pytest.mark.parametrize(
    "text",
    [
        '{"bytes_per',
        '{"bytes_per_s": []}',
        '{"bytes_per_s": -1}',
        '{"bytes_per_s": 9, "windows": 5}',
        '{"bytes_per_s": 9, "windows": [{"from": "08:00"}]}',
    ],
    ids=["torn", "list", "negative", "number-for-windows", "half-a-window"],
)
def test_half_a_control_file_leaves_the_last_good_rate(clock: Clock, tmp_path: Path, text: str) -> None:
    control = tmp_path / "control"
    control.write_text(json.dumps({"bytes_per_s": 7}))
    throttle = Throttle(control=control)
    assert throttle.rate() == 7
    control.write_text(text)
    clock.now += 1
    assert throttle.rate() == 7


@pytest.mark.parametrize(
    ("minute", "rate"),
    [(7 * 60 + 59, 99), (8 * 60, 5), (17 * 60 + 59, 5), (18 * 60, 99), (23 * 60, None), (3 * 60, None), (6 * 60, 99)],
    ids=["before", "first-minute", "last-minute", "after", "night", "after-midnight", "morning"],
)
def test_the_window_that_holds_beats_the_plain_rate(minute: int, rate: int | None) -> None:
    windows = parse_windows(
        [{"from": "08:00", "to": "18:00", "bytes_per_s": 5}, {"from": "22:00", "to": "06:00", "bytes_per_s": 0}]
    )
    assert Throttle(99, windows=windows, minute_of_day=lambda: minute).rate() == rate


@pytest.mark.parametrize(
    ("window", "words"),
    [
        ({"from": "8 am", "to": "18:00"}, "'8 am' is not a time of day"),
        ({"from": "08:00", "to": "24:01"}, "'24:01' is not a time of day"),
        ({"from": "08:00", "to": "08:00"}, "has no length"),
        ({"from": "08:00", "to": "09:00", "bytes_per_s": -5}, "-5 bytes a second"),
    ],
    ids=["words", "after-midnight", "empty", "negative"],
)
def test_a_window_that_is_none_is_named(window: dict[str, object], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        parse_windows([window])


def test_a_window_over_midnight() -> None:
    window = RateWindow(22 * 60, 6 * 60, None)
    assert [window.holds(m) for m in (22 * 60, 0, 5 * 60 + 59, 6 * 60, 12 * 60)] == [True, True, True, False, False]
