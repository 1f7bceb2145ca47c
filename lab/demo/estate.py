"""The VMs of the demo and of `make lab`, what the policy says about them, and how to reach the sites they are at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lab.ovirt import OvirtLab
from lab.ovirt.guest import LabGuest

VMS = {"web01": ("ext4", "xfs"), "db01": ("xfs",), "files01": ("ext4", "ntfs")}
"""Each VM's disks, by the file system that is on them."""

POLICY: dict[str, Any] = {
    "web01": {
        "schedule": {"type": "simple", "pattern": "daily", "time": "02:00"},
        "retention": {"keep_daily": 7, "keep_weekly": 4, "keep_monthly": 3, "max_backup_age_days": 90},
    },
    "db01": {"schedule": {"type": "cron", "expression": "0 */4 * * *"}, "rpo": "5h"},
    "files01": {
        "schedule": {"type": "advanced", "pattern": "monthly", "weeks": ["last"], "day": "friday", "time": "23:00"}
    },
}


def add_vms(site: OvirtLab, room: Path) -> dict[str, LabGuest]:
    """Make the VMs, each with real file systems on its disks."""
    room.mkdir()
    return {
        name: LabGuest(site, room, name, seed=number, kinds=kinds)
        for number, (name, kinds) in enumerate(VMS.items(), 1)
    }


def describe_engine(lab: OvirtLab) -> list[str]:
    """Say where a simulated engine is and who may log in."""
    return [
        f"simulated oVirt engine {lab.name!r}  {lab.url}",
        f"    user {lab.user}   password {lab.password_secret}",
        f"    CA {lab.ca}",
        f"    CA's SHA-256 {lab.fingerprint}",
    ]
