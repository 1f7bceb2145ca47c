# SPDX-License-Identifier: Apache-2.0
"""Looks at what a guest would see, one layer of a chain at a time.

A leaf is read in the backup whose layer holds it: where its proof says that it changed, and where its qcow2 has bytes.
Everywhere else the guest sees the parent's leaf, which is looked at in the parent. So each leaf is read once, and by
induction over the chain every backup's root is proved.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from vmferry.engine.endpoint import Connection, Endpoint
from vmferry.engine.endpoints import open_source
from vmferry.engine.errors import Cancelled, SourceError, SourceLost
from vmferry.engine.extents import Extent
from vmferry.engine.progress import Progress
from vmferry.engine.proof import ProofChain, ProofFile, compute_root
from vmferry.engine.proof.digests import bits, runs
from vmferry.engine.units import GROUP_BYTES, LEAF_BYTES
from vmferry.vault.catalogue import Link
from vmferry.vault.images import image_spec, proof_paths

_WORKERS = 4
_AHEAD = 4
"""Groups that wait per worker: enough to keep it busy, little enough to hold no memory."""
_ZERO_LEAF = bytes(LEAF_BYTES)


class BadLeaves(NamedTuple):
    """A range that does not read as it should."""

    offset: int
    length: int
    message: str


class _Layered(Protocol):
    def allocated_extents(self, depth: int = 1) -> Iterable[Extent]: ...


class _Look(NamedTuple):
    """Leaves of one group to look at."""

    number: int
    mask: int


@dataclass(frozen=True, slots=True)
class _Bench:
    """What the workers share."""

    endpoint: Endpoint
    chain: ProofChain
    size_bytes: int
    progress: Progress
    cancel: threading.Event
    local: threading.local
    connections: list[Connection]


def check_seal(link: Link) -> None:
    """Raise `ProofError` when the layer's proof is not the one that was written: nothing can be compared with it."""
    with ProofFile(link.proof) as proof:
        proof.check_seal()


def recompute_root(links: Sequence[Link]) -> str:
    """Recompute the newest root from its own leaves and its parents' groups, which were recomputed before."""
    paths = proof_paths(links)
    with ExitStack() as open_things:
        own = open_things.enter_context(ProofFile(paths[-1]))
        parent = open_things.enter_context(ProofChain(paths[:-1])) if len(paths) > 1 else None
        return compute_root(own.size, own.groups(), parent).hex()


def check_content(links: Sequence[Link], progress: Progress, cancel: threading.Event) -> Iterator[BadLeaves]:
    """Compare the newest layer's leaves with its proof; ranges that are bad come joined, in ascending order."""
    with ExitStack() as open_things:
        chain = open_things.enter_context(ProofChain(proof_paths(links)))
        endpoint = open_source(image_spec(links))
        open_things.callback(endpoint.close)
        bench = _Bench(endpoint, chain, chain.size, progress, cancel, threading.local(), [])
        open_things.callback(_close_all, bench.connections)
        yield from _joined(_bad_leaves(bench))


def _bad_leaves(bench: _Bench) -> Iterator[BadLeaves]:
    workers = min(_WORKERS, bench.endpoint.max_connections)
    looks = _looks(bench)
    with ThreadPoolExecutor(workers) as pool:
        waiting: list[Future[list[BadLeaves]]] = []
        for look in looks:
            waiting.append(pool.submit(_check_group, bench, look))
            if len(waiting) > workers * _AHEAD:
                yield from waiting.pop(0).result()
        for future in waiting:
            yield from future.result()


def _looks(bench: _Bench) -> Iterator[_Look]:
    """Merge what the proof says has changed with what the image says it has."""
    own = bench.chain.files[-1]
    claimed = ((index, changed) for index, _, changed, _, _ in own.entries())
    both = heapq.merge(claimed, _allocated(bench.endpoint, bench.size_bytes))
    for index, masks in itertools.groupby(both, key=lambda pair: pair[0]):
        mask = 0
        for _, more in masks:
            mask |= more
        yield _Look(index, mask)


def _allocated(endpoint: Endpoint, size_bytes: int) -> Iterator[tuple[int, int]]:
    layered: _Layered = endpoint  # type: ignore[assignment]
    for extent in layered.allocated_extents():
        first, end = extent.start // LEAF_BYTES, -(-min(extent.end, size_bytes) // LEAF_BYTES)
        while first < end:
            group, bit = divmod(first, GROUP_BYTES // LEAF_BYTES)
            count = min(end - first, GROUP_BYTES // LEAF_BYTES - bit)
            yield group, ((1 << count) - 1) << bit
            first += count


def _check_group(bench: _Bench, look: _Look) -> list[BadLeaves]:
    if bench.cancel.is_set():
        raise Cancelled("the verification was stopped", fix="start it again")
    group = bench.chain.group(look.number)
    wanted = dict(zip(bits(group.data), group.leaves, strict=True)) if group else {}
    bad: list[BadLeaves] = []
    for first, count in runs(look.mask):
        offset = look.number * GROUP_BYTES + first * LEAF_BYTES
        length = min(count * LEAF_BYTES, bench.size_bytes - offset)
        bad += _check_run(bench, offset, length, [wanted.get(bit) for bit in range(first, first + count)])
        bench.progress.add(length)
    return bad


def _check_run(bench: _Bench, offset: int, length: int, wanted: Sequence[bytes | None]) -> list[BadLeaves]:
    try:
        data = memoryview(bytearray(length))
        _connection(bench).read_into(offset, data)
    except SourceLost:
        raise
    except SourceError as error:
        if len(wanted) == 1:
            return [BadLeaves(offset, length, f"cannot be read ({error.what})")]
        # The layer cannot give the run in one piece: find out which of its leaves it cannot give.
        steps = range(0, length, LEAF_BYTES)
        pieces = ((at, min(LEAF_BYTES, length - at)) for at in steps)
        return [bad for at, size in pieces for bad in _check_run(bench, offset + at, size, [wanted[at // LEAF_BYTES]])]
    return list(_compare(data, offset, wanted))


def _compare(data: memoryview, offset: int, wanted: Sequence[bytes | None]) -> Iterator[BadLeaves]:
    for number, digest in enumerate(wanted):
        leaf = data[number * LEAF_BYTES : (number + 1) * LEAF_BYTES]
        right = leaf == _ZERO_LEAF[: len(leaf)] if digest is None else hashlib.sha256(leaf).digest() == digest
        if not right:
            yield BadLeaves(offset + number * LEAF_BYTES, len(leaf), "is not what was read from the source")


def _connection(bench: _Bench) -> Connection:
    connection: Connection | None = getattr(bench.local, "connection", None)
    if connection is None:
        connection = bench.local.connection = bench.endpoint.connect()
        bench.connections.append(connection)
    return connection


def _close_all(connections: Sequence[Connection]) -> None:
    for connection in connections:
        connection.close()


def _joined(bad: Iterable[BadLeaves]) -> Iterator[BadLeaves]:
    last: BadLeaves | None = None
    for one in bad:
        if last is not None and last.offset + last.length == one.offset and last.message == one.message:
            last = last._replace(length=last.length + one.length)
            continue
        if last is not None:
            yield last
        last = one
    if last is not None:
        yield last
