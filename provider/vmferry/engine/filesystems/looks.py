# SPDX-License-Identifier: Apache-2.0
"""Our own looks at file systems, and how they weigh beside what a checker said."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from vmferry.engine.filesystems.btrfs import look_at_btrfs
from vmferry.engine.filesystems.fat import look_at_fat
from vmferry.engine.filesystems.findings import Findings
from vmferry.engine.filesystems.ntfs import look_at_ntfs
from vmferry.engine.filesystems.verdict import Verdict
from vmferry.engine.images.reader import ByteReader

LOOKS: Mapping[str, Callable[[ByteReader], Findings]] = {
    "btrfs": look_at_btrfs,
    "ntfs": look_at_ntfs,
    "vfat": look_at_fat,
}


def look(kind: str, reader: ByteReader) -> Findings:
    """Look at a file system ourselves, where its checker leaves things out."""
    return LOOKS[kind](reader) if kind in LOOKS else Findings()


def weigh(found: Findings, verdict: Verdict, meaning: str) -> tuple[Verdict, str]:
    """Put our findings and the checker's verdict together: the worse one counts."""
    if found.incomplete:
        return Verdict.UNKNOWN, found.incomplete
    if found.damage:
        return Verdict.DAMAGED, found.damage[0]
    if verdict is Verdict.DAMAGED:
        return verdict, meaning
    if found.doubts:
        if found.unsettled:
            return Verdict.UNKNOWN, f"{found.doubts[0]}, which its journal may still put right"
        return Verdict.DAMAGED, found.doubts[0]
    return verdict, "; ".join([meaning, *found.notes])
