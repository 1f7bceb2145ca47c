"""Which backups were ever seen to exist, so that one that goes is missed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from vmferry.vault import Backup, open_vault
from vmferry.vault.catalogue import read_shelf
from vmferry.vault.layout import POINT, backup_dirs, is_published


class Ledger:
    """Notes the backups of some VMs as they come."""

    def __init__(self, vault: Path, vms: Sequence[str]) -> None:
        self._vault = open_vault(vault)
        self._vms = tuple(vms)
        self._seen: dict[Path, str] = {}

    def look(self) -> None:
        """Note what is published now."""
        for path in self._published():
            if path not in self._seen:
                self._seen[path] = _digest(path)

    @property
    def count(self) -> int:
        """How many were ever seen."""
        return len(self._seen)

    def lost(self) -> list[str]:
        """Name those that are no longer there, or are not what they were."""
        return [path.name for path, digest in self._seen.items() if not path.exists() or _digest(path) != digest]

    def backups(self, vm: str) -> tuple[Backup, ...]:
        """Give the backups of a VM, oldest first."""
        return read_shelf(self.vm_dir(vm)).backups if self.vm_dir(vm).is_dir() else ()

    def unfinished(self) -> list[str]:
        """Name the backups that were begun and are not there."""
        return [path.name for vm in self._vms for path in self._dirs(vm) if not is_published(path)]

    def vm_dir(self, vm: str) -> Path:
        """Give the directory of a VM's backups."""
        return self._vault.vm_dir(vm)

    def _published(self) -> list[Path]:
        return [path for vm in self._vms for path in self._dirs(vm) if is_published(path)]

    def _dirs(self, vm: str) -> list[Path]:
        return backup_dirs(self.vm_dir(vm)) if self.vm_dir(vm).is_dir() else []


def _digest(path: Path) -> str:
    return hashlib.sha256((path / POINT).read_bytes()).hexdigest()
