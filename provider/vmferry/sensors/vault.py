# SPDX-License-Identifier: Apache-2.0
"""Waits for a backup, for DAGs that have no part in making it: an off-site copy, a report.

Where a DAG can be scheduled by the backup's asset, do that instead: it costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue


class BackupSensor(BaseSensorOperator):
    """Waits until a VM has a backup that is young enough, and gives its id.

    :param vault: Directory of the backups.
    :param vm: The VM's name in the vault.
    :param max_age_s: How old its moment may be.
    """

    template_fields: Sequence[str] = ("vault", "vm")

    def __init__(self, *, vault: str, vm: str, max_age_s: float, mode: str = "reschedule", **given: Any) -> None:
        super().__init__(mode=mode, **given)
        self.vault = vault
        self.vm = vm
        self.max_age_s = max_age_s

    def poke(self, context: Any) -> PokeReturnValue:
        """Look at the names of what is there; reads a few small files."""
        from vmferry.vault import list_shelves, open_vault

        vault = open_vault(self.vault)
        if not vault.vm_dir(self.vm).is_dir():
            return PokeReturnValue(is_done=False)
        (shelf,) = list_shelves(vault, self.vm)
        newest = shelf.backups[-1] if shelf.backups else None
        limit = datetime.now(UTC) - timedelta(seconds=self.max_age_s)
        if newest is None or newest.moment < limit:
            return PokeReturnValue(is_done=False)
        return PokeReturnValue(is_done=True, xcom_value=newest.id)
