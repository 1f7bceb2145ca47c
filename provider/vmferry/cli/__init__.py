# SPDX-License-Identifier: Apache-2.0
"""The `vmferry` command: everything a person needs when Airflow is the thing that died.

One module a command, light to import: what does the work is imported when the command runs, so that help and
completion answer at once.
"""

from __future__ import annotations

from vmferry.cli.program import main

__all__ = ["main"]
