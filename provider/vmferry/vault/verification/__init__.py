# SPDX-License-Identifier: Apache-2.0
"""Verifies backups: `modes` says what each look proves, `report` what was found, `run` does it.

`files` reads the files as they lie there, `content` what a guest would see, `structure` what a guest would find in it.
"""

from __future__ import annotations

from vmferry.vault.verification.modes import DEFAULT_MODES, VerifyMode
from vmferry.vault.verification.report import BackupReport, Finding, Report, Verdict
from vmferry.vault.verification.run import verify

__all__ = ["DEFAULT_MODES", "BackupReport", "Finding", "Report", "Verdict", "VerifyMode", "verify"]
