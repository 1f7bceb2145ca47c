# SPDX-License-Identifier: Apache-2.0
"""Hands tasks to the workers in order, skips what is done, and keeps the workers close together."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from vmferry.engine.journal import SORT_WINDOW_GROUPS, Journal
from vmferry.engine.progress import Progress
from vmferry.engine.pump.plan import GroupTask, Task, ZeroTask
from vmferry.engine.pump.worker import split_zeros
from vmferry.engine.units import GROUP_BYTES

_ZERO_PIECE_GROUPS = 256
"""1 GiB: long enough to be quick, short enough to show progress and to be cancelled."""


class Dispenser:
    """The tasks of one pass; used by all workers."""

    def __init__(
        self, tasks: Iterator[Task], size_bytes: int, journal: Journal, progress: Progress, *, skip_zeros: bool
    ) -> None:
        self._tasks = self._pieces(tasks)
        self._size_bytes = size_bytes
        self._journal = journal
        self._progress = progress
        self._skip_zeros = skip_zeros
        self._changed = threading.Condition()
        self._in_flight: set[int] = set()
        self.resumed_bytes = 0
        self.exhausted = False

    def take(self, stop: threading.Event) -> Task | None:
        """Give the next task, or None when there is none left."""
        with self._changed:
            task = next(self._tasks, None)
            if task is None:
                self.exhausted = True
                return None
            first = _first_group(task)
            # Waiting for a straggler keeps the journal's order within the window its reader sorts in.
            while self._in_flight and first - min(self._in_flight) >= SORT_WINDOW_GROUPS and not stop.is_set():
                self._changed.wait(0.2)
            self._in_flight.add(first)
            return task

    def done(self, task: Task) -> None:
        """Say that a task was handed in."""
        with self._changed:
            self._in_flight.discard(_first_group(task))
            self._changed.notify_all()

    def span_bytes(self, first: int, count: int) -> int:
        """Bytes of the disk in these groups; the last group may be short."""
        return min((first + count) * GROUP_BYTES, self._size_bytes) - first * GROUP_BYTES

    def _pieces(self, tasks: Iterator[Task]) -> Iterator[Task]:
        for task in tasks:
            if isinstance(task, ZeroTask):
                yield from self._zero_pieces(task)
            elif self._journal.is_done(task.number):
                self._resume(task.number, 1)
            else:
                yield task

    def _zero_pieces(self, task: ZeroTask) -> Iterator[Task]:
        if self._skip_zeros:
            span = self.span_bytes(task.first, task.groups)
            self._progress.add(span, zero_bytes=span)
            return
        for first, count in split_zeros(task.first, task.groups, _ZERO_PIECE_GROUPS):
            if all(self._journal.is_done(group) for group in range(first, first + count)):
                self._resume(first, count)
            else:
                yield ZeroTask(first, count)

    def _resume(self, first: int, count: int) -> None:
        span = self.span_bytes(first, count)
        self.resumed_bytes += span
        self._progress.add(span)


def _first_group(task: Task) -> int:
    return task.number if isinstance(task, GroupTask) else task.first
