"""What a guest held at the moment a backup was frozen: a copy that the simulated site makes then, past all of ours.

Its roots are computed by `lab.witness`, which shares no line with the engine.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from lab.airflow.installation import Installation
from lab.ovirt import OvirtLab
from lab.witness import root_of


class Witness:
    """Copies of frozen moments, and of what disks hold now."""

    def __init__(self, made: Installation, lab: OvirtLab) -> None:
        self._made = made
        self.directory = made.directory / f"witness-{lab.name}"
        self.directory.mkdir(exist_ok=True)
        lab.hook("settings", witness=str(self.directory))

    def frozen(self, dag_id: str, run_id: str) -> dict[str, Path]:
        """Give what each disk held when this run's backup was frozen, by the disk's name in the vault."""
        opened = self._made.api.xcom(dag_id, run_id, "create_vm_snapshot", "opened")
        point = opened["point"]["id"]
        return {disk["name"]: self.directory / f"{point}-{disk['id']}.raw" for disk in opened["disks"]}

    def roots(self, dag_id: str, run_id: str) -> dict[str, str]:
        """Give the roots that this run's backup should have."""
        return {name: root_of(path) for name, path in self.frozen(dag_id, run_id).items()}

    def digests(self, dag_id: str, run_id: str) -> dict[str, str]:
        """Hash that."""
        return {name: digest(path) for name, path in self.frozen(dag_id, run_id).items()}

    def held_now(self, lab: OvirtLab, disks: dict[str, str]) -> dict[str, str]:
        """Hash what disks at a site hold now; they are given by name."""
        return {name: self._copied(lab, disk) for name, disk in disks.items()}

    def _copied(self, lab: OvirtLab, disk: str) -> str:
        path = lab.copy_disk(disk, self.directory / f"now-{disk}.raw")
        found = digest(path)
        path.unlink()
        return found


def digest(path: Path) -> str:
    """Hash a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def restored_disks(made: Installation, run_id: str, dag_id: str = "restore_vm") -> dict[str, Any]:
    """Give the disks that the steps of a restore made, by name."""
    return {one["name"]: one["id"] for one in made.api.all_xcoms(dag_id, run_id, "restore_vm_disks")}
