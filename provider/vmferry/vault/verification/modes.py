# SPDX-License-Identifier: Apache-2.0
"""The ways to look at a backup, what each proves and what it costs."""

from __future__ import annotations

import enum


class VerifyMode(enum.Enum):
    """One way to look at a backup."""

    QUICK = "quick"
    """Everything is there, has its size, and each link points to the right parent."""
    FILES = "files"
    """The files are byte for byte those that were written."""
    CONTENT = "content"
    """What a guest would see is what was read from the source."""
    STRUCTURE = "structure"
    """There is something like a working system inside."""

    @property
    def proves(self) -> str:
        """What a good verdict means."""
        return _PROVES[self]

    @property
    def costs(self) -> str:
        """What it reads."""
        return _COSTS[self]


_PROVES = {
    VerifyMode.QUICK: "point.json is as it was written, every file is there with its size, every link fits its parent",
    VerifyMode.FILES: "every file is byte for byte the one that was written: enough for a copy off-site",
    VerifyMode.CONTENT: "what a guest would see is what was read from the source: every root is recomputed",
    VerifyMode.STRUCTURE: "the disks hold file systems: an exact copy of an empty disk is found out",
}
_COSTS = {
    VerifyMode.QUICK: "a few reads per file",
    VerifyMode.FILES: "reads every file once (SHA-256)",
    VerifyMode.CONTENT: "reads, and unpacks, every changed block of every backup once",
    VerifyMode.STRUCTURE: "a few megabytes per disk",
}

DEFAULT_MODES = (VerifyMode.QUICK, VerifyMode.FILES, VerifyMode.CONTENT)
