"""A storm: real runs of real DAGs, and something dies every few seconds. `blow`, then `settle`, then look."""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab.airflow.installation import Installation, wait_until
from tests.storm.asking import PatientApi
from tests.storm.guest import Guest, make_content
from tests.storm.ledger import Ledger
from tests.storm.traffic import Traffic
from tests.storm.victims import KINDS, Kill, Victims, slow_down
from tests.storm.works import RESTORE, Run, Works

from vmferry.engine.units import MiB

END_S = 1800.0
_FORGOTTEN_S = 180.0
_PATIENCE_S = 60.0
"""So long something of a kind is waited for before another kind has its turn."""


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


@dataclass
class Storm:
    """One storm over an installation."""

    installed: Installation
    wish: Wish
    kills: list[Kill] = field(default_factory=list)
    fallen: Counter[str] = field(default_factory=Counter)
    """Parts that ended without being killed."""
    reminded: list[str] = field(default_factory=list)
    """Tasks for which the scheduler had to be started again."""

    def __post_init__(self) -> None:
        self.api = PatientApi(self.installed.api)
        self.names = [f"{self.wish.name}{number:02}" for number in range(1, self.wish.vms + 1)]
        self.ledger = Ledger(self.installed.vault, self.names)
        self.guests: dict[str, Guest] = {}
        self._calm_s = 0.0
        self.traffic = Traffic((self.installed.production, self.installed.recovery))
        self._dice = random.Random(f"{self.wish.seed} {self.wish.name}")
        self.victims = Victims(self.installed, random.Random(self._dice.random()))
        self.works = Works(
            self.api, self.ledger, self.names, f"{self.wish.name}{self.wish.seed}", random.Random(self._dice.random())
        )

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
        self._calm_s = time.monotonic() - began
        self.ledger.look()

    def blow(self) -> None:
        """Kill, until all kills are done."""
        self.works.start()
        wait_until(lambda: any(run.dag_id == RESTORE for run in self.works.runs), "a restore to begin")
        for kind in self._kinds():
            self._rest(self._calm_s * self._dice.uniform(*self.wish.pauses))
            self._strike(kind)
            if len(self.kills) == self.wish.kills:
                return

    def settle(self) -> list[Run]:
        """Let everything come back and end; gives the runs that failed."""
        while not self.victims.all_are_up:
            self._rest(0.2)
        self.works.cease()
        self._await_works()
        for guest in self.guests.values():
            guest.stop()
        for failure in (self.works.failure, *(guest.failure for guest in self.guests.values())):
            if failure is not None:
                raise failure
        return [run for run in self.works.runs if run.state == "failed"]

    def _content(self, name: str, disk: int, number: int) -> Path:
        path, seed = self.installed.directory / f"{name}-{disk}.raw", number * 10 + disk
        if self._is_large(name):
            return make_content(path, 2 * self.wish.large_bytes, self.wish.large_bytes, seed)
        return make_content(path, self.wish.disk_bytes, self.wish.data_bytes, seed)

    def _is_large(self, name: str) -> bool:
        return bool(self.wish.large_bytes) and name == self.names[-1]

    def _kinds(self) -> Iterator[str]:
        """Deal out kinds, all of them before one comes again."""
        while True:
            deck = list(KINDS)
            self._dice.shuffle(deck)
            yield from deck

    def _strike(self, kind: str) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            what = self.victims.kill(kind)
            if what is not None:
                self.kills.append(Kill(len(self.kills) + 1, time.time(), kind, what))
                print(self.kills[-1], flush=True)
                return
            self._rest(0.2)

    def _rest(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        for turn in itertools.count():
            if turn and time.monotonic() >= deadline:
                return
            self.fallen.update(self.victims.tend())
            self.traffic.look()
            time.sleep(0.1)

    def _await_works(self) -> None:
        deadline = time.monotonic() + END_S
        while self.works.is_alive():
            if time.monotonic() > deadline:
                raise TimeoutError(f"still under way: {[str(run) for run in self.works.under_way()]}")
            self._rest(15.0)
            self.remind()

    def remind(self) -> None:
        """Do what the documentation tells an admin to do about a task that nobody has.

        A worker of Airflow's LocalExecutor that is killed just as it takes a task leaves it queued, and this executor
        cannot take it back when its time is over; a scheduler that begins anew does.
        """
        forgotten = self.works.forgotten(_FORGOTTEN_S)
        if forgotten and not self.victims.is_down("scheduler"):
            self.reminded += forgotten
            print(f"nobody has {', '.join(forgotten)}: the scheduler is started again", flush=True)
            self.installed.home.kill_part("scheduler")
            self.installed.home.start_part("scheduler")
            self._rest(_FORGOTTEN_S)


def summarize(storm: Storm, again: Sequence[Run], reasons: dict[str, list[str]], leftovers: Sequence[str]) -> str:
    """Write the table that is shown at the end."""
    kinds = Counter(kill.kind for kill in storm.kills)
    outcomes: dict[str, Counter[str]] = {}
    for run in storm.works.runs:
        outcomes.setdefault(run.kind, Counter())[run.state] += 1
    lines = [
        f"storm: seed {storm.wish.seed}, {len(storm.kills)} kills: "
        + ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items())),
        *(
            f"  {kind}: " + ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
            for kind, states in sorted(outcomes.items())
        ),
        f"  run again after failing: {len(again)}, of which well: {sum(run.state == 'success' for run in again)}",
        *(f"  {run} failed: {'; '.join(said)}" for run, said in reasons.items()),
        f"  backups published: {storm.ledger.count}, lost: {len(storm.ledger.lost())}",
        f"  parts that ended by themselves: {dict(storm.fallen) or 'none'}",
        f"  tasks that a killed worker of the LocalExecutor took with it: {', '.join(storm.reminded) or 'none'}",
        f"  leftovers: {len(leftovers)}",
        *(f"    {one}" for one in leftovers),
    ]
    return "\n".join(lines)
