# SPDX-License-Identifier: Apache-2.0
"""The base of operators that change something: their process ends when the supervisor that started it is killed.

Airflow starts a lost task again, while the process of the try before goes on alone: seen with `kill -9` of a scheduler
and its local workers. Locks keep the two apart, but the new try would wait for an orphan that nobody hears any more.
"""

from __future__ import annotations

import os
from typing import Any

from airflow.sdk import BaseOperator

from vmferry.engine.jobs.parent import die_with_parent


class BoundOperator(BaseOperator):
    """Dies with its supervisor."""

    def pre_execute(self, context: Any) -> None:
        """Tell the kernel."""
        super().pre_execute(context)
        die_with_parent(os.getppid())
