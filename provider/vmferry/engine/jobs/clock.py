# SPDX-License-Identifier: Apache-2.0
"""The one way a moment is written in a job's files."""

from __future__ import annotations

import time


def utc_now() -> str:
    """Write the present moment as ``2026-01-31T12:00:00Z``."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
