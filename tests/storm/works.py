"""What goes on while things are killed: each VM is backed up again and again, and one is restored, one rehearsed."""

from __future__ import annotations

import random
from collections.abc import Sequence

from tests.storm.asking import PatientApi
from tests.storm.lanes import Lanes, Run
from tests.storm.ledger import Ledger

RESTORE, DRILL = "restore_vm", "dr_drill"


class Works(Lanes):
    """Keeps a backup of each VM, a restore and a drill going."""

    def __init__(self, api: PatientApi, ledger: Ledger, vms: Sequence[str], name: str, dice: random.Random) -> None:
        super().__init__(api, (*vms, RESTORE, DRILL), name)
        self._ledger = ledger
        self._vms = tuple(vms)
        self._dice = dice

    def note(self) -> None:
        """Note the backups there are."""
        self._ledger.look()

    def fill(self, lane: str) -> Run | None:
        """Begin the next backup, restore or drill."""
        if lane in self._vms:
            return self.start_run(f"backup_{lane}", lane, {})
        known = [(vm, backup.id) for vm in self._vms for backup in self._ledger.backups(vm)]
        if not known:
            return None
        vm, backup = self._dice.choice(known)
        conf = {"vm": vm, "backup": backup}
        if lane == RESTORE:
            conf["name"] = f"{vm}_{self._name}_{len(self.runs) + 1}"
        return self.start_run(lane, vm, conf)
