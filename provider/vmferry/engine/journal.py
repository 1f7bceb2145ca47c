# SPDX-License-Identifier: Apache-2.0
"""The journal of a copy: which groups of the disk are done, and their digests.

One file: a JSON line that says between what the copy runs, then records, each with its own CRC. A commit record says
that everything before it survived a flush of the target; what stands behind the last commit is dropped on opening, so a
torn tail costs work but never truth. The records are also what the proof is made from.
"""

from __future__ import annotations

import heapq
import json
import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple

from vmferry.engine.errors import JournalMismatch
from vmferry.engine.proof.digests import DIGEST_BYTES, ProofGroup, count_bits

_FRAME = struct.Struct("<BII")  # kind, payload length, CRC-32 of kind and payload
_GROUP = struct.Struct("<QQQ")  # index, changed, data
_ZEROS = struct.Struct("<QQ")  # first group, how many
_KIND_GROUP, _KIND_ZEROS, _KIND_COMMIT, _KIND_RUN, _KIND_FRESH = b"GZCRF"
_KINDS = (_KIND_GROUP, _KIND_ZEROS, _KIND_COMMIT, _KIND_RUN, _KIND_FRESH)
_LONGEST = _GROUP.size + 64 * DIGEST_BYTES

SORT_WINDOW_GROUPS = 4096
"""Workers finish out of order, but never further apart than this (the pump sees to it): sorting takes a small heap."""


class ZeroRun(NamedTuple):
    """Whole groups that were made to read as zeros."""

    first: int
    groups: int


class Journal:
    """The journal of one copy, open for going on. One process at a time (the job's lock sees to it)."""

    def __init__(self, file: BinaryIO, path: Path | None, *, durable: bool) -> None:
        self._file = file
        self._path = path
        self._durable = durable
        self._done = bytearray()
        self._runs: list[int] = []
        self._fresh = False
        self._is_new = True
        self._start = 0
        self.header: Mapping[str, str] = {}
        """What the journal is about."""
        self.committed_groups = 0

    @classmethod
    def open(cls, path: Path | str, header: Mapping[str, str]) -> Journal:
        """Create the journal, or go on with it; raises `JournalMismatch` when it is about something else."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "a+b")  # noqa: SIM115, PTH123 - kept open for the life of the journal
        journal = cls(file, path, durable=True)
        try:
            journal._begin(dict(header))
        except BaseException:
            file.close()
            raise
        return journal

    @classmethod
    def in_file(cls, file: BinaryIO) -> Journal:
        """Use an open scratch file: for work that is not resumed."""
        journal = cls(file, None, durable=False)
        journal._begin({})
        return journal

    def remember_fresh(self, reads_zero: bool) -> bool:
        """Keep, from the first run on, whether the target read as zeros before anything was written to it.

        Only this copy writes to the target, so what was not written yet still reads as zeros in a resumed run.
        """
        if self._is_new and reads_zero:
            self._fresh = True
            self._append(_frame(_KIND_FRESH, b"") + _frame(_KIND_COMMIT, b""))
        self._is_new = False
        return self._fresh or reads_zero

    def is_done(self, group: int) -> bool:
        """Tell whether the group was committed."""
        byte = group >> 3
        return byte < len(self._done) and bool(self._done[byte] >> (group & 7) & 1)

    def commit(self, records: Iterable[ProofGroup | ZeroRun]) -> None:
        """Append records whose bytes have been flushed on the target; durable when this returns."""
        out = bytearray()
        for record in records:
            out += _pack(record)
            self._mark(record)
        out += _frame(_KIND_COMMIT, b"")
        self._append(bytes(out))

    def restart(self) -> None:
        """Forget all that was done: the target is not the one it was."""
        self._file.truncate(self._start)
        self._done.clear()
        self._runs.clear()
        self._fresh, self._is_new = False, True
        self.committed_groups = 0
        self._begin_run()

    def records(self) -> Iterator[ProofGroup | ZeroRun]:
        """Stream what was committed, in the order it was written down."""
        for kind, payload, _ in _frames(_Window(self._file.fileno()), self._start):
            if kind in (_KIND_GROUP, _KIND_ZEROS):
                yield _unpack(kind, payload)

    def groups(self) -> Iterator[ProofGroup]:
        """Stream every committed group in ascending order (zero runs are not groups: they carry no digests)."""
        ends = [*self._runs[1:], None]
        return heapq.merge(*(self._sorted_run(start, end) for start, end in zip(self._runs, ends)))

    def close(self) -> None:
        """Close the file. May be called twice."""
        self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _append(self, frames: bytes) -> None:
        self._file.seek(0, os.SEEK_END)
        self._file.write(frames)
        self._file.flush()
        if self._durable:
            os.fdatasync(self._file.fileno())

    def _begin(self, header: dict[str, str]) -> None:
        self.header = header
        self._file.seek(0)
        line = self._file.readline()
        if not line.endswith(b"\n"):
            line = json.dumps(header, sort_keys=True).encode() + b"\n"
            self._file.truncate(0)
            self._file.write(line)
            self._file.flush()
        else:
            _compare_headers(json.loads(line), header, self._path)
        self._start = len(line)
        self._replay(self._start)
        self._is_new = not self._runs
        self._begin_run()

    def _begin_run(self) -> None:
        self._runs.append(self._file.seek(0, os.SEEK_END))
        self._file.write(_frame(_KIND_RUN, b""))
        self._file.flush()

    def _replay(self, start: int) -> None:
        committed = position = start
        waiting: list[ProofGroup | ZeroRun] = []
        for kind, payload, end in _frames(self._file, start):
            if kind == _KIND_RUN:
                self._runs.append(position)
            elif kind == _KIND_FRESH:
                self._fresh = True
            elif kind == _KIND_COMMIT:
                committed = end
                for record in waiting:
                    self._mark(record)
                waiting.clear()
            else:
                waiting.append(_unpack(kind, payload))
            position = end
        self._runs = [run for run in self._runs if run < committed]
        self._file.truncate(committed)

    def _mark(self, record: ProofGroup | ZeroRun) -> None:
        first, count = (record.first, record.groups) if isinstance(record, ZeroRun) else (record.number, 1)
        needed = (first + count + 7) // 8
        if needed > len(self._done):
            self._done.extend(bytes(max(needed - len(self._done), len(self._done) // 4)))
        for group in range(first, first + count):
            self._done[group >> 3] |= 1 << (group & 7)
        self.committed_groups += count

    def _sorted_run(self, start: int, end: int | None) -> Iterator[ProofGroup]:
        heap: list[ProofGroup] = []
        for kind, payload, position in _frames(_Window(self._file.fileno()), start):
            if end is not None and position > end:
                break
            if kind == _KIND_GROUP:
                heapq.heappush(heap, _unpack_group(payload))
                if len(heap) > SORT_WINDOW_GROUPS:
                    yield heapq.heappop(heap)
        while heap:
            yield heapq.heappop(heap)


class _Window:
    """Reads a file by position, so that several streams can share one descriptor."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._position = 0

    def seek(self, position: int) -> int:
        self._position = position
        return position

    def read(self, count: int) -> bytes:
        data = os.pread(self._fd, count, self._position)
        self._position += len(data)
        return data


