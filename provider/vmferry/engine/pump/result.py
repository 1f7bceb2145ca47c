# SPDX-License-Identifier: Apache-2.0
"""What a pass of the pump is asked, and what it tells afterwards."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Optional


@dataclass(frozen=True)
class CopyOptions:
    """How to copy."""

    workers: int = 4
    """Threads, each with its own connections; never more than the endpoints allow."""
    since: Optional[str] = None
    """Copy only what this dirty bitmap or checkpoint says has changed; needs `parent`."""
    parent: tuple[str, ...] = ()
    """Paths of the proofs the target stands on, oldest first; without `since`, all data is read and compared."""
    zero_tail: bool = True
    """Make what lies behind the image on a larger target read as zeros."""


@dataclass(frozen=True)
class CopyResult:
    """What a finished pass did."""

    size_bytes: int
    """Size of the disk."""
    root: str
    """Root of the disk as it reads now, in hexadecimal."""
    read_bytes: int
    """Read from the source in this run."""
    written_bytes: int
    """Written to the target in this run."""
    zeroed_bytes: int
    """Made to read as zeros on the target in this run."""
    changed_bytes: int
    """Leaves that are not as in the parent, over all runs; for a full copy, leaves with data."""
    resumed_bytes: int
    """Found done by an earlier run."""
    compress_ratio: Optional[float]
    """Packed / raw of a sample; near 1.0 nothing compresses."""
    seconds: float
    """Of this run."""

    @property
    def changed_ratio(self) -> float:
        """The part of the disk that changed."""
        return self.changed_bytes / self.size_bytes if self.size_bytes else 0.0

    def to_json(self) -> dict[str, Any]:
        """Turn into plain data."""
        return {**asdict(self), "changed_ratio": round(self.changed_ratio, 6)}


PLAIN_COPY = CopyOptions()
"""A full copy with four workers."""
