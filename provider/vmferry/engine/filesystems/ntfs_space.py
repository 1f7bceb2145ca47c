# SPDX-License-Identifier: Apache-2.0
"""Which file owns which clusters of an NTFS volume, and whether its cluster bitmap says the same."""

from __future__ import annotations

from vmferry.engine.filesystems.findings import Findings
from vmferry.engine.images.reader import ByteReader

_CHUNK_BITS = 1 << 23


class ClusterUse:
    """Collects the runs of all files."""

    def __init__(self, clusters: int) -> None:
        self._clusters = clusters
        self._runs: list[tuple[int, int, int]] = []

    def add(self, first: int, count: int, record: int) -> None:
        """Note that a file record owns these clusters."""
        self._runs.append((first, count, record))

    def compare(self, bitmap: ByteReader, found: Findings) -> None:
        """Find clusters that two files own, and bits that are set or clear against what the files say."""
        self._runs.sort()
        at = 0
        owner = -1
        for first, count, record in self._runs:
            if first < at:
                found.add_doubt(f"file records {owner} and {record} own the same cluster {first}")
            if first > at:
                self._expect(bitmap, at, first, False, found)
            self._expect(bitmap, first, first + count, True, found)
            if first + count > at:
                at, owner = first + count, record
        self._expect(bitmap, at, self._clusters, False, found)

    def _expect(self, bitmap: ByteReader, first: int, end: int, used: bool, found: Findings) -> None:
        while first < end:
            stop = min(end, first + _CHUNK_BITS)
            if not _all_bits_are(bitmap, first, stop, used):
                state = "owned by a file but marked free" if used else "marked used but no file owns them"
                found.add_doubt(f"clusters between {first} and {stop} are {state}")
                return
            first = stop


def _all_bits_are(bitmap: ByteReader, first: int, end: int, used: bool) -> bool:
    start_byte, end_byte = first >> 3, (end + 7) >> 3
    raw = bitmap.read_at(start_byte, end_byte - start_byte)
    if len(raw) < end_byte - start_byte:
        return False
    value = int.from_bytes(raw, "little") >> (first & 7)
    mask = (1 << (end - first)) - 1
    return (value & mask) == (mask if used else 0)
