# SPDX-License-Identifier: Apache-2.0
"""To the VM in the site's own console."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseOperatorLink


class EngineLink(BaseOperatorLink):
    """Leads to the VM. Airflow asks for it in the task, when that has run, and keeps the answer."""

    name = "Open at the site"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Give the address that the operator found out; empty when it did not come that far."""
        return str(getattr(operator, "console_url", ""))
