# SPDX-License-Identifier: Apache-2.0
"""What an unfinished backup has to remember until it is published: the VM's description, and which point it is of.

It is kept beside the unfinished backup and not handed from step to step: an OVF can be large.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmferry.operations.values import Skipped
from vmferry.platforms.inventory import Vm
from vmferry.platforms.plain import to_plain
from vmferry.platforms.points import Point
from vmferry.vault import Consistency, sealed
from vmferry.vault.layout import WORK

_NAME = "papers.json"


@dataclass(frozen=True, slots=True)
class Papers:
    """What publishing needs."""

    point: str
    """The platform's point: another one means other bytes."""
    consistency: Consistency
    hardware: Mapping[str, Any]
    document: str | None


def build(vm: Vm, point: Point, skipped: tuple[Skipped, ...]) -> Papers:
    """Write down what the VM is at this point."""
    hardware = {
        **vm.hardware,
        "cluster": vm.cluster,
        "status": vm.status,
        "nics": to_plain(vm.nics),
        "skipped_disks": to_plain(skipped),
        "notes": list(point.notes),
    }
    return Papers(point.id, Consistency(point.frozen.value), hardware, vm.document)


def write(backup_dir: Path, papers: Papers) -> None:
    """Keep them beside the unfinished backup."""
    body = {
        "point": papers.point,
        "consistency": papers.consistency.value,
        "hardware": papers.hardware,
        "document": papers.document,
    }
    sealed.write(backup_dir / WORK / _NAME, body)


def find(backup_dir: Path) -> Papers | None:
    """Read them; None when there are none yet."""
    return read(backup_dir) if (backup_dir / WORK / _NAME).exists() else None


def read(backup_dir: Path) -> Papers:
    """Read them; raises what the vault says about a torn file."""
    raw = sealed.read(backup_dir / WORK / _NAME)
    return Papers(raw["point"], Consistency(raw["consistency"]), raw["hardware"], raw["document"])
