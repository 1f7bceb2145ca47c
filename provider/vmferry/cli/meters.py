# SPDX-License-Identifier: Apache-2.0
"""One progress bar a disk, for commands that move several disks at once, each through several stages."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from vmferry.cli.bar import draw
from vmferry.engine.progress import Progress

if TYPE_CHECKING:
    from vmferry.engine.throttle import Throttle

_REDRAW_S = 0.25
_LINE_S = 10.0


class DiskBars:
    """Draws on standard error while the block runs. A disk that is asked for again is at its next stage."""

    def __init__(self, stages: tuple[str, ...], *, throttle: Throttle | None = None) -> None:
        self.cancel = threading.Event()
        self._stages = stages
        self._throttle = throttle
        self._lock = threading.Lock()
        self._at: dict[str, tuple[str, Progress]] = {}
        self._seen: dict[str, int] = {}
        self._is_terminal = sys.stderr.isatty()
        self._drawn = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="disk-bars", daemon=True)

    def pace(self, disk: str) -> Any:
        """Give a disk's pace at its next stage, with a progress of its own."""
        from vmferry.vault.adding import Pace

        progress = Progress()
        with self._lock:
            number = self._seen.get(disk, 0)
            self._seen[disk] = number + 1
            self._at[disk] = (f"{disk} {self._stages[min(number, len(self._stages) - 1)]}", progress)
        return Pace(throttle=self._throttle, progress=progress, cancel=self.cancel)

    def __enter__(self) -> DiskBars:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        self._wipe()

    def _run(self) -> None:
        last_line = time.monotonic()
        while not self._stop.wait(_REDRAW_S):
            if not self._is_terminal and time.monotonic() - last_line < _LINE_S:
                continue
            last_line = time.monotonic()
            with self._lock:
                at = list(self._at.values())
            self._wipe()
            for label, progress in at:
                status = progress.status()
                sys.stderr.write(f"{draw(label, status) if self._is_terminal else f'{label}: {status.line()}'}\n")
            self._drawn = len(at)
            sys.stderr.flush()

    def _wipe(self) -> None:
        if self._is_terminal and self._drawn:
            sys.stderr.write("\033[A\r\033[K" * self._drawn)
            sys.stderr.flush()
        self._drawn = 0
