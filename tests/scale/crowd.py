"""Thousands of VMs as a policy, in all kinds of schedules, and what the program that renders them used up."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
_SCHEDULES: tuple[dict[str, Any], ...] = (
    {"type": "simple", "pattern": "daily", "time": "01:30"},
    {"type": "simple", "pattern": "weekdays", "time": "22:15"},
    {"type": "simple", "pattern": "biweekly", "time": "03:45"},
    {"type": "advanced", "pattern": "monthly", "weeks": ["last"], "day": "friday", "time": "23:00"},
    {"type": "cron", "expression": "0 2,14 * * *"},
    {"type": "custom", "pattern": "1000001", "time": "04:00"},
)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a program used up, its children with it."""

    cpu_s: float
    output: str


@dataclass(slots=True)
class Crowd:
    """The policy, and the DAG files that were made of it."""

    directory: Path
    count: int
    vms: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def policy(self) -> Path:
        """The policy's file."""
        return self.directory / "variables.json"

    @property
    def rendered(self) -> Path:
        """Where the DAG files are."""
        return self.directory / "rendered"

    def write_policy(self) -> None:
        """Write it; every kind of schedule is in it, and one VM of ten has an RPO."""
        self.vms = self.vms or {f"vm{number:05}": _entry(number) for number in range(self.count)}
        said = {
            "source_ovirt_url": "https://engine.example.com/ovirt-engine/api",
            "source_ovirt_user": "admin@internal",
            "target_ovirt_url": "https://dr.example.com/ovirt-engine/api",
            "target_ovirt_user": "admin@internal",
            "backup_directory": str(self.directory / "vault"),
            "restore_settings": {"target_cluster_name": "Default", "target_storage_domain_name": "dr"},
            "notifications": [{"events": ["failure", "rpo_missed"], "type": "webhook", "connection": "hook"}],
            "vms_config": self.vms,
        }
        self.policy.write_text(json.dumps(said))

    def render(self) -> tuple[dict[str, Any], Cost]:
        """Render it, as an admin does; gives what was said, and what it cost."""
        cost = measure(
            [str(Path(sys.executable).with_name("vmferry")), "policy", "render", str(self.policy), "--json",
             "--template", str(ROOT / "dag_templates" / "backup.py.j2"), "--to", str(self.rendered)],
            {**os.environ, "PYTHONPATH": str(ROOT / "provider")},
        )  # fmt: skip
        return json.loads(cost.output), cost

    def file_of(self, vm: str) -> Path:
        """Find the file that a VM's DAG is in."""
        (found,) = (path for path in self.rendered.glob("*.py") if f"'backup_{vm}'" in path.read_text())
        return found


def measure(command: list[str], environment: dict[str, str], *, timeout_s: float = 900.0) -> Cost:
    """Run a program to its end and count its CPU seconds and those of its children."""
    before = _children_s()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout_s)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return Cost(_children_s() - before, done.stdout)


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _entry(number: int) -> dict[str, Any]:
    entry: dict[str, Any] = {"schedule": _SCHEDULES[number % len(_SCHEDULES)]}
    return {**entry, "rpo": "40d"} if number % 10 == 0 else entry
