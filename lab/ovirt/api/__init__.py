"""The calls of oVirt's API, one module per resource. Importing this registers them all."""

from __future__ import annotations

from lab.ovirt.api import (
    attachments,
    audit,
    backups,
    checkpoints,
    disks,
    infrastructure,
    nics,
    snapshots,
    transfers,
    vms,
)

__all__ = [
    "attachments", "audit", "backups", "checkpoints", "disks", "infrastructure", "nics", "snapshots", "transfers",
    "vms",
]  # fmt: skip
