# SPDX-License-Identifier: Apache-2.0
"""A partition table as plain data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Partition:
    """One partition: where it lies and what its type says should be in it."""

    number: int
    """As Linux counts it; logical MBR partitions begin with 5."""
    start: int
    """Offset in bytes."""
    length: int
    """Size in bytes."""
    type_id: str
    """GPT type GUID in upper case, or MBR type as two hex digits."""
    name: str = ""
    """GPT partition name."""

    @property
    def end(self) -> int:
        """Offset behind the last byte."""
        return self.start + self.length


@dataclass(frozen=True)
class Table:
    """The partition table of a disk."""

    kind: str
    """gpt, mbr or none."""
    partitions: tuple[Partition, ...] = ()
    """In the order of their numbers."""
    sector_bytes: int = 512
    """Unit in which the table counts."""
    problems: tuple[str, ...] = ()
    """What is damaged: never empty for a table that should not pass."""
    notes: tuple[str, ...] = ()
    """What is odd but harmless."""


def find_misfits(partitions: tuple[Partition, ...], size_bytes: int) -> tuple[str, ...]:
    """Name partitions that overlap each other or lie behind the end of the disk."""
    problems = []
    last: Partition | None = None
    for partition in sorted(partitions, key=lambda one: one.start):
        if partition.end > size_bytes:
            problems.append(f"partition {partition.number} lies behind the end of the disk")
        if last is not None and partition.start < last.end:
            problems.append(f"partitions {last.number} and {partition.number} overlap")
        last = partition if last is None or partition.end > last.end else last
    return tuple(problems)
