# SPDX-License-Identifier: Apache-2.0
"""Shows how far a job is: a bar with rate and time left on a terminal, a plain line every ten seconds elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from vmferry.engine.progress import Status

_REDRAW_S = 0.25
_LINE_S = 10.0
_WIDTH = 28


def read_status(progress: Mapping[str, Any] | None) -> Status | None:
    """Turn a job's progress.json into a status; None when there is none yet."""
    if not progress:
        return None
    return Status(
        int(progress["bytes_done"]),
        progress.get("bytes_total"),
        int(progress.get("zero_bytes") or 0),
        float(progress.get("rate") or 0),
        progress.get("eta_s"),
    )


class ProgressBar:
    """Draws on standard error while the block runs; asks `read` for the state."""

    def __init__(self, read: Callable[[], Status | None], label: str) -> None:
        self._read = read
        self._label = label
        self._is_terminal = sys.stderr.isatty()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress-bar", daemon=True)

    def __enter__(self) -> ProgressBar:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        if self._is_terminal:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()

    def _run(self) -> None:
        last_line = time.monotonic()
        while not self._stop.wait(_REDRAW_S):
            if not self._is_terminal and time.monotonic() - last_line < _LINE_S:
                continue
            status = self._read()
            if status is None:
                continue
            last_line = time.monotonic()
            sys.stderr.write(
                f"\r\033[K{draw(self._label, status)}" if self._is_terminal else f"{self._label}: {status.line()}\n"
            )
            sys.stderr.flush()


def draw(label: str, status: Status) -> str:
    """Draw a bar with rate and time left."""
    if not status.bytes_total:
        return f"{label} {status.line()}"
    filled = min(_WIDTH, _WIDTH * status.bytes_done // status.bytes_total)
    return f"{label} [{'#' * filled}{'.' * (_WIDTH - filled)}] {status.line()}"
