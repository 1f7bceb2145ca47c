# SPDX-License-Identifier: Apache-2.0
"""Look again at a file system that was copied while in use.

A checker that only reads does not replay the journal, and then calls damaged what the next mount would have put right.
So the journal is replayed on a temporary copy, and the copy is checked. XFS replays only by a mount, which we do not do
with a disk that somebody else made.
"""

from __future__ import annotations

import os

from vmferry.engine.filesystems.checkers import CHECKERS, judge
from vmferry.engine.filesystems.detect import FAMILY_EXT
from vmferry.engine.filesystems.exposure import Disk, expose_copy
from vmferry.engine.filesystems.fat import dirty_flag_offset
from vmferry.engine.filesystems.programs import Run, run_program
from vmferry.engine.filesystems.verdict import Verdict
from vmferry.engine.filesystems.volumes import RunsReader, Volume

_NEEDS_RECOVERY = 0x4


def is_unsettled(disk: Disk, volume: Volume) -> bool:
    """Tell whether a journal (ext3, ext4) waits to be replayed or a FAT was not unmounted."""
    inside = RunsReader(disk.reader, volume)
    if volume.type in FAMILY_EXT:
        return bool(int.from_bytes(inside.read_at(0x400 + 0x60, 4), "little") & _NEEDS_RECOVERY)
    return volume.type == "vfat" and dirty_flag_offset(inside) is not None


def check_settled(disk: Disk, volume: Volume, timeout_s: float) -> tuple[Verdict, str, Run]:
    """Check a copy on which the journal was replayed."""
    checker = CHECKERS[volume.type]
    inside = RunsReader(disk.reader, volume)
    with expose_copy(disk, volume) as exposed:
        fd = exposed.keep_fds[0]
        if volume.type == "vfat":
            at = dirty_flag_offset(inside)
            if at is not None:
                os.pwrite(fd, bytes([inside.read_at(at, 1)[0] & ~1]), at)
        else:
            replay = ("e2fsck", "-y", "-E", "journal_only")
            run_program(replay, exposed.path, timeout_s=timeout_s, keep_fds=exposed.keep_fds)
        run = run_program(checker.check, exposed.path, timeout_s=timeout_s, keep_fds=exposed.keep_fds)
    verdict, meaning = judge(checker, run)
    if verdict is Verdict.CLEAN:
        meaning += "; it was in use when it was copied, so this is after replaying its journal on a temporary copy"
    return verdict, meaning, run
