# SPDX-License-Identifier: Apache-2.0
"""Tells how far a task is: in the task state store, which the console and REST read, and now and then in its log."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from vmferry.engine.progress import Progress

KEY = "progress"
_STORE_EVERY_S = 2.0
_LOG_EVERY_S = 10.0


class Store(Protocol):
    """The part of Airflow's task state store that is used here."""

    def set(self, key: str, value: Any) -> None:
        """Write one value."""


@contextmanager
def telling(store: Store, log: Any, label: str, *, key: str = KEY, **facts: Any) -> Iterator[Progress]:
    """Give a `Progress` whose state is told until the end of the block, and once more then."""
    teller = _Teller(store, log, label, key, facts)
    teller.start()
    try:
        yield teller.progress
    finally:
        teller.end()


class _Teller(threading.Thread):
    """Writes from a thread of its own: a slow API server must not slow a copy down."""

    def __init__(self, store: Store, log: Any, label: str, key: str, facts: dict[str, Any]) -> None:
        super().__init__(name="progress", daemon=True)
        self.progress = Progress()
        self._store = store
        self._log = log
        self._label = label
        self._key = key
        self._facts = facts
        self._ending = threading.Event()
        self._logged = time.monotonic()

    def run(self) -> None:
        while not self._ending.wait(_STORE_EVERY_S):
            self._tell()

    def end(self) -> None:
        self._ending.set()
        self.join(timeout=30)
        self._tell()

    def _tell(self) -> None:
        status = self.progress.status()
        if time.monotonic() - self._logged >= _LOG_EVERY_S:
            self._logged = time.monotonic()
            self._log.info("%s: %s", self._label, status.line())
        try:
            told = {"percent": percent(status.bytes_done, status.bytes_total), **status.to_json(), **self._facts}
            self._store.set(self._key, {**told, "label": self._label})
        except Exception:  # noqa: BLE001 - what only informs must not end what it informs about
            self._log.warning("%s: the progress could not be noted", self._label, exc_info=True)


def percent(done: int, total: int | None) -> float | None:
    """Give what a person wants to see first; None while nobody knows how much there is."""
    return round(100 * done / total, 1) if total else None
