"""What is killed beside Airflow: jobs on workers, their sshd, and the ways to workers and to OCI."""

from __future__ import annotations

import contextlib
import json
import random
from pathlib import Path

from lab.airflow.oci_installation import OciInstallation
from lab.oci.lab import LabInstance
from tests.storm.processes import Process, below, list_processes
from tests.storm.victims import AIRFLOW_KINDS, AirflowVictims

SITE_KINDS = ("job", "job's qemu-nbd", "sshd", "worker's network", "OCI's network")
KINDS = (*AIRFLOW_KINDS, *SITE_KINDS)
LONG_S = 60.0
_LONG_CUTS = 2
"""So many cuts of each way last a minute; the others are shorter."""
_SHORT_S = (2.0, 20.0)


class OciVictims(AirflowVictims):
    """Kills one thing of a kind, where there is one now, and sees to it that it comes back."""

    def __init__(self, installed: OciInstallation, dice: random.Random) -> None:
        super().__init__(installed.home, dice)
        self._lab = installed.lab
        self._cuts: dict[str, int] = {}
        self.moved: dict[str, int] = {}
        """Bytes that a job had moved, by its own count, when it was last killed; by its id."""

    def kill_outside(self, kind: str) -> str | None:
        """Kill a process at a worker, or cut a way."""
        if kind == "OCI's network":
            return self._cut_oci(kind)
        workers = [one for one in self._lab.instances() if one.pid]
        if kind in ("job", "job's qemu-nbd"):
            return self._kill_job(kind, [job for worker in workers for job in _jobs(worker)])
        found = [one for one in workers if _listens(one) and not self.is_down(f"{kind} {one.id}")]
        if not found:
            return None
        return self._strike_worker(kind, self._dice.choice(found))

    def _kill_job(self, kind: str, jobs: list[Process]) -> str | None:
        processes = list_processes()
        servers = {job.pid: [one for one in below([job.pid], processes) if _is_server(one)] for job in jobs}
        chosen = [job for job in jobs if kind == "job" or servers[job.pid]]
        if not chosen:
            return None
        job = self._dice.choice(chosen)
        name, moved = _progress(job)
        what = self.kill_one_of([[job] if kind == "job" else servers[job.pid]])
        if what is not None and moved is not None:
            self.moved[name] = max(moved, self.moved.get(name, 0))
        return what and f"{name}, which had moved {(moved or 0) >> 20} MiB"

    def _strike_worker(self, kind: str, worker: LabInstance) -> str | None:
        if kind == "sshd":
            killed = self._lab.hook("kill_sshd", id=worker.id)["killed"]
            return f"{killed} of {worker.name}" if killed else None
        seconds = self._length_s(kind)
        self._lab.hook("freeze", id=worker.id, seconds=seconds)
        self.come_back(f"{kind} {worker.id}", seconds, lambda: None)
        return f"of {worker.name}, for {seconds:.0f} s"

    def _cut_oci(self, kind: str) -> str | None:
        if self.is_down(kind):
            return None
        seconds, hangs = self._length_s(kind), self._dice.random() < 0.5
        self._lab.hook("cut", seconds=seconds, hangs=hangs)
        self.come_back(kind, seconds, lambda: None)
        return f"{'hangs' if hangs else 'refuses'} for {seconds:.0f} s"

    def _length_s(self, kind: str) -> float:
        self._cuts[kind] = self._cuts.get(kind, 0) + 1
        return LONG_S if self._cuts[kind] <= _LONG_CUTS else self._dice.uniform(*_SHORT_S)


def _jobs(worker: LabInstance) -> list[Process]:
    """Give the engine's jobs at a worker, which run by themselves: init took them over."""
    assert worker.pid is not None
    inside = below([worker.pid], list_processes())
    return [one for one in inside if one.parent == worker.pid and " job start " in one.command]


def _is_server(process: Process) -> bool:
    return process.name.startswith("qemu-nbd")


def _progress(job: Process) -> tuple[str, int | None]:
    """Read a job's id, and how much it has moved, from its directory; None when it has not said yet."""
    path = job.command.rpartition(" job start ")[2].split()[0]
    name = path.rpartition("/")[2]
    for one in Path(f"/proc/{job.pid}/root/home").glob(f"*/.local/state/vmferry/jobs/{name}/progress.json"):
        with contextlib.suppress(OSError, ValueError):
            told = json.loads(one.read_text())
            return name, int(told["bytes_done"]) - int(told.get("zero_bytes") or 0)
    return name, None


def _listens(worker: LabInstance) -> bool:
    """Tell whether its sshd runs."""
    assert worker.pid is not None
    return any(one.name.startswith("sshd") for one in below([worker.pid], list_processes()))
