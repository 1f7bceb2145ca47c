# SPDX-License-Identifier: Apache-2.0
"""``vmferry vm``: back up and restore whole VMs of a site, with no Airflow running."""

from __future__ import annotations

from vmferry.cli.vm.group import vm

__all__ = ["vm"]
