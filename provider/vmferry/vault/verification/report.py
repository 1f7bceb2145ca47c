# SPDX-License-Identifier: Apache-2.0
"""What a verification found."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vmferry.vault.verification.modes import VerifyMode


class Verdict(enum.Enum):
    """What a backup is worth."""

    SOUND = "sound"
    """Nothing is wrong with it, nor with what it stands on."""
    AFFECTED = "affected"
    """Its own files are right, but it stands on a damaged backup."""
    DAMAGED = "damaged"
    """Something in it is not as it was written."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    vm: str
    backup: str
    mode: VerifyMode
    message: str
    disk: str | None = None
    file: str | None = None
    guest_offset: int | None = None
    """Where a guest would meet it."""
    length_bytes: int | None = None
    """How far the damage may reach from there: whole leaves of 64 KiB."""

    def line(self) -> str:
        """Write it for a person."""
        where = f"VM {self.vm}, backup {self.backup}"
        if self.disk is not None:
            where += f", disk {self.disk}"
        if self.guest_offset is not None:
            where += f", guest offset {self.guest_offset} ({self.length_bytes} bytes)"
        return f"{where}: {self.message}"

    def to_json(self) -> dict[str, Any]:
        """Turn into plain data."""
        return {**asdict(self), "mode": self.mode.value}


@dataclass(frozen=True, slots=True)
class BackupReport:
    """What was found in one backup."""

    vm: str
    backup: str
    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    affected_by: str | None = None
    """The damaged backup it stands on."""
    notes: tuple[str, ...] = ()
    """What could not be looked at, and why."""

    def to_json(self) -> dict[str, Any]:
        """Turn into plain data."""
        return {
            "vm": self.vm,
            "backup": self.backup,
            "verdict": self.verdict.value,
            "affected_by": self.affected_by,
            "findings": [finding.to_json() for finding in self.findings],
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class Report:
    """What was found in everything that was looked at."""

    modes: Sequence[VerifyMode]
    backups: tuple[BackupReport, ...]

    @property
    def sound(self) -> bool:
        """Tell whether nothing was found."""
        return all(one.verdict is Verdict.SOUND for one in self.backups)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """List everything that was found."""
        return tuple(finding for one in self.backups for finding in one.findings)

    def to_json(self) -> dict[str, Any]:
        """Turn into plain data."""
        return {
            "sound": self.sound,
            "modes": [{"mode": mode.value, "proves": mode.proves, "costs": mode.costs} for mode in self.modes],
            "backups": [one.to_json() for one in self.backups],
        }
