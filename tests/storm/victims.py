"""What is killed, and how each comes back."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lab.airflow.airflow_home import AirflowHome
from lab.airflow.installation import Installation
from lab.ovirt import OvirtLab
from tests.storm.processes import Process, below, list_processes

WORKER_TITLE = "airflow worker -- "
_EXECUTOR_TITLE = f"{WORKER_TITLE}LocalExecutor"
PARTS = ("scheduler", "triggerer", "api-server", "dag-processor")
AIRFLOW_KINDS = ("task", "supervisor", "task and supervisor", *PARTS)
KINDS = ("task", "supervisor", "task and supervisor", "job's qemu-nbd", *PARTS, "imageio", "engine")
SLOW_BYTES_PER_S = 3 << 20


@dataclass(frozen=True, slots=True)
class Kill:
    """One that was done."""

    number: int
    at: float
    """Seconds since the epoch."""
    kind: str
    what: str

    def __str__(self) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(self.at))
        return f"#{self.number} {clock} {self.kind}: {self.what}"


class AirflowVictims:
    """Kills one thing of a kind, where there is one now, and sees to it that it comes back."""

    def __init__(self, home: AirflowHome, dice: random.Random) -> None:
        self._home = home
        self._dice = dice
        self._down: dict[str, tuple[float, Callable[[], object]]] = {}
        """What is down just now: when and how it comes back."""

    def kill(self, kind: str) -> str | None:
        """Kill; say what it was. None when there is none of the kind now."""
        if kind in PARTS:
            return self._kill_part(kind)
        if kind in AIRFLOW_KINDS:
            return self.kill_one_of(self._candidates(kind))
        return self.kill_outside(kind)

    def kill_outside(self, kind: str) -> str | None:
        """Kill what is no part of Airflow."""
        raise NotImplementedError

    def tend(self) -> list[str]:
        """Start what has been down long enough, and parts that ended without us, as systemd does; names the latter.

        Called by the main thread only: the leash of a part ends with the thread that started it.
        """
        for name, (due, start) in list(self._down.items()):
            if time.monotonic() >= due:
                start()
                del self._down[name]
        fallen = [part for part in self._home.fallen_parts() if part not in self._down]
        for part in fallen:
            self._home.start_part(part)
        return fallen

    def is_down(self, name: str) -> bool:
        """Tell whether it was killed and is not back yet."""
        return name in self._down

    @property
    def all_are_up(self) -> bool:
        """Whether nothing is down."""
        return not self._down

    def _kill_part(self, part: str) -> str | None:
        home = self._home
        if part in self._down or part in home.fallen_parts():
            return None
        alone = self._dice.random() < 0.5
        pause_s = self._dice.uniform(0.2, 4.0)
        home.kill_part(part, alone=alone)
        self.come_back(part, pause_s, lambda: home.start_part(part))
        return f"{'its main process' if alone else 'all its processes'}, back after {pause_s:.1f} s"

    def kill_one_of(self, found: Sequence[Sequence[Process]]) -> str | None:
        """Kill one of these groups of processes; say what it was."""
        if not found:
            return None
        killed = [one for one in self._dice.choice(found) if one.kill()]
        return " + ".join(f"{one.pid} {one.command[:90]}" for one in killed) or None

    def busy_tasks(self) -> list[tuple[Process, Process]]:
        """Give the supervisors that have a task, each with its task."""
        processes = list_processes()
        of_scheduler = below([self._home.part_pid("scheduler")], processes)
        supervisors = [one for one in of_scheduler if _is_busy(one)]
        return [(one, task) for one in supervisors for task in processes if _is_task_of(task, one)]

    def come_back(self, name: str, pause_s: float, start: Callable[[], object]) -> None:
        """Let something that is down come back after a while."""
        self._down[name] = (time.monotonic() + pause_s, start)

    def _candidates(self, kind: str) -> list[list[Process]]:
        pairs = self.busy_tasks()
        if kind == "task":
            return [[task] for _, task in pairs]
        if kind == "supervisor":
            return [[supervisor] for supervisor, _ in pairs]
        return [[supervisor, task] for supervisor, task in pairs]


class Victims(AirflowVictims):
    """The same, and what belongs to two oVirt sites."""

    def __init__(self, installed: Installation, dice: random.Random) -> None:
        super().__init__(installed.home, dice)
        self._installed = installed

    def kill_outside(self, kind: str) -> str | None:
        """Kill a job's qemu-nbd, an imageio daemon, or an engine."""
        if kind in ("imageio", "engine"):
            return self._kill_at_site(kind)
        children = [one for _, task in self.busy_tasks() for one in below([task.pid], list_processes())]
        return self.kill_one_of([[one] for one in children if one.name.startswith("qemu-nbd")])

    def _kill_at_site(self, kind: str) -> str | None:
        lab = self._dice.choice((self._installed.production, self._installed.recovery))
        name = f"{kind} of {lab.name}"
        if self.is_down(name):
            return None
        pause_s = self._dice.uniform(0.2, 4.0)
        if kind == "imageio":
            lab.kill_imageio()
            self.come_back(name, pause_s, lab.start_imageio)
        else:
            lab.kill_engine()
            self.come_back(name, pause_s, lambda: start_engine(lab))
        return f"of {lab.name}, back after {pause_s:.1f} s"


def start_engine(lab: OvirtLab) -> None:
    """Start an engine again; the faults it was told died with it."""
    lab.start_engine()
    slow_down(lab)


def slow_down(lab: OvirtLab) -> None:
    """Let restores be as slow as over a line, so that one can be met in the middle."""
    lab.fault("slow", {"entity": "transfer", "phase": "served"}, value=SLOW_BYTES_PER_S, times=-1)


def _is_busy(process: Process) -> bool:
    return process.command.startswith(_EXECUTOR_TITLE) and "<idle>" not in process.command


def _is_task_of(process: Process, supervisor: Process) -> bool:
    return process.parent == supervisor.pid and process.command.startswith(WORKER_TITLE)
