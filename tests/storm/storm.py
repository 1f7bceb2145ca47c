"""A storm: real runs of real DAGs, and something dies every few seconds. `blow`, then `settle`, then look."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.airflow.installation import Installation, wait_until
from tests.storm.asking import PatientApi
from tests.storm.gale import Gale, list_lines
from tests.storm.guest import Guest, make_content
from tests.storm.lanes import Run
from tests.storm.ledger import Ledger
from tests.storm.traffic import Traffic
from tests.storm.victims import KINDS, Victims, slow_down
from tests.storm.works import RESTORE, Works

from vmferry.engine.units import MiB


@dataclass(frozen=True, slots=True)
class Wish:
    """How hard it blows."""

    seed: int
    kills: int
    name: str = "storm"
    vms: int = 3
    disk_bytes: int = 64 * MiB
    data_bytes: int = 40 * MiB
    large_bytes: int = 0
    """Data on each disk of the last VM, if it is to have more than a commit takes; its rate is four times as high."""
    pauses: tuple[float, float] = (0.03, 0.3)
    """Between two kills, in times that an undisturbed backup takes: machines differ, and so does their load."""
    rate_mib: int = 2


class Storm(Gale):
    """One storm over an installation."""

    def __init__(self, installed: Installation, wish: Wish) -> None:
        self.installed = installed
        self.wish = wish
        self.api = PatientApi(installed.api)
        self.names = [f"{wish.name}{number:02}" for number in range(1, wish.vms + 1)]
        self.ledger = Ledger(installed.vault, self.names)
        self.guests: dict[str, Guest] = {}
        self.traffic = Traffic((installed.production, installed.recovery))
        dice = random.Random(f"{wish.seed} {wish.name}")
        victims = Victims(installed, random.Random(dice.random()))
        name, works_dice = f"{wish.name}{wish.seed}", random.Random(dice.random())
        self.works = Works(self.api, self.ledger, self.names, name, works_dice)
        super().__init__(installed.home, victims, self.works, KINDS, dice)

    def prepare(self) -> None:
        """Make the VMs and their DAGs, let guests write, and back the first one up."""
        for number, name in enumerate(self.names):
            contents = [self._content(name, disk, number) for disk in range(2)]
            vm = self.installed.production.add_vm(name, [{"content": path} for path in contents])
            self.guests[name] = Guest(vm, contents, self._dice.getrandbits(32), pause_s=0.2)
        said = {"retry_delay_minutes": 0, "retries": 8}
        rates = {name: self.wish.rate_mib * (4 if self._is_large(name) else 1) for name in self.names}
        policy = {name: {**said, "max_rate": f"{rate}MiB"} for name, rate in rates.items()}
        self.installed.write_policy(vms_config=policy)
        self.installed.render()
        for lab in (self.installed.production, self.installed.recovery):
            lab.log_requests()
            slow_down(lab)
        for guest in self.guests.values():
            guest.start()
        began = time.monotonic()
        self.installed.run(f"backup_{self.names[0]}")  # so that there is something to restore from the beginning
        self.calm_s = time.monotonic() - began
        self.ledger.look()

    def blow(self) -> None:
        """Kill, until all kills are done."""
        self.works.start()
        wait_until(lambda: any(run.dag_id == RESTORE for run in self.works.runs), "a restore to begin")
        self.strike_all(self.wish.kills, self.wish.pauses)

    def look(self) -> None:
        """Ask the engines which transfer is for what."""
        self.traffic.look()

    def settle(self) -> list[Run]:
        """Let everything come back and end; gives the runs that failed."""
        failed = self.await_end()
        for guest in self.guests.values():
            guest.stop()
        for guest in self.guests.values():
            if guest.failure is not None:
                raise guest.failure
        return failed

    def _content(self, name: str, disk: int, number: int) -> Path:
        path, seed = self.installed.directory / f"{name}-{disk}.raw", number * 10 + disk
        if self._is_large(name):
            return make_content(path, 2 * self.wish.large_bytes, self.wish.large_bytes, seed)
        return make_content(path, self.wish.disk_bytes, self.wish.data_bytes, seed)

    def _is_large(self, name: str) -> bool:
        return bool(self.wish.large_bytes) and name == self.names[-1]


def summarize(storm: Storm, again: Sequence[Run], reasons: dict[str, list[str]], leftovers: Sequence[str]) -> str:
    """Write the table that is shown at the end."""
    return "\n".join([
        *list_lines(storm, storm.wish.seed, again, reasons),
        f"  backups published: {storm.ledger.count}, lost: {len(storm.ledger.lost())}",
        f"  leftovers: {len(leftovers)}",
        *(f"    {one}" for one in leftovers),
    ])  # fmt: skip
