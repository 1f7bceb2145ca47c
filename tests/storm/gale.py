"""What every storm does: something of each kind dies in turn, at random moments, and then all runs are waited for."""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence

from lab.airflow.airflow_home import AirflowHome
from tests.storm.lanes import Lanes, Run
from tests.storm.victims import AirflowVictims, Kill

END_S = 1800.0
_FORGOTTEN_S = 180.0
_PATIENCE_S = 60.0
"""So long something of a kind is waited for before another kind has its turn."""


class Gale:
    """One storm over a real Airflow."""

    def __init__(
        self, home: AirflowHome, victims: AirflowVictims, works: Lanes, kinds: Sequence[str], dice: random.Random
    ) -> None:
        self.victims = victims
        self.kills: list[Kill] = []
        self.fallen: Counter[str] = Counter()
        """Parts that ended without being killed."""
        self.reminded: list[str] = []
        """Tasks for which the scheduler had to be started again."""
        self.calm_s = 0.0
        """How long an undisturbed run takes, in which pauses are counted: machines differ, and so does their load."""
        self._home = home
        self.lanes = works
        self._kinds = tuple(kinds)
        self._dice = dice

    def look(self) -> None:
        """Look at what is soon forgotten; called ten times a second."""

    def strike_all(self, kills: int, pauses: tuple[float, float]) -> None:
        """Kill, until all kills are done. `pauses` are between two, in times of `calm_s`."""
        for kind in self._deal():
            self.rest(self.calm_s * self._dice.uniform(*pauses))
            self._strike(kind)
            if self.lanes.failure is not None:
                raise self.lanes.failure
            if len(self.kills) == kills:
                return

    def await_end(self) -> list[Run]:
        """Let everything come back and end; gives the runs that failed."""
        while not self.victims.all_are_up:
            self.rest(0.2)
        self.lanes.cease()
        self._await_lanes()
        if self.lanes.failure is not None:
            raise self.lanes.failure
        return [run for run in self.lanes.runs if run.state == "failed"]

    def rest(self, seconds: float) -> None:
        """Let time pass; what was killed comes back when its time is over."""
        deadline = time.monotonic() + seconds
        for turn in itertools.count():
            if turn and time.monotonic() >= deadline:
                return
            self.fallen.update(self.victims.tend())
            self.look()
            time.sleep(0.1)

    def remind(self) -> None:
        """Do what the documentation tells an admin to do about a task that nobody has.

        A worker of Airflow's LocalExecutor that is killed just as it takes a task leaves it queued, and this executor
        cannot take it back when its time is over; a scheduler that begins anew does.
        """
        forgotten = self.lanes.forgotten(_FORGOTTEN_S)
        if forgotten and not self.victims.is_down("scheduler"):
            self.reminded += forgotten
            print(f"nobody has {', '.join(forgotten)}: the scheduler is started again", flush=True)
            self._home.kill_part("scheduler")
            self._home.start_part("scheduler")
            self.rest(_FORGOTTEN_S)

    def _deal(self) -> Iterator[str]:
        """Deal out kinds, all of them before one comes again."""
        while True:
            deck = list(self._kinds)
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
            self.rest(0.2)

    def _await_lanes(self) -> None:
        deadline = time.monotonic() + END_S
        while self.lanes.is_alive():
            if time.monotonic() > deadline:
                raise TimeoutError(f"still under way: {[str(run) for run in self.lanes.under_way()]}")
            self.rest(15.0)
            self.remind()


def list_lines(gale: Gale, seed: int, again: Sequence[Run], reasons: dict[str, list[str]]) -> list[str]:
    """Write the lines that the table of every storm has."""
    kinds = Counter(kill.kind for kill in gale.kills)
    outcomes: dict[str, Counter[str]] = {}
    for run in gale.lanes.runs:
        outcomes.setdefault(run.kind, Counter())[run.state] += 1
    return [
        f"storm: seed {seed}, {len(gale.kills)} kills: "
        + ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items())),
        *(
            f"  {kind}: " + ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
            for kind, states in sorted(outcomes.items())
        ),
        f"  run again after failing: {len(again)}, of which well: {sum(run.state == 'success' for run in again)}",
        *(f"  {run} failed: {'; '.join(said)}" for run, said in reasons.items()),
        f"  parts that ended by themselves: {dict(gale.fallen) or 'none'}",
        f"  tasks that a killed worker of the LocalExecutor took with it: {', '.join(gale.reminded) or 'none'}",
    ]
