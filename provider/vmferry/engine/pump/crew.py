# SPDX-License-Identifier: Apache-2.0
"""The workers of one pass: threads with their own connections, one error stops them all."""

from __future__ import annotations

import threading
from contextlib import ExitStack, closing

from vmferry.engine.endpoint import Connection, Endpoint
from vmferry.engine.errors import SourceChanged, TargetLost
from vmferry.engine.journal import Journal, ZeroRun
from vmferry.engine.progress import Progress
from vmferry.engine.proof.chain import ProofChain
from vmferry.engine.pump.commits import Commits
from vmferry.engine.pump.dispenser import Dispenser
from vmferry.engine.pump.plan import GroupTask, ZeroTask
from vmferry.engine.pump.result import CopyResult
from vmferry.engine.pump.worker import GroupMover, leaf_bytes, task_bytes
from vmferry.engine.statistics import CompressionSample
from vmferry.engine.throttle import Throttle
from vmferry.engine.units import GROUP_BYTES, LEAF_BYTES


class Crew:
    """Runs the workers of one pass and adds up what they did."""

    def __init__(
        self,
        source: Endpoint,
        target: Endpoint,
        dispenser: Dispenser,
        journal: Journal,
        throttle: Throttle,
        progress: Progress,
        cancel: threading.Event | None,
        parent: ProofChain | None,
        *,
        fresh: bool,
    ) -> None:
        self._source = source
        self._target = target
        self._dispenser = dispenser
        self._commits = Commits(journal)
        self._header = journal.header
        self._throttle = throttle
        self._progress = progress
        self._cancel = cancel or threading.Event()
        self._parent = parent
        self._fresh = fresh
        self._movers: list[GroupMover] = []
        self._zeroed_bytes = 0
        self._errors: list[BaseException] = []
        self._stop = threading.Event()
        self._lock = threading.Lock()

    def run(self, workers: int) -> None:
        """Work until nothing is left, somebody cancels, or a worker fails (its error is raised here).

        Bytes of a source that was written to meanwhile are of no moment, a target without a name is of no use.
        Meanwhile begins with the journal: what was asked of the source before the first worker counts too.
        """
        before = (
            self._header.get("source", self._source.identity),
            self._header.get("target", self._target.identity),
        )
        count = max(1, min(workers, self._source.max_connections, self._target.max_connections))
        threads = [threading.Thread(target=self._work, name=f"pump-{n}", daemon=True) for n in range(count)]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                while thread.is_alive():
                    thread.join(0.5)
                    if self._cancel.is_set():
                        self._stop.set()
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()
        if self._errors:
            raise self._errors[0]
        self._require_same(*before)

    def _require_same(self, source: str, target: str) -> None:
        if self._source.identity != source:
            what = f"{self._source.name} was changed while it was read"
            raise SourceChanged(what, fix="stop what writes to it, or read from a snapshot; then copy it again")
        if self._target.identity != target:
            raise TargetLost(f"{self._target.name} was removed while it was written", fix="copy it again")

    def result(self, root: str, changed_bytes: int, resumed_bytes: int, seconds: float) -> CopyResult:
        """Add up the workers' counts."""
        sample = CompressionSample()
        for mover in self._movers:
            sample.add(mover.sample)
        return CopyResult(
            size_bytes=self._source.size,
            root=root,
            read_bytes=sum(mover.read_bytes for mover in self._movers),
            written_bytes=sum(mover.written_bytes for mover in self._movers),
            zeroed_bytes=self._zeroed_bytes + sum(mover.zeroed_bytes for mover in self._movers),
            changed_bytes=changed_bytes,
            resumed_bytes=resumed_bytes,
            compress_ratio=sample.ratio(),
            seconds=round(seconds, 3),
        )

    def _work(self) -> None:
        try:
            with ExitStack() as connections:
                source = connections.enter_context(closing(self._source.connect()))
                target = connections.enter_context(closing(self._target.connect()))
                mover = GroupMover(source, target, self._source.size, self._parent, reads_zero=self._fresh)
                self._movers.append(mover)
                self._drain(mover, target)
                self._commits.flush(target)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that called run()
            self._errors.append(error)
            self._stop.set()

    def _drain(self, mover: GroupMover, target: Connection) -> None:
        while not self._stop.is_set() and not self._cancel.is_set():
            task = self._dispenser.take(self._stop)
            if task is None:
                return
            if isinstance(task, GroupTask):
                self._do_group(task, mover, target)
            else:
                self._do_zeros(task, target)

    def _do_group(self, task: GroupTask, mover: GroupMover, target: Connection) -> None:
        weight = task_bytes(task.read, task.zero)
        read_bytes = leaf_bytes(task.read, task.number, self._source.size)
        self._throttle.take(read_bytes, self._stop)
        self._commits.begin(weight, target, self._stop)
        record, touched = mover.move(task.number, task.read, task.zero)
        self._commits.finish(weight, record, target, touched=touched)
        self._dispenser.done(task)
        zero_bytes = leaf_bytes(task.zero, task.number, self._source.size)
        self._progress.add(read_bytes + zero_bytes, zero_bytes=zero_bytes)

    def _do_zeros(self, task: ZeroTask, target: Connection) -> None:
        span = self._dispenser.span_bytes(task.first, task.groups)
        self._commits.begin(LEAF_BYTES, target, self._stop)
        target.zero(task.first * GROUP_BYTES, span)
        self._commits.finish(LEAF_BYTES, ZeroRun(task.first, task.groups), target, touched=True)
        self._dispenser.done(task)
        with self._lock:
            self._zeroed_bytes += span
        self._progress.add(span, zero_bytes=span)
