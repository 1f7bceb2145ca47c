from __future__ import annotations

import logging
from typing import Any

from vmferry.operators.progress import KEY, telling


class BrokenStore:
    def set(self, key: str, value: Any) -> None:
        raise ConnectionError("the API server is away")


def test_the_last_state_is_always_told(store: Any) -> None:
    with telling(store, logging.getLogger("test"), "disk vda", vm="web01") as progress:
        progress.set_total(100)
        progress.add(60, zero_bytes=10)

    assert store[KEY]["percent"] == 60.0
    assert store[KEY]["bytes_done"] == 60
    assert store[KEY]["zero_bytes"] == 10
    assert store[KEY]["vm"] == "web01"


def test_how_many_percent_nobody_can_say_before_the_size_is_known(store: Any) -> None:
    with telling(store, logging.getLogger("test"), "disk vda") as progress:
        progress.add(60)

    assert store[KEY]["percent"] is None


def test_a_store_that_is_away_ends_nothing(caplog: Any) -> None:
    with telling(BrokenStore(), logging.getLogger("test"), "disk vda") as progress:
        progress.add(1)

    assert "could not be noted" in caplog.text
