# SPDX-License-Identifier: Apache-2.0
"""Which program checks which file system, and what its exit codes mean (seen, or from its manual page).

Nothing here is `fsck`: `fsck.xfs` and `fsck.btrfs` always say 0.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field

from vmferry.engine.filesystems.programs import Run
from vmferry.engine.filesystems.verdict import Verdict

_CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL)


@dataclass(frozen=True)
class Checker:
    """How one kind of file system is checked and repaired."""

    package: str
    check: tuple[str, ...]
    """Reads only; the device is appended."""
    check_codes: Mapping[int, tuple[Verdict, str]]
    """Exit code of `check` -> verdict and meaning; a code that is not here is unknown."""
    repair: tuple[tuple[str, ...], ...] = ()
    """Commands that mend, gentlest first; after each that ran, `check` decides. Empty: we do not mend it."""
    no_repair: str = ""
    """What a person can do where we do not mend it, or could not."""
    telling: Mapping[str, tuple[Verdict, str]] = field(default_factory=dict)
    """Words in the output that say more than the exit code -> verdict and meaning."""


_EXT = Checker(
    "e2fsprogs",
    ("e2fsck", "-fn"),
    {
        0: (Verdict.CLEAN, "e2fsck found no errors"),
        4: (Verdict.DAMAGED, "e2fsck found errors and, as asked, left them"),
        8: (Verdict.DAMAGED, "e2fsck could not even open it: its superblock or descriptors are broken"),
        12: (Verdict.DAMAGED, "e2fsck found errors and could not go on"),
        16: (Verdict.UNKNOWN, "e2fsck did not understand how it was called"),
        32: (Verdict.UNKNOWN, "e2fsck was stopped"),
        128: (Verdict.UNKNOWN, "e2fsck misses a shared library"),
    },
    repair=(("e2fsck", "-fp"), ("e2fsck", "-fy")),
)
_DIRTY_LOG = (Verdict.UNKNOWN, "its log holds changes that are not in place yet, so nothing can be said")
CHECKERS: Mapping[str, Checker] = {
    "ext2": _EXT,
    "ext3": _EXT,
    "ext4": _EXT,
    "xfs": Checker(
        "xfsprogs",
        ("xfs_repair", "-n"),
        {
            0: (Verdict.CLEAN, "xfs_repair found no errors"),
            1: (Verdict.DAMAGED, "xfs_repair found corruption"),
            2: _DIRTY_LOG,
        },
        repair=(("xfs_repair",),),
        telling={"valuable metadata changes in a log": _DIRTY_LOG},
    ),
    "btrfs": Checker(
        "btrfs-progs",
        ("btrfs", "check", "--readonly"),
        {
            0: (Verdict.CLEAN, "btrfs check found no errors in the metadata (file data was not read)"),
            1: (Verdict.DAMAGED, "btrfs check found errors"),
        },
        no_repair="btrfs check --repair can make it worse: mount it and run btrfs scrub, or restore",
        telling={
            # It goes on with the other copy and ends with 0.
            "checksum verify failed": (Verdict.DAMAGED, "a copy of its metadata has a wrong checksum"),
            "bad tree block": (Verdict.DAMAGED, "a block of its metadata is broken"),
        },
    ),
    "ntfs": Checker(
        "ntfs-3g",
        ("ntfsfix", "-n"),
        {
            0: (Verdict.CLEAN, "ntfsfix and our own walk through its records found no errors"),
            1: (Verdict.DAMAGED, "ntfsfix found errors that it could not mend"),
        },
        repair=(("ntfsfix",),),
        no_repair="let Windows check it (chkdsk /f), or restore it from a backup",
    ),
    "vfat": Checker(
        "dosfstools",
        ("fsck.vfat", "-n"),
        {
            0: (Verdict.CLEAN, "fsck.vfat found no errors"),
            1: (Verdict.DAMAGED, "fsck.vfat found errors"),
            2: (Verdict.UNKNOWN, "fsck.vfat did not understand how it was called"),
        },
        repair=(("fsck.vfat", "-a", "-w"),),
    ),
}


def judge(checker: Checker, run: Run) -> tuple[Verdict, str]:
    """Turn how `check` ended into a verdict and one line that explains it."""
    if run.timed_out:
        return Verdict.UNKNOWN, f"{run.command} took too long and was stopped"
    if run.exit_code < 0:
        name = signal.Signals(-run.exit_code).name
        if -run.exit_code in _CRASHES:
            return Verdict.DAMAGED, f"{run.command} crashed on it ({name}), as checkers do on broken metadata"
        return Verdict.UNKNOWN, f"{run.command} was ended by {name}"
    for words, outcome in checker.telling.items():
        if words in run.head or words in run.tail:
            return outcome
    unheard = (Verdict.UNKNOWN, f"{run.command} ended with {run.exit_code}, whose meaning we do not know")
    return checker.check_codes.get(run.exit_code, unheard)
