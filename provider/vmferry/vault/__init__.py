# SPDX-License-Identifier: Apache-2.0
"""The vault: keeps backups as plain qcow2 files with proofs, and gives them back. See docs/format.md.

In one process: `add_point`. In steps, by any number of processes: `begin_point`, `add_disk` for each disk, `publish`
(or `abandon`). Then `list_backups`, `verify`, `restore`, `plan_prune`, `prune`, `examine`.

Names are loaded when they are first used: a list of backups does not pay for the pump.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vmferry.vault.adding import Changes, Pace, add_disk
    from vmferry.vault.backup import Backup, BackupDisk, Consistency, DiskInfo, Method, Mode
    from vmferry.vault.beginning import begin_point
    from vmferry.vault.catalogue import Shelf, list_shelves
    from vmferry.vault.doctor import Diagnosis, Trouble, examine
    from vmferry.vault.errors import (
        BadRetention,
        ChainBroken,
        NewerFormat,
        NoSuchBackup,
        PointGone,
        PointUnfinished,
        TornPoint,
        VaultBusy,
        VaultError,
    )
    from vmferry.vault.holds import hold_backup, release_backup
    from vmferry.vault.layout import Vault, open_vault
    from vmferry.vault.openpoint import OpenPoint, read_open_point
    from vmferry.vault.pruning import Pruned, PrunePlan, plan_prune, prune
    from vmferry.vault.publishing import abandon, publish
    from vmferry.vault.restoring import RestoredDisk, restore
    from vmferry.vault.retention import Action, Folding, Rules
    from vmferry.vault.stream import restore_stream
    from vmferry.vault.summary import Summary, list_backups, show_backup
    from vmferry.vault.verification import DEFAULT_MODES, Finding, Report, Verdict, VerifyMode, verify
    from vmferry.vault.whole import Order, add_point

_HOMES = {
    "adding": ("Changes", "Pace", "add_disk"),
    "backup": ("Backup", "BackupDisk", "Consistency", "DiskInfo", "Method", "Mode"),
    "beginning": ("begin_point",),
    "catalogue": ("Shelf", "list_shelves"),
    "doctor": ("Diagnosis", "Trouble", "examine"),
    "errors": (
        "BadRetention",
        "ChainBroken",
        "NewerFormat",
        "NoSuchBackup",
        "PointGone",
        "PointUnfinished",
        "TornPoint",
        "VaultBusy",
        "VaultError",
    ),
    "holds": ("hold_backup", "release_backup"),
    "layout": ("Vault", "open_vault"),
    "openpoint": ("OpenPoint", "read_open_point"),
    "pruning": ("PrunePlan", "Pruned", "plan_prune", "prune"),
    "publishing": ("abandon", "publish"),
    "restoring": ("RestoredDisk", "restore"),
    "retention": ("Action", "Folding", "Rules"),
    "stream": ("restore_stream",),
    "summary": ("Summary", "list_backups", "show_backup"),
    "verification": ("DEFAULT_MODES", "Finding", "Report", "Verdict", "VerifyMode", "verify"),
    "whole": ("Order", "add_point"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "DEFAULT_MODES",
    "Action",
    "Backup",
    "BackupDisk",
    "BadRetention",
    "ChainBroken",
    "Changes",
    "Consistency",
    "Diagnosis",
    "DiskInfo",
    "Finding",
    "Folding",
    "Method",
    "Mode",
    "NewerFormat",
    "NoSuchBackup",
    "OpenPoint",
    "Order",
    "Pace",
    "PointGone",
    "PointUnfinished",
    "PrunePlan",
    "Pruned",
    "Report",
    "RestoredDisk",
    "Rules",
    "Shelf",
    "Summary",
    "TornPoint",
    "Trouble",
    "Vault",
    "VaultBusy",
    "VaultError",
    "Verdict",
    "VerifyMode",
    "abandon",
    "add_disk",
    "add_point",
    "begin_point",
    "examine",
    "hold_backup",
    "list_backups",
    "list_shelves",
    "open_vault",
    "plan_prune",
    "prune",
    "publish",
    "read_open_point",
    "release_backup",
    "restore",
    "restore_stream",
    "show_backup",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
