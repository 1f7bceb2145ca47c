# SPDX-License-Identifier: Apache-2.0
"""One pass over a disk: opens the connections, runs the workers, writes the proof."""

from __future__ import annotations

import itertools
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

from vmferry.engine.endpoint import Endpoint
from vmferry.engine.endpoints.null import NullTarget
from vmferry.engine.errors import BadInput, Cancelled, TargetTooSmall
from vmferry.engine.extents import Extent
from vmferry.engine.journal import Journal
from vmferry.engine.progress import Progress
from vmferry.engine.proof.chain import ProofChain
from vmferry.engine.proof.digests import ProofGroup
from vmferry.engine.proof.writer import compute_root, write_proof
from vmferry.engine.pump.crew import Crew
from vmferry.engine.pump.dispenser import Dispenser
from vmferry.engine.pump.plan import GroupTask, Task, ZeroTask, plan_tasks, total_bytes
from vmferry.engine.pump.result import PLAIN_COPY, CopyOptions, CopyResult
from vmferry.engine.pump.resuming import settle_resume
from vmferry.engine.pump.worker import leaf_bytes
from vmferry.engine.throttle import Throttle
from vmferry.engine.units import LEAF_BYTES, format_bytes


def copy(
    source: Endpoint,
    target: Endpoint,
    *,
    journal: Journal,
    options: CopyOptions = PLAIN_COPY,
    throttle: Throttle | None = None,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
    proof: Path | None = None,
) -> CopyResult:
    """Make the target read as the source does, and give the root of what was read.

    May be called again with the same journal after any failure: groups that were committed are not touched again.
    Neither endpoint is closed.
    """
    started = time.monotonic()
    progress = progress or Progress()
    if target.size < source.size:
        raise TargetTooSmall(
            f"{target.name} has {format_bytes(target.size)}, {source.name} needs {format_bytes(source.size)}"
            f" ({source.size} bytes)",
            fix="give a larger target",
        )
    with ExitStack() as open_things:
        parent = open_things.enter_context(ProofChain(options.parent)) if options.parent else None
        if options.since is not None and parent is None:
            raise BadInput("a copy of changes needs the proofs it stands on", fix="copy in full, or name the parents")
        settle_resume(journal, target, source.size)
        fresh = journal.remember_fresh(target.reads_zero)
        progress.set_total(total_bytes(source.extents(options.since)) if options.since else source.size)
        dispenser = Dispenser(
            _tasks(source, options.since, parent), source.size, journal, progress, skip_zeros=fresh and parent is None
        )
        crew = Crew(source, target, dispenser, journal, throttle or Throttle(), progress, cancel, parent, fresh=fresh)
        crew.run(options.workers)
        if not dispenser.exhausted:
            raise Cancelled(f"the copy of {source.name} was stopped", fix="the same command goes on where it stopped")
        if options.zero_tail and target.size > source.size and not fresh and parent is None:
            _zero_tail(target, source.size)
        root, changed = _prove(journal, source.size, parent, proof)
    progress.finish()
    return crew.result(root, changed, dispenser.resumed_bytes, time.monotonic() - started)


def measure(
    source: Endpoint,
    *,
    workers: int = 4,
    throttle: Throttle | None = None,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
    proof: Path | None = None,
) -> CopyResult:
    """Compute the proof of an endpoint, moving nothing."""
    with tempfile.TemporaryFile(prefix="vmferry-proof-") as scratch:
        journal = Journal.in_file(scratch)
        options = CopyOptions(workers=workers)
        return copy(
            source, NullTarget(source.size), journal=journal, options=options, throttle=throttle, progress=progress,
            cancel=cancel, proof=proof,
        )  # fmt: skip


def journal_header(source: Endpoint, target: Endpoint, options: CopyOptions) -> dict[str, str]:
    """Say between what a copy runs; a resumed one must say the same."""
    header = {"source": source.identity, "target": target.identity, "size": str(source.size)}
    if options.parent:
        with ProofChain(options.parent) as chain:
            header["parent"] = chain.root.hex()
        header["since"] = options.since or ""
    return header


def _tasks(source: Endpoint, since: str | None, parent: ProofChain | None) -> Iterator[Task]:
    if parent is None:
        return plan_tasks(source.extents(), source.size)
    extents = source.extents() if since is None else _grown(source, since, parent.size)
    return _zeros_over(plan_tasks(extents, source.size), parent)


def _grown(source: Endpoint, since: str, old_size: int) -> Iterable[Extent]:
    """Dirty ranges, and everything behind the old end: a grown disk's last old leaf has become longer."""
    if source.size == old_size:
        return source.extents(since)
    seam = old_size // LEAF_BYTES * LEAF_BYTES
    dirty = (e for e in source.extents(since) if e.start < seam)
    clipped = (e if e.end <= seam else e._replace(length=seam - e.start) for e in dirty)
    behind = (e for e in source.extents() if e.end > seam)
    moved = (e if e.start >= seam else Extent(seam, e.end - seam, e.zero) for e in behind)
    return itertools.chain(clipped, moved)


def _zeros_over(tasks: Iterator[Task], parent: ProofChain) -> Iterator[Task]:
    """Long runs of zeros matter only where the parent has data."""
    for task in tasks:
        if isinstance(task, GroupTask):
            yield task
            continue
        yield from _parent_groups(task, parent)


def _parent_groups(task: ZeroTask, parent: ProofChain) -> Iterator[Task]:
    for index, _, _ in parent.digests(task.first):
        if index >= task.first + task.groups:
            return
        group = parent.group(index)
        if group is not None:
            yield GroupTask(index, 0, group.data)


def _zero_tail(target: Endpoint, start: int) -> None:
    connection = target.connect()
    try:
        connection.zero(start, target.size - start)
        connection.flush()
    finally:
        connection.close()


def _prove(journal: Journal, size_bytes: int, parent: ProofChain | None, path: Path | None) -> tuple[str, int]:
    changed = 0

    def counted() -> Iterator[ProofGroup]:
        nonlocal changed
        for group in journal.groups():
            changed += leaf_bytes(group.changed, group.number, size_bytes)
            yield group

    if path is None:
        root = compute_root(size_bytes, counted(), parent)
    else:
        root = write_proof(path, size_bytes, counted(), parent)
    return root.hex(), changed
