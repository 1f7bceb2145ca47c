# SPDX-License-Identifier: Apache-2.0
"""What a check of file systems came to."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from vmferry.engine.filesystems.table import Table


class Verdict(enum.Enum):
    """The state of one file system, or the worst one of a disk."""

    CLEAN = "clean"
    """The checker read it through and found nothing wrong."""
    REPAIRED = "repaired"
    """Something was wrong, was mended, and a second check found nothing."""
    DAMAGED = "damaged"
    """Something is wrong."""
    UNKNOWN = "unknown"
    """Nobody could tell; this never counts as sound."""
    SKIPPED = "skipped"
    """There is nothing to check in it, or nobody wanted a check."""


_FROM_BEST = (Verdict.SKIPPED, Verdict.CLEAN, Verdict.REPAIRED, Verdict.UNKNOWN, Verdict.DAMAGED)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Pick the worst; nothing at all is `unknown`."""
    return max(verdicts, key=_FROM_BEST.index, default=Verdict.UNKNOWN)


@dataclass(frozen=True)
class VolumeVerdict:
    """What was found about one partition or logical volume."""

    where: str
    """`partition 2`, `LV vg/root`, `whole disk`."""
    type: str
    """ext4, xfs, ..., unknown."""
    verdict: Verdict
    meaning: str
    """One line that explains the verdict (and the exit code, if there was one)."""
    tool: str | None = None
    """The command that was run last, without the device."""
    exit_code: int | None = None
    """Its exit code; negative when a signal ended it."""
    output_tail: str = ""
    """The last lines it printed."""
    fix: str = ""
    """What to do next."""

    def to_json(self) -> dict[str, Any]:
        """Turn into plain data."""
        return {**asdict(self), "verdict": self.verdict.value}


@dataclass(frozen=True)
class DiskVerdict:
    """What was found about a disk."""

    table: Table
    items: tuple[VolumeVerdict, ...]
    notes: tuple[str, ...] = ()
    """How it was looked at, e.g. through a temporary copy."""

    @property
    def verdict(self) -> Verdict:
        """The worst of the items; a damaged partition table counts as damage."""
        table = [Verdict.DAMAGED] if self.table.problems else []
        return worst([*table, *(item.verdict for item in self.items)])

    def to_json(self) -> dict[str, Any]:
        """Turn into plain data."""
        return {
            "verdict": self.verdict.value,
            "table": asdict(self.table),
            "items": [item.to_json() for item in self.items],
            "notes": list(self.notes),
        }