def _compare_headers(found: Mapping[str, str], wanted: Mapping[str, str], path: Path | None) -> None:
    for key in sorted(set(found) | set(wanted)):
        if found.get(key) != wanted.get(key):
            raise JournalMismatch(
                f"the interrupted copy in {path} had {key} {found.get(key)!r}, now it is {wanted.get(key)!r}",
                fix=f"remove {path} to begin again, or give back what it was",
            )


def _frame(kind: int, payload: bytes) -> bytes:
    return _FRAME.pack(kind, len(payload), zlib.crc32(payload, kind)) + payload


def _pack(record: ProofGroup | ZeroRun) -> bytes:
    if isinstance(record, ZeroRun):
        return _frame(_KIND_ZEROS, _ZEROS.pack(*record))
    return _frame(_KIND_GROUP, _GROUP.pack(record.number, record.changed, record.data) + b"".join(record.leaves))


def _unpack(kind: int, payload: bytes) -> ProofGroup | ZeroRun:
    return _unpack_group(payload) if kind == _KIND_GROUP else ZeroRun(*_ZEROS.unpack(payload))


def _unpack_group(payload: bytes) -> ProofGroup:
    index, changed, data = _GROUP.unpack_from(payload)
    leaves = payload[_GROUP.size :]
    return ProofGroup(
        index, changed, data, b"", tuple(leaves[i : i + DIGEST_BYTES] for i in range(0, len(leaves), DIGEST_BYTES))
    )


def _is_sound(kind: int, payload: bytes) -> bool:
    if kind == _KIND_GROUP:
        if len(payload) < _GROUP.size:
            return False
        _, _, data = _GROUP.unpack_from(payload)
        return len(payload) == _GROUP.size + count_bits(data) * DIGEST_BYTES
    return len(payload) == (_ZEROS.size if kind == _KIND_ZEROS else 0)


def _frames(file: BinaryIO | _Window, start: int) -> Iterator[tuple[int, bytes, int]]:
    """Yield (kind, payload, end offset) until the end or the first frame that is torn."""
    position = file.seek(start)
    while True:
        head = file.read(_FRAME.size)
        if len(head) < _FRAME.size:
            return
        kind, length, crc = _FRAME.unpack(head)
        if kind not in _KINDS or length > _LONGEST:
            return
        payload = file.read(length)
        if len(payload) < length or zlib.crc32(payload, kind) != crc or not _is_sound(kind, payload):
            return
        position += _FRAME.size + length
        yield kind, payload, position
