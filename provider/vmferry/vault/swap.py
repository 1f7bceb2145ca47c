# SPDX-License-Identifier: Apache-2.0
"""Brings a fold's new generation of files into place; can be cut off anywhere and finished by anyone.

Once point.json.next is there the new generation is the valid one; see "Files are written once" in docs/format.md.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from vmferry.engine.errors import EngineError
from vmferry.vault import sealed
from vmferry.vault.catalogue import read_entry
from vmferry.vault.layout import NEXT, POINT, POINT_NEXT, WORK, backup_dirs, is_published
from vmferry.vault.lock import swapping


def finish_swaps(vm_dir: Path, *, vm: str) -> list[str]:
    """Finish every swap that was cut off, and clear up behind published backups; the caller holds the writers' lock."""
    finished = []
    for path in backup_dirs(vm_dir):
        if (path / POINT_NEXT).exists():
            with swapping(vm_dir, "finishing an interrupted fold", vm=vm):
                finish_swap(path)
            finished.append(path.name)
        elif is_published(path) and (path / WORK).exists() and not has_fold(path):
            clear_work(path)
    return finished


def finish_swap(backup_dir: Path) -> None:
    """Rename the new generation into place, point.json last."""
    entry = read_entry(backup_dir)
    if not entry.swapping:
        return
    entry.require()
    for path in sorted(backup_dir.glob("*" + NEXT)):
        if path.name != POINT_NEXT:
            path.replace(path.with_name(path.name.removesuffix(NEXT)))
    sealed.sync_dir(backup_dir)
    (backup_dir / POINT_NEXT).replace(backup_dir / POINT)
    sealed.sync_dir(backup_dir)
    clear_work(backup_dir)


def has_fold(backup_dir: Path) -> bool:
    """Tell whether a fold into this backup was begun and did not get to its swap."""
    return (backup_dir / WORK / "fold").exists()


def clear_fold(backup_dir: Path) -> None:
    """Remove what a fold left that never got to its swap."""
    for path in backup_dir.glob("*" + NEXT + "*"):
        path.unlink()
    clear_work(backup_dir)


def clear_work(backup_dir: Path) -> None:
    """Remove the working directory of a published backup."""
    shutil.rmtree(backup_dir / WORK, ignore_errors=True)


def is_torn_swap(backup_dir: Path) -> bool:
    """Tell whether a swap cannot be finished because its point.json.next is damaged."""
    try:
        read_entry(backup_dir).require()
    except EngineError:
        return (backup_dir / POINT_NEXT).exists()
    return False
