# SPDX-License-Identifier: Apache-2.0
"""Where things are in a vault. Nothing here reads more than directory entries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vmferry.engine.errors import BadInput
from vmferry.vault.errors import NoSuchBackup
from vmferry.vault.names import encode_name, is_id

POINT = "point.json"
NEXT = ".next"
POINT_NEXT = POINT + NEXT
WORK = ".work"
HOLD = "HOLD"
GUIDE = "RESTORE.md"
CHECKSUMS = "SHA256SUMS"
VM_JSON = "vm.json"
QUARANTINE = ".quarantine"


@dataclass(frozen=True, slots=True)
class Vault:
    """A directory that holds backups."""

    path: Path

    def vm_dir(self, vm: str) -> Path:
        """Give the directory of a VM's backups, there or not."""
        return self.path / encode_name(vm)

    def vm_dirs(self, vm: str | None = None) -> Iterator[Path]:
        """List the directories of all VMs, or of one that has to be there."""
        if not self.path.is_dir():
            raise NoSuchBackup(f"vault {self.path} is not there", fix="give the backup directory itself")
        if vm is None:
            yield from sorted(path for path in self.path.iterdir() if path.is_dir() and not path.name.startswith("."))
            return
        if not self.vm_dir(vm).is_dir():
            raise NoSuchBackup(f"vault {self.path} has no VM {vm!r}", fix="vmferry vault ls shows what is there")
        yield self.vm_dir(vm)

    @property
    def quarantine(self) -> Path:
        """Give the directory that deleted backups wait in."""
        return self.path / QUARANTINE


def open_vault(path: Path | str) -> Vault:
    """Say where the vault is; it need not be there yet."""
    absolute = Path(path).absolute()
    if absolute.exists() and not absolute.is_dir():
        raise BadInput(f"vault {path} is not a directory", fix="give the backup directory itself")
    return Vault(absolute)


def backup_dirs(vm_dir: Path) -> list[Path]:
    """List directories that are named like backups, finished or not, oldest first."""
    found = [path for path in vm_dir.iterdir() if path.is_dir() and is_id(path.name, vm_dir.name)]
    return sorted(found, key=lambda path: path.name.rsplit("_", 2)[1:])


def misplaced_dirs(vm_dir: Path) -> list[Path]:
    """List backups that lie where they do not belong: somebody renamed, moved or copied a directory."""
    inside = (path for path in vm_dir.iterdir() if path.is_dir() and not is_id(path.name, vm_dir.name))
    return sorted(path for path in (vm_dir, *inside) if not path.name.startswith(".") and is_published(path))


def is_published(backup_dir: Path) -> bool:
    """Tell whether the backup exists."""
    return (backup_dir / POINT).exists() or (backup_dir / POINT_NEXT).exists()


def image_name(disk: str) -> str:
    """Name the qcow2 of a disk."""
    return encode_name(disk, what="disk") + ".qcow2"


def proof_name(disk: str) -> str:
    """Name the proof of a disk."""
    return encode_name(disk, what="disk") + ".proof"
