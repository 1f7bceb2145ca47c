from __future__ import annotations

import random

import pytest

from vmferry.engine.errors import HostLost
from vmferry.hosts.waiting import Outage

LOST = HostLost("host does not answer")


def test_pauses_grow_and_end_with_the_outage_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    clock = [100.0]
    monkeypatch.setattr("vmferry.hosts.waiting.time.monotonic", lambda: clock[0])
    outage = Outage(100)
    pauses: list[float] = []
    while sum(pauses) < 100:
        pauses.append(outage.pause_s(LOST))
        clock[0] += pauses[-1]
    with pytest.raises(HostLost):
        outage.pause_s(LOST)
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 9]


def test_an_answer_begins_the_count_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("vmferry.hosts.waiting.time.monotonic", lambda: clock[0])
    outage = Outage(10)
    outage.pause_s(LOST)
    clock[0] = 9
    outage.over()
    clock[0] = 18
    assert outage.pause_s(LOST) <= 1
